package keyset_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stepward/stepward/pkg/internal/testidp"
	"github.com/stepward/stepward/pkg/internal/wait"
	"github.com/stepward/stepward/pkg/trust/keyset"
	"github.com/stepward/stepward/pkg/trust/outbound"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// store is a remote set under test.
type store struct {
	*keyset.Remote
	idp     *testidp.IDP
	fetched chan keyset.Fetch
	stop    func()
}

// open runs the remote set of a provider. What c leaves out is that of a test: no
// pause of more than a second.
func open(t *testing.T, idp *testidp.IDP, c keyset.RemoteConfig) *store {
	t.Helper()
	s := &store{idp: idp, fetched: make(chan keyset.Fetch, 10_000)}
	if c.Issuer == "" {
		c.Issuer = idp.URL
	}
	if c.Client == nil {
		c.Client = idp.Client()
	}
	c.OnFetch = func(f keyset.Fetch) { s.fetched <- f }
	s.Remote = keyset.NewRemote(c)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { s.Run(ctx); close(done) }()
	s.stop = func() { cancel(); <-done; c.Client.Close() }
	t.Cleanup(s.stop)
	return s
}

// loaded is open after the first fetch, which must be good.
func loaded(t *testing.T, idp *testidp.IDP, c keyset.RemoteConfig) *store {
	t.Helper()
	s := open(t, idp, c)
	if f := <-s.fetched; f.Err != nil {
		t.Fatal(f.Err)
	}
	return s
}

func (s *store) find(t *testing.T, kid string) error {
	t.Helper()
	_, err := s.Key(wait.Context(t), kid, "ES256")
	return err
}

// next is the next fetch, which is due when d has passed.
func (s *store) next(t *testing.T, clock *wait.Clock, d time.Duration) (f keyset.Fetch) {
	t.Helper()
	clock.Advance(d)
	looks := 0
	wait.Until(t, "a fetch", func() bool {
		select {
		case f = <-s.fetched:
			return true
		default:
			if looks++; looks%200 == 0 { // Run was about to sleep, see [wait.Clock.Advance]
				clock.Advance(d)
			}
			return false
		}
	})
	return f
}

func expect(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: %v; want %v", what, got, want)
	}
}

// An unknown name is asked for at once, once in a cooldown for all of them, and
// answered with certainty only after a fetch that is newer than the question.
func TestUnknownKid(t *testing.T) {
	t.Parallel()
	clock := wait.NewClock()
	s := loaded(t, start(t, true), keyset.RemoteConfig{Now: clock.Now, After: clock.After})
	expect(t, "a key that is known", s.find(t, "es"), nil)
	expect(t, "the first unknown", s.find(t, "x"), keyset.ErrUnknownKey)
	before := s.idp.HitsOf("/jwks")
	for range 50 {
		expect(t, "the same again", s.find(t, "x"), keyset.ErrUnknownKey)
		expect(t, "another within the cooldown", s.find(t, "y"), keyset.ErrUnavailable)
		if t.Failed() {
			return
		}
	}
	if n := s.idp.HitsOf("/jwks"); n != before {
		t.Errorf("%d fetches within the cooldown", n-before)
	}
	<-s.fetched
	if f := s.next(t, clock, 10*time.Second); f.Err != nil { // the one for y, when the cooldown is over, without being asked again
		t.Error(f.Err)
	}
	expect(t, "another after it", s.find(t, "y"), keyset.ErrUnknownKey)
	if n := s.idp.HitsOf("/jwks"); n != before+1 {
		t.Errorf("%d fetches for y", n-before)
	}
	if n := s.idp.HitsOf("/.well-known/openid-configuration"); n != 1 {
		t.Errorf("%d discoveries", n)
	}
}

// A key that was asked for during the cooldown is there soon after.
func TestNewKeyInCooldown(t *testing.T) {
	t.Parallel()
	clock := wait.NewClock()
	s := loaded(t, start(t, true), keyset.RemoteConfig{Now: clock.Now, After: clock.After})
	expect(t, "unknown", s.find(t, "x"), keyset.ErrUnknownKey)
	if err := s.idp.AddKey("new"); err != nil {
		t.Fatal(err)
	}
	generation := s.Generation()
	expect(t, "within the cooldown", s.find(t, "new"), keyset.ErrUnavailable)
	<-s.fetched
	s.next(t, clock, 10*time.Second)
	expect(t, "after it", s.find(t, "new"), nil)
	if s.Generation() == generation {
		t.Error("the generation is the same")
	}
}

