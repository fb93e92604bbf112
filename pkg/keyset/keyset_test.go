package keyset_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stepward/stepward/pkg/internal/testidp"
	"github.com/stepward/stepward/pkg/keyset"
)

func start(t *testing.T, tls bool) *testidp.IDP {
	t.Helper()
	idp, err := testidp.Start(testidp.Options{TLS: tls})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(idp.Close)
	return idp
}

// JW-09: one bad key in a set is skipped, and the good ones beside it are used.
func TestParseSkips(t *testing.T) {
	var set struct{ Keys []map[string]any }
	idp := start(t, false)
	if err := idp.AddKey("es2"); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(idp.JWKS(), &set); err != nil {
		t.Fatal(err)
	}
	pick := func(kid string, changes ...any) map[string]any {
		for _, k := range set.Keys {
			if k["kid"] == kid {
				out := map[string]any{}
				for n, v := range k {
					out[n] = v
				}
				for i := 0; i < len(changes); i += 2 {
					out[changes[i].(string)] = changes[i+1]
				}
				return out
			}
		}
		t.Fatalf("no %s", kid)
		return nil
	}
	for name, bad := range map[string]any{
		"private":         pick("es", "kid", "x", "d", "AAAA"),
		"symmetric":       map[string]any{"kty": "oct", "k": "AAAA", "kid": "x"},
		"encryption":      pick("rs", "kid", "x", "use", "enc"),
		"operations":      pick("rs", "kid", "x", "key_ops", []string{"encrypt"}),
		"post-quantum":    map[string]any{"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA", "kid": "x"},
		"short RSA":       map[string]any{"kty": "RSA", "n": strings.Repeat("q", 339) + "9", "e": "AQAB", "kid": "x"},
		"exponent 1":      pick("rs", "kid", "x", "e", "AQ"),
		"exponent 3":      pick("rs", "kid", "x", "e", "Aw"),
		"off the curve":   pick("es", "kid", "x", "x", strings.Repeat("A", 42)+"E"),
		"another curve":   map[string]any{"kty": "EC", "crv": "secp256k1", "x": strings.Repeat("A", 43), "y": strings.Repeat("A", 43), "kid": "x"},
		"Ed448":           map[string]any{"kty": "OKP", "crv": "Ed448", "x": strings.Repeat("A", 76), "kid": "x"},
		"kid is a number": pick("es", "kid", 1),
		"not an object":   "x",
		"empty":           map[string]any{},
		"empty kid":       pick("es", "kid", ""),
	} {
		t.Run(name, func(t *testing.T) {
			text, err := json.Marshal(map[string]any{"keys": []any{bad, pick("ed")}})
			if err != nil {
				t.Fatal(err)
			}
			parsed, skipped, err := keyset.Parse(text)
			if err != nil || parsed.Len() != 1 || len(skipped) != 1 {
				t.Fatalf("%d keys, %v, %v", parsed.Len(), skipped, err)
			}
			if _, err := parsed.Find("x", "RS256"); !errors.Is(err, keyset.ErrUnknownKey) {
				t.Error("the bad key is used")
			}
			if k, err := parsed.Find("ed", "EdDSA"); err != nil || !k.Verifies("EdDSA") || k.Verifies("ES256") {
				t.Errorf("the good key is not: %v", err)
			}
		})
	}
	text, _ := json.Marshal(map[string]any{"keys": []any{pick("es"), pick("rs", "kid", "es"), pick("ed"), pick("ed")}})
	if parsed, skipped, err := keyset.Parse(text); err != nil || parsed.Len() != 1 || len(skipped) != 2 {
		t.Errorf("one name for two keys: %d keys, %v, %v", parsed.Len(), skipped, err)
	}
	// Without names a key is found only where it is the only one that fits.
	es := pick("es")
	delete(es, "kid")
	for n, fits := range map[int]bool{1: true, 2: false} {
		keys := []any{es, pick("rs")}
		if n == 2 {
			keys = append(keys, pick("es2"))
		}
		text, _ := json.Marshal(map[string]any{"keys": keys})
		parsed, _, err := keyset.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parsed.Find("", "ES256"); (err == nil) != fits {
			t.Errorf("%d keys for ES256: %v", n, err)
		}
		if _, err := parsed.Find("es", "ES256"); !errors.Is(err, keyset.ErrUnknownKey) {
			t.Errorf("a key without a name answers to one: %v", err)
		}
	}
	for _, bad := range []string{"", "{}", `{"keys":[]}`, `{"keys":null}`, "<html>", `{"keys":{}}`, "[]"} {
		if _, _, err := keyset.Parse([]byte(bad)); err == nil {
			t.Errorf("%q is a key set", bad)
		}
	}
}

