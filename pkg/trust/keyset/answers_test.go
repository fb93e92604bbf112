package keyset_test

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/internal/testidp"
	"github.com/stepward/stepward/pkg/internal/wait"
	"github.com/stepward/stepward/pkg/trust/keyset"
	"github.com/stepward/stepward/pkg/trust/outbound"
)

// jsonWith answers as the provider would, but for what is wrong.
func jsonWith(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		w.Write([]byte(body))
	}
}

// badAnswers returns answers that must never replace good keys.
func badAnswers(idp *testidp.IDP) map[string]http.HandlerFunc {
	good := string(idp.JWKS())
	drop := func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			c.Close()
		}
	}
	return map[string]http.HandlerFunc{
		"empty":              jsonWith(200, ""),
		"empty object":       jsonWith(200, "{}"),
		"no keys":            jsonWith(200, `{"keys":[]}`),
		"null":               jsonWith(200, `{"keys":null}`),
		"an object":          jsonWith(200, `{"keys":{}}`),
		"error":              jsonWith(200, `{"error":"temporarily_unavailable"}`),
		"another spelling":   jsonWith(200, strings.Replace(good, `"keys"`, `"Keys"`, 1)),
		"keys twice":         jsonWith(200, strings.TrimSuffix(good, "}")+`,"keys":[]}`),
		"cut":                jsonWith(200, good[:len(good)/2]),
		"something after":    jsonWith(200, good+good),
		"byte order mark":    jsonWith(200, "\ufeff"+good),
		"only bad keys":      jsonWith(200, `{"keys":[{"kty":"oct","k":"AAAA","kid":"es"},{"kty":"AKP","kid":"x"}]}`),
		"huge":               jsonWith(200, `{"keys":[`+strings.Repeat(" ", 1<<20)+`]}`),
		"many keys":          jsonWith(200, `{"keys":[`+strings.Repeat("{},", 50_000)+`{}]}`),
		"500 with good keys": jsonWith(500, good),
		"503":                jsonWith(503, good),
		"404":                jsonWith(404, good),
		"204":                func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
		"304":                func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(304) },
		"HTML": func(w http.ResponseWriter, _ *http.Request) {
			w.Write([]byte("<html>maintenance</html>"))
		},
		"good keys as HTML": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.Write([]byte(good))
		},
		"no type": func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			w.Write(
				[]byte(good))
		},
		"another host": func(w http.ResponseWriter, q *http.Request) {
			http.Redirect(w, q, "https://localhost:1/jwks", http.StatusFound)
		},
		"round and round": func(w http.ResponseWriter, q *http.Request) {
			http.Redirect(w, q, q.URL.Path, http.StatusFound)
		},
		"dropped": drop,
		"less than announced": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "100000")
			w.Write([]byte(good))
		},
		"slow": func(w http.ResponseWriter, q *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for i := 0; i < len(good) && q.Context().Err() == nil; i++ { // a byte at a time
				w.Write([]byte{good[i]})
				w.(http.Flusher).Flush()
				time.Sleep(20 * time.Millisecond) // clock: this is how slow it is
			}
		},
		"endless": func(w http.ResponseWriter, q *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for q.Context().Err() == nil {
				if _, err := w.Write([]byte(strings.Repeat(" ", 1<<16))); err != nil {
					return
				}
			}
		},
	}
}

func TestBadAnswers(t *testing.T) {
	t.Parallel()
	idp := start(t, true)
	s := loaded(t, idp, keyset.RemoteConfig{
		JWKSURI: idp.URL + "/jwks", Bounds: keyset.Bounds{Cooldown: time.Millisecond},
		Client: outbound.New(outbound.Config{Roots: idp.Roots(), Allow: []string{"127.0.0.1"}, Timeout: time.Second}), // clock: for answers without an end; good ones are asked for again
	})
	generation := s.Generation()
	answers := badAnswers(idp)
	if len(answers) < 22 {
		t.Fatalf("%d kinds", len(answers))
	}
	for name, answer := range answers {
		idp.Fail(answer)
		expect(t, name+": an unknown key", s.find(t, "nobody"), keyset.ErrUnavailable)
		for failed := false; !failed; {
			failed = wait.For(t, name+": a fetch fails", s.fetched).Err != nil
		}
		expect(t, name+": a good key", s.find(t, "es"), nil)
		if s.Generation() != generation || s.Status().Err == nil || !s.Status().Usable {
			t.Errorf("%s: generation %d, status %+v", name, s.Generation(), s.Status())
		}
		// The deny next to it: the provider is up, and the same name is now refused.
		idp.Fail(nil)
		for len(s.fetched) > 0 {
			<-s.fetched
		}
		// The breaker and the cooldown may be in the way for a moment.
		wait.Until(t, name+": it is refused afterwards",
			func() bool { return errors.Is(s.find(t, name), keyset.ErrUnknownKey) })
		if t.Failed() {
			return
		}
		for len(s.fetched) > 0 {
			<-s.fetched
		}
	}
}

// K7: a set has keys of every kind that must not be used and a good one, which keeps
// working.
func TestBadKeysBesideGood(t *testing.T) {
	t.Parallel()
	idp := start(t, true)
	good := string(idp.JWKS())
	idp.Fail(jsonWith(200, strings.Replace(
		good, `[`,
		`[{"kty":"oct","k":"AAAA","kid":"es9"},{"kty":"RSA","n":"AQAB","e":"AQ","kid":"r9"},{"kty":"AKP","kid":"a9"},{},7,`, 1)))
	s := loaded(t, idp, keyset.RemoteConfig{JWKSURI: idp.URL + "/jwks"})
	expect(t, "the good one", s.find(t, "es"), nil)
	expect(t, "a symmetric one", s.find(t, "es9"), keyset.ErrUnknownKey)
	if st := s.Status(); st.Count != 4 || len(st.Skipped) != 5 {
		t.Errorf("%d keys, skipped %v", st.Count, st.Skipped)
	}
}

// K11: with the provider down at the start, it is asked again every 5 s, so that its keys
// are there soon after it is back.
func TestColdStart(t *testing.T) {
	t.Parallel()
	for name, down := range map[string]func(*testidp.IDP) (up func() error){
		"refused": func(p *testidp.IDP) func() error { p.Close(); return p.Up },
		"503": func(p *testidp.IDP) func() error {
			p.Fail(jsonWith(503, ""))
			return func() error { p.Fail(nil); return nil }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			idp := start(t, true)
			up := down(idp)
			clock := wait.NewClock()
			var longest atomic.Int64
			s := open(t, idp, keyset.RemoteConfig{Now: clock.Now, After: func(d time.Duration) <-chan time.Time {
				longest.Store(max(longest.Load(), int64(d))) // Run alone waits
				return clock.After(d)
			}})
			for range 10 {
				if f := s.next(t, clock, 5*time.Second); f.Err == nil {
					t.Fatal("fetched from a provider that is down")
				}
			}
			if pause := time.Duration(longest.Load()); pause < time.Second || pause > 5*time.Second { // clock: what it asks of the clock
				t.Errorf("the longest pause was %s", pause)
			}
			if s.Loaded() {
				t.Fatal("loaded from a provider that is down")
			}
			expect(t, "while it is down", s.find(t, "es"), keyset.ErrUnavailable)
			if err := up(); err != nil {
				t.Fatal(err)
			}
			for s.next(t, clock, 5*time.Second).Err != nil { // the breaker may be in the way
			}
			expect(t, "when it is back", s.find(t, "es"), nil)
		})
	}
}