// Who waits for a fetch gets an answer before its deadline, and only so many wait.
func TestWaiting(t *testing.T) {
	t.Parallel()
	s := loaded(t, start(t, true), keyset.RemoteConfig{Bounds: keyset.Bounds{Waiters: 3}})
	release := make(chan struct{})
	s.idp.Fail(func(w http.ResponseWriter, r *http.Request) { <-release; w.WriteHeader(500) })
	wait.Until(t, "an answer before the deadline", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second) // clock: a busy machine may miss it, and is asked again
		defer cancel()
		_, err := s.Key(ctx, "x", "ES256")
		expect(t, "a fetch that hangs", err, keyset.ErrUnavailable)
		return ctx.Err() == nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*wait.Bound)
	defer cancel()
	ask := func(kid string) error { _, err := s.Key(ctx, kid, "ES256"); return err }
	var unavailable sync.WaitGroup
	for range 3 {
		unavailable.Go(func() { ask("y") })
	}
	wait.Until(t, "all three wait", func() bool { return s.Waiting() == 3 })
	answers := make(chan error, 2)
	go func() { answers <- ask("z"); answers <- ask("es") }()
	expect(t, "one too many", wait.For(t, "an answer to one too many", answers), keyset.ErrUnavailable)
	expect(t, "a key that is known", wait.For(t, "an answer to who waits for nothing", answers), nil)
	close(release)
	unavailable.Wait()
}

// TestFlood is a minute of 5,000 unknown names a second: no more than 6 fetches, none
// of them is answered with certainty before its fetch, and a new key gets through.
func TestFlood(t *testing.T) {
	t.Parallel()
	idp, clock := start(t, true), wait.NewClock()
	s := loaded(t, idp, keyset.RemoteConfig{Now: clock.Now, After: clock.After})
	before := idp.HitsOf("/jwks")
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	published, usable := 0, 0 // after how many fetches
	look := func() {
		if _, err := s.Key(gone, "fresh", "ES256"); err == nil {
			usable = idp.HitsOf("/jwks")
		} else if errors.Is(err, keyset.ErrUnknownKey) {
			t.Error("a new key was refused with certainty")
		}
	}
	var asking sync.WaitGroup
	for n := range 6000 {
		if clock.Advance(10 * time.Millisecond); n == 1500 {
			if err := idp.AddKey("fresh"); err != nil {
				t.Fatal(err)
			}
			published = idp.HitsOf("/jwks")
		}
		for i := range 50 {
			kid := fmt.Sprintf("%d-%d", n, i)
			if i == 0 { // most are answered at once; those that wait do so beside
				asking.Go(func() { s.find(t, kid) })
				continue
			}
			s.Key(gone, kid, "ES256")
		}
		expect(t, "a key that is known", s.find(t, "es"), nil)
		if published > 0 && usable == 0 {
			look()
		}
	}
	asking.Wait()
	if got := idp.HitsOf("/jwks") - before; got > 6 {
		t.Errorf("%d fetches", got)
	}
	wait.Until(t, "the new key is usable", func() bool {
		if usable == 0 {
			clock.Advance(time.Second)
			look()
		}
		return usable > 0
	})
	if usable-published > 2 { // one may have been under way
		t.Errorf("a new key was usable only after %d fetches", usable-published)
	}
}

// jsonWith answers as the provider would, but for what is wrong.
func jsonWith(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		w.Write([]byte(body))
	}
}