// run starts a remote set and waits for its first fetch.
func run(t *testing.T, c keyset.RemoteConfig) (*keyset.Remote, <-chan error) {
	t.Helper()
	refreshed := make(chan error, 100)
	c.OnRefresh = func(err error) { refreshed <- err }
	r := keyset.NewRemote(c)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { r.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return r, refreshed
}

func TestRemoteByDiscovery(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Run("", func(t *testing.T) {
		idp := start(t, true)
		r, refreshed := run(t, keyset.RemoteConfig{Issuer: idp.URL, Client: idp.Client()})
		if err := <-refreshed; err != nil || !r.Loaded() {
			t.Fatal(err)
		}
		if _, err := r.Key(t.Context(), "es", "ES256"); err != nil {
			t.Error(err)
		}
		hits := idp.Hits()
		for range 50 {
			if _, err := r.Key(t.Context(), "nobody", "ES256"); !errors.Is(err, keyset.ErrUnknownKey) {
				t.Fatal(err)
			}
		}
		if idp.Hits() != hits {
			t.Errorf("unknown keys within the cooldown cost %d requests", idp.Hits()-hits)
		}
	})
}

// JW-16: a rotated key is found by one fetch once the cooldown is over, and a provider
// that answers badly takes no good key away.
func TestRotationAndFaults(t *testing.T) {
	idp := start(t, true)
	clock := time.Now()
	r, refreshed := run(t, keyset.RemoteConfig{Issuer: idp.URL, JWKSURI: idp.URL + "/jwks", Client: idp.Client(), Now: func() time.Time { return clock }})
	if err := <-refreshed; err != nil {
		t.Fatal(err)
	}
	if err := idp.AddKey("new"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Key(t.Context(), "new", "ES256"); !errors.Is(err, keyset.ErrUnknownKey) {
		t.Fatalf("within the cooldown: %v", err)
	}
	clock = clock.Add(keyset.Cooldown)
	if _, err := r.Key(t.Context(), "new", "ES256"); err != nil {
		t.Fatalf("after the cooldown: %v", err)
	}
	<-refreshed
	for name, fault := range map[string]http.HandlerFunc{
		"HTML":    func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>maintenance</html>")) },
		"no keys": func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(`{"keys":[]}`)) },
		"null":    func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(`{"keys":null}`)) },
		"500":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500); w.Write(idp.JWKS()) },
		"huge":    func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 1<<20)) },
		"elsewhere": func(w http.ResponseWriter, q *http.Request) {
			http.Redirect(w, q, "https://127.0.0.1:1/jwks", http.StatusFound)
		},
		"cut": func(w http.ResponseWriter, _ *http.Request) { w.Write(idp.JWKS()[:100]) },
	} {
		t.Run(name, func(t *testing.T) {
			idp.Fail(fault)
			defer idp.Fail(nil)
			clock = clock.Add(keyset.Cooldown)
			if _, err := r.Key(t.Context(), "nobody", "ES256"); !errors.Is(err, keyset.ErrUnavailable) {
				t.Errorf("unknown key: %v; want unavailable", err)
			}
			if err := <-refreshed; err == nil {
				t.Error("the fetch did not fail")
			}
			if _, err := r.Key(t.Context(), "es", "ES256"); err != nil {
				t.Errorf("a good key is gone: %v", err)
			}
		})
	}
}

func TestNeverLoaded(t *testing.T) {
	idp := start(t, true)
	idp.Fail(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
	r, refreshed := run(t, keyset.RemoteConfig{Issuer: idp.URL, Client: idp.Client()})
	if err := <-refreshed; err == nil || r.Loaded() {
		t.Fatal("loaded from a provider that is down")
	}
	if _, err := r.Key(t.Context(), "es", "ES256"); !errors.Is(err, keyset.ErrUnavailable) {
		t.Error(err)
	}
	idp.Fail(nil) // it comes back within the first pauses, without being asked
	for err := range refreshed {
		if err == nil {
			break
		}
	}
	if _, err := r.Key(t.Context(), "es", "ES256"); err != nil {
		t.Error(err)
	}
}

func TestDiscoveryRefuses(t *testing.T) {
	idp := start(t, true)
	for name, document := range map[string]string{
		"another issuer":     `{"issuer":"` + idp.URL + `/","jwks_uri":"` + idp.URL + `/jwks"}`,
		"keys in plain text": `{"issuer":"` + idp.URL + `","jwks_uri":"http://idp.example.com/jwks"}`,
		"no jwks_uri":        `{"issuer":"` + idp.URL + `"}`,
		"a file":             `{"issuer":"` + idp.URL + `","jwks_uri":"file:///etc/passwd"}`,
		"not JSON":           `<html>`,
	} {
		t.Run(name, func(t *testing.T) {
			idp.Fail(func(w http.ResponseWriter, q *http.Request) {
				if strings.HasSuffix(q.URL.Path, "/jwks") {
					w.Write(idp.JWKS())
					return
				}
				w.Write([]byte(document))
			})
			defer idp.Fail(nil)
			r, refreshed := run(t, keyset.RemoteConfig{Issuer: idp.URL, Client: idp.Client()})
			if err := <-refreshed; err == nil || r.Loaded() {
				t.Errorf("loaded: %v", err)
			}
		})
	}
}

func TestCheckURL(t *testing.T) {
	for s, ok := range map[string]bool{
		"https://idp.example.com/jwks": true, "http://127.0.0.1:8080": true, "http://localhost": true, "http://[::1]:1/": true,
		"http://idp.example.com": false, "file:///x": false, "https://u:p@idp.example.com": false, "https://idp.example.com/#x": false, "//idp": false, "": false, "http://127.0.0.1.example.com": false,
	} {
		if err := keyset.CheckURL(s); (err == nil) != ok {
			t.Errorf("%s: %v", s, err)
		}
	}
}