// badAnswers are answers that must never replace good keys.
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
		"HTML":               func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>maintenance</html>")) },
		"good keys as HTML": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.Write([]byte(good))
		},
		"no type": func(w http.ResponseWriter, _ *http.Request) { w.Header()["Content-Type"] = nil; w.Write([]byte(good)) },
		"another host": func(w http.ResponseWriter, q *http.Request) {
			http.Redirect(w, q, "https://localhost:1/jwks", http.StatusFound)
		},
		"round and round": func(w http.ResponseWriter, q *http.Request) { http.Redirect(w, q, q.URL.Path, http.StatusFound) },
		"dropped":         drop,
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
		// The deny beside it: the provider is well, and the same name is now refused.
		idp.Fail(nil)
		for len(s.fetched) > 0 {
			<-s.fetched
		}
		// The breaker and the cooldown may be in the way for a moment.
		wait.Until(t, name+": it is refused afterwards", func() bool { return errors.Is(s.find(t, name), keyset.ErrUnknownKey) })
		if t.Failed() {
			return
		}
		for len(s.fetched) > 0 {
			<-s.fetched
		}
	}
}

// K7: keys of every kind that must not be used stand beside a good one, which keeps
// working.
func TestBadKeysBesideGood(t *testing.T) {
	t.Parallel()
	idp := start(t, true)
	good := string(idp.JWKS())
	idp.Fail(jsonWith(200, strings.Replace(good, `[`, `[{"kty":"oct","k":"AAAA","kid":"es9"},{"kty":"RSA","n":"AQAB","e":"AQ","kid":"r9"},{"kty":"AKP","kid":"a9"},{},7,`, 1)))
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

// K8: rotations under load. Nobody is refused with certainty, a new key is there
// within a cooldown, and an old one is gone within its bound.
func TestRotations(t *testing.T) {
	t.Parallel()
	idp := start(t, true)
	const cooldown = 100 * time.Millisecond
	s := loaded(t, idp, keyset.RemoteConfig{Bounds: keyset.Bounds{Cooldown: cooldown, RefreshMin: 200 * time.Millisecond, RemovedAfter: 200 * time.Millisecond}})
	var current atomic.Pointer[string]
	first := "es"
	current.Store(&first)
	ctx, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	var wrong, late, right atomic.Int64
	for range 4 {
		load.Go(func() {
			for ctx.Err() == nil {
				kid := *current.Load()
				switch err := s.find(t, kid); {
				case err == nil:
					right.Add(1)
				case errors.Is(err, keyset.ErrUnknownKey) && *current.Load() == kid:
					wrong.Add(1)
				default:
					late.Add(1)
				}
				time.Sleep(time.Millisecond) // clock: others want to run
			}
		})
	}
	rotations := 50
	if testing.Short() {
		rotations = 10
	}
	for n := range rotations {
		was, next := *current.Load(), fmt.Sprintf("es-%d", n)
		if err := idp.AddKey(next); err != nil {
			t.Fatal(err)
		}
		current.Store(&next) // signs at once with what it has just published
		wait.Until(t, "the new key is usable", func() bool { return s.find(t, next) == nil })
		idp.RemoveKey(was)
		wait.Until(t, "the old key is trusted no longer", func() bool { return s.find(t, was) != nil })
	}
	cancel()
	load.Wait()
	if wrong.Load() > 0 || right.Load() == 0 {
		t.Errorf("%d wrong refusals, %d right answers", wrong.Load(), right.Load())
	}
	t.Logf("%d right, %d asked to come back", right.Load(), late.Load())
}

// K3: the provider is gone. Inside the limit nobody notices; beyond it nobody is
// trusted, and nobody is told that it is their fault.
func TestOutage(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct{ limit, outage time.Duration }{"an hour": {2 * time.Hour, time.Hour}, "a day": {25 * time.Hour, 24 * time.Hour}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			idp := start(t, true)
			clock := wait.NewClock()
			s := loaded(t, idp, keyset.RemoteConfig{Now: clock.Now, After: clock.After, Bounds: keyset.Bounds{StaleIfError: x.limit}})
			generation := s.Generation()
			idp.Close()
			if f := s.next(t, clock, 5*time.Minute); f.Err == nil {
				t.Fatal("fetched from a provider that is gone")
			}
			for passed := time.Duration(0); passed < x.outage; passed += time.Minute {
				if err := s.find(t, "es"); err != nil || s.Generation() != generation {
					t.Fatalf("after %s: %v, generation %d", passed, err, s.Generation())
				}
				clock.Advance(time.Minute)
			}
			clock.Advance(x.limit)
			expect(t, "beyond the limit", s.find(t, "es"), keyset.ErrUnavailable)
			if s.Generation() != 0 || s.Status().Usable || !s.Loaded() {
				t.Errorf("generation %d, %+v: what was verified before is still trusted", s.Generation(), s.Status())
			}
			if err := idp.Up(); err != nil {
				t.Fatal(err)
			}
			for s.next(t, clock, 30*time.Second).Err != nil {
			}
			expect(t, "when it is back", s.find(t, "es"), nil)
		})
	}
}

// K8: another key under the same name is a new key, and the old one is trusted no
// longer.
func TestSameNameOtherKey(t *testing.T) {
	t.Parallel()
	clock := wait.NewClock()
	s := loaded(t, start(t, true), keyset.RemoteConfig{Now: clock.Now, After: clock.After})
	was, err := s.Key(t.Context(), "es", "ES256")
	if err != nil {
		t.Fatal(err)
	}
	generation := s.Generation()
	if err := s.idp.AddKey("es"); err != nil {
		t.Fatal(err)
	}
	before := s.idp.HitsOf("/jwks")
	for range 100 {
		s.Doubt("es") // each signature by the new key does
	}
	wait.For(t, "a fetch", s.fetched)
	is, err := s.Key(t.Context(), "es", "ES256")
	if err != nil || fmt.Sprint(is.Public) == fmt.Sprint(was.Public) || s.Generation() == generation {
		t.Errorf("the old key is still there: %v", err)
	}
	if n := s.idp.HitsOf("/jwks") - before; n > 2 {
		t.Errorf("%d fetches", n)
	}
}

// The last good set outlives a restart while the provider is down, and only if it is
// whole, this issuer's, not too old, and nobody else's to write.
func TestCacheFile(t *testing.T) {
	t.Parallel()
	idp := start(t, true)
	file := filepath.Join(t.TempDir(), "corp.json")
	loaded(t, idp, keyset.RemoteConfig{CacheFile: file}).stop()
	idp.Close()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct {
		change func(t *testing.T, file string)
		config keyset.RemoteConfig
		good   bool
	}{
		"as it was": {good: true},
		"a bit off": {change: func(t *testing.T, file string) {
			write(t, file, strings.Replace(string(text), `\"kid\":\"es\"`, `\"kid\":\"et\"`, 1))
		}},
		"cut":   {change: func(t *testing.T, file string) { write(t, file, string(text[:len(text)/2])) }},
		"empty": {change: func(t *testing.T, file string) { write(t, file, "") }},
		"anybody's": {change: func(t *testing.T, file string) {
			if err := os.Chmod(file, 0o666); err != nil {
				t.Fatal(err)
			}
		}},
		"a folder": {change: func(t *testing.T, file string) {
			if err := errors.Join(os.Remove(file), os.Mkdir(file, 0o700)); err != nil {
				t.Fatal(err)
			}
		}},
		"not there":       {change: func(t *testing.T, file string) { os.Remove(file) }},
		"another issuer":  {config: keyset.RemoteConfig{Issuer: "https://127.0.0.1:1"}},
		"another place":   {config: keyset.RemoteConfig{JWKSURI: idp.URL + "/keys"}},
		"too old":         {config: keyset.RemoteConfig{Now: func() time.Time { return time.Now().Add(25 * time.Hour) }}},
		"from the future": {config: keyset.RemoteConfig{Now: func() time.Time { return time.Now().Add(-time.Hour) }}},
	} {
		t.Run(name, func(t *testing.T) {
			c := x.config
			c.CacheFile = filepath.Join(t.TempDir(), "corp.json")
			write(t, c.CacheFile, string(text))
			if x.change != nil {
				x.change(t, c.CacheFile)
			}
			s := open(t, idp, c)
			f := <-s.fetched
			if f.Err == nil || f.FromCache != x.good || s.Loaded() != x.good {
				t.Fatalf("%+v, loaded %t", f, s.Loaded())
			}
			if x.good {
				expect(t, "a key", s.find(t, "es"), nil)
				if !s.Status().Cached {
					t.Error("the status does not say where it is from")
				}
				return
			}
			if f.CacheErr == nil && name != "not there" {
				t.Error("nobody is told why")
			}
			expect(t, "a key", s.find(t, "es"), keyset.ErrUnavailable)
		})
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDiscoveryRefuses(t *testing.T) {
	t.Parallel()
	idp := start(t, true)
	for name, document := range map[string]string{
		"another issuer":     `{"issuer":"` + idp.URL + `/","jwks_uri":"` + idp.URL + `/jwks"}`,
		"another spelling":   `{"Issuer":"` + idp.URL + `","jwks_uri":"` + idp.URL + `/jwks"}`,
		"two issuers":        `{"issuer":"https://evil.example.com","issuer":"` + idp.URL + `","jwks_uri":"` + idp.URL + `/jwks"}`,
		"keys in plain text": `{"issuer":"` + idp.URL + `","jwks_uri":"http://idp.example.com/jwks"}`,
		"no jwks_uri":        `{"issuer":"` + idp.URL + `"}`,
		"a file":             `{"issuer":"` + idp.URL + `","jwks_uri":"file:///etc/passwd"}`,
		"metadata service":   `{"issuer":"` + idp.URL + `","jwks_uri":"https://169.254.169.254/jwks"}`,
		"not JSON":           `<html>`,
	} {
		t.Run(name, func(t *testing.T) {
			idp.Fail(func(w http.ResponseWriter, q *http.Request) {
				if strings.HasSuffix(q.URL.Path, "/jwks") {
					jsonWith(200, string(idp.JWKS()))(w, q)
					return
				}
				jsonWith(200, document)(w, q)
			})
			defer idp.Fail(nil)
			s := open(t, idp, keyset.RemoteConfig{})
			if f := <-s.fetched; f.Err == nil || s.Loaded() {
				t.Errorf("loaded: %v", f.Err)
			}
		})
	}
	loaded(t, idp, keyset.RemoteConfig{}) // beside all these
}

// RFC 8414: metadata of an issuer with a path stand between host and path.
func TestDiscoveryOAuth(t *testing.T) {
	t.Parallel()
	idp := start(t, true)
	idp.Handle("/.well-known/oauth-authorization-server/tenant", func(w http.ResponseWriter, q *http.Request) {
		jsonWith(200, `{"issuer":"`+idp.URL+`/tenant","jwks_uri":"`+idp.URL+`/jwks","acr_values_supported":["a"],"claims_parameter_supported":true}`)(w, q)
	})
	s := loaded(t, idp, keyset.RemoteConfig{Issuer: idp.URL + "/tenant"})
	expect(t, "a key", s.find(t, "es"), nil)
	if m := s.Status().Metadata; len(m.ACRValues) != 1 || !m.ClaimsParameter {
		t.Errorf("%+v", m)
	}
}

// K2: metadata that lead to a place that may not be called open no connection there,
// by another name or by a redirect.
func TestNoConnectionElsewhere(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var connections atomic.Int64
	go func() { // ends when the listener closes
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			c.Close()
		}
	}()
	elsewhere := fmt.Sprintf("https://localhost:%d/jwks", listener.Addr().(*net.TCPAddr).Port)
	for name, h := range map[string]http.HandlerFunc{
		"metadata": func(w http.ResponseWriter, q *http.Request) {
			jsonWith(200, `{"issuer":"https://`+q.Host+`","jwks_uri":"`+elsewhere+`"}`)(w, q)
		},
		"redirect": func(w http.ResponseWriter, q *http.Request) { http.Redirect(w, q, elsewhere, http.StatusFound) },
	} {
		t.Run(name, func(t *testing.T) {
			idp := start(t, true)
			idp.Fail(h)
			s := open(t, idp, keyset.RemoteConfig{})
			if f := <-s.fetched; f.Err == nil || s.Loaded() {
				t.Errorf("loaded: %v", f.Err)
			}
		})
	}
	if n := connections.Load(); n != 0 {
		t.Errorf("%d connections", n)
	}
}
