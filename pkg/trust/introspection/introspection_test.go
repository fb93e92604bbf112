package introspection_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stepward/stepward/pkg/internal/testidp"
	"github.com/stepward/stepward/pkg/internal/wait"
	"github.com/stepward/stepward/pkg/trust/introspection"
	"github.com/stepward/stepward/pkg/trust/outbound"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T) *testidp.IDP {
	t.Helper()
	idp, err := testidp.Start(testidp.Options{TLS: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(idp.Close)
	return idp
}

func open(t *testing.T, idp *testidp.IDP, c introspection.Config) *introspection.Client {
	t.Helper()
	c.Endpoint = idp.URL + "/introspect"
	if c.Client == nil {
		c.Client = outbound.New(outbound.Config{Roots: idp.Roots(), Allow: []string{"127.0.0.1"}, Timeout: wait.Bound})
	}
	t.Cleanup(c.Client.Close)
	if c.Authenticate == nil {
		c.Authenticate = introspection.Basic("gateway", testidp.ClientSecret)
	}
	return introspection.New(c)
}

func TestAnswers(t *testing.T) {
	idp := start(t)
	c := open(t, idp, introspection.Config{})
	good := idp.Opaque("", nil)
	if a, err := c.Introspect(t.Context(), good); err != nil || !a.Active || a.Claims["sub"] != "alice" {
		t.Errorf("active: %+v, %v", a, err)
	}
	if a, err := c.Introspect(t.Context(), "nobody's"); err != nil || a.Active || a.Claims != nil {
		t.Errorf("unknown: %+v, %v", a, err)
	}
	wrong := open(t, idp, introspection.Config{Authenticate: introspection.Basic("gateway", "guess")})
	if a, err := wrong.Introspect(t.Context(), good); !errors.Is(err, introspection.ErrUnavailable) || a.Active ||
		!strings.Contains(err.Error(), "client_id") {
		t.Errorf("with a wrong secret: %+v, %v", a, err)
	}
}

// Each authentication method, and the refusal next to it.
func TestAuthenticate(t *testing.T) {
	for name, x := range map[string]struct {
		prove func(http.Header, url.Values) error
		known func(*http.Request) bool
	}{
		"post": {introspection.Post("gateway", "s"), func(r *http.Request) bool {
			return r.PostFormValue("client_id") == "gateway" && r.PostFormValue("client_secret") == "s"
		}},
		"private_key_jwt": {introspection.PrivateKeyJWT("gateway", func() (string, error) { return "signed", nil }),
			func(r *http.Request) bool {
				return r.PostFormValue("client_assertion") == "signed" && r.PostFormValue(
					"client_assertion_type") == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
			}},
		"tls": {introspection.TLS("gateway"), func(r *http.Request) bool {
			return r.PostFormValue("client_id") == "gateway"
		}},
		"broken": {introspection.PrivateKeyJWT("gateway", func() (string, error) { return "", errors.New("no key") }),
			func(*http.Request) bool {
				return true
			}},
	} {
		t.Run(name, func(t *testing.T) {
			idp := start(t)
			token := idp.Opaque("", nil)
			idp.Authenticate(x.known)
			a, err := open(t, idp, introspection.Config{Authenticate: x.prove}).Introspect(t.Context(), token)
			if good := name != "broken"; a.Active != good || good != (err == nil) {
				t.Errorf("%+v, %v", a, err)
			}
			idp.Authenticate(func(*http.Request) bool { return false })
			if a, err := open(t, idp, introspection.Config{Authenticate: x.prove}).Introspect(
				t.Context(), token); err == nil || a.Active {
				t.Errorf("where the issuer does not know it: %+v, %v", a, err)
			}
		})
	}
}

// Whatever is no answer is neither yes nor no.
func TestBadAnswers(t *testing.T) {
	idp := start(t)
	body := func(status int, kind, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			w.Write([]byte(text))
		}
	}
	const jsonType, good = "application/json", `{"active":true,"sub":"alice"}`
	for name, answer := range map[string]http.HandlerFunc{
		"500":              body(500, jsonType, good),
		"503":              body(503, jsonType, good),
		"403":              body(403, jsonType, good),
		"201":              body(201, jsonType, good),
		"HTML":             body(200, "text/html", "<html>"),
		"JSON as HTML":     body(200, "text/html", good),
		"signed, unasked":  body(200, introspection.JWTType, "a.b.c"),
		"empty":            body(200, jsonType, ""),
		"no active":        body(200, jsonType, `{"sub":"alice"}`),
		"active as text":   body(200, jsonType, `{"active":"true"}`),
		"active as number": body(200, jsonType, `{"active":1}`),
		"active null":      body(200, jsonType, `{"active":null}`),
		"active twice":     body(200, jsonType, `{"active":false,"active":true}`),
		"Active":           body(200, jsonType, `{"Active":true}`),
		"a list":           body(200, jsonType, `[true]`),
		"more after it":    body(200, jsonType, good+good),
		"byte order mark":  body(200, jsonType, "\ufeff"+good),
		"huge":             body(200, jsonType, good+strings.Repeat(" ", 1<<20)),
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://localhost:1/", http.StatusTemporaryRedirect)
		},
		"hangs": func(_ http.ResponseWriter, r *http.Request) { r.ParseForm(); <-r.Context().Done() },
	} {
		t.Run(name, func(t *testing.T) {
			var told error
			o := introspection.Config{OnAnswer: func(_ bool, err error) { told = err }}
			if name == "hangs" {
				o.Client = outbound.New(outbound.Config{Roots: idp.Roots(), Allow: []string{"127.0.0.1"}, Timeout: time.Second}) // clock: nobody answers
			}
			c := open(t, idp, o)
			idp.Fail(answer)
			a, err := c.Introspect(t.Context(), "token")
			if !errors.Is(err, introspection.ErrUnavailable) || a.Active || told == nil {
				t.Errorf("%+v, %v, %v", a, err, told)
			}
			// Beside it, with the same client: a good answer is one, and the bad one was not
			// remembered.
			idp.Fail(body(200, jsonType, good))
			wait.Until(t, "a good answer afterwards",
				func() bool { a, err := c.Introspect(t.Context(), "token"); return err == nil && a.Active })
		})
	}
}

// Many who bring one token ask once; the answer is kept as long as it may be, and what
// ends sooner ends sooner.
func TestRemembers(t *testing.T) {
	idp := start(t)
	var clock atomic.Int64
	begin := time.Now()
	now := func() time.Time { return begin.Add(time.Duration(clock.Load())) }
	c := open(t, idp, introspection.Config{Now: now, CacheMax: 30 * time.Second})
	token := idp.Opaque("", nil)
	asked := func() int { return idp.HitsOf("/introspect") }
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if a, err := c.Introspect(t.Context(), token); err != nil || !a.Active {
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
	all.Wait()
	if n := asked(); n != 1 {
		t.Errorf("%d calls", n)
	}
	idp.Introspects(token, nil)
	clock.Store(int64(29 * time.Second))
	if a, err := c.Introspect(t.Context(), token); err != nil || !a.Active || asked() != 1 {
		t.Errorf("within cache_max: %+v, %v", a, err)
	}
	clock.Store(int64(31 * time.Second))
	if a, err := c.Introspect(t.Context(), token); err != nil || a.Active || asked() != 2 {
		t.Errorf("revoked, after cache_max: %+v, %v", a, err)
	}
	short := idp.Opaque("", map[string]any{"exp": now().Add(5 * time.Second).Unix()})
	if _, err := c.Introspect(t.Context(), short); err != nil {
		t.Fatal(err)
	}
	idp.Introspects(short, nil)
	clock.Add(int64(6 * time.Second))
	if a, err := c.Introspect(t.Context(), short); err != nil || a.Active {
		t.Errorf("after exp: %+v, %v", a, err)
	}
	n := asked()
	for range 20 {
		c.Introspect(t.Context(), "nobody's")
	}
	if asked() != n+1 {
		t.Errorf("%d calls for one inactive token", asked()-n)
	}
}

// Who cannot wait gets no answer in time, and the call goes on for the others.
func TestDeadline(t *testing.T) {
	idp := start(t)
	c := open(t, idp, introspection.Config{MaxCalls: 2})
	token := idp.Opaque("", nil)
	release := make(chan struct{})
	idp.Fail(func(w http.ResponseWriter, _ *http.Request) {
		<-release
		w.Header().Set("Content-Type", "application/json")
		w.Write([]byte(`{"active":true}`))
	})
	wait.Until(t, "an answer before the deadline", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond) // clock: a busy machine may miss it, and is asked again
		defer cancel()
		if _, err := c.Introspect(ctx, token); !errors.Is(err, introspection.ErrUnavailable) {
			t.Errorf("%v", err)
		}
		return ctx.Err() == nil
	})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	c.Introspect(gone, "second")
	wait.Until(t, "two calls are under way", func() bool { return idp.HitsOf("/introspect") == 2 })
	if _, err := c.Introspect(t.Context(), "third"); !errors.Is(err, introspection.ErrUnavailable) || !strings.Contains(
		err.Error(), "under way") {
		t.Errorf("more calls than may be made: %v", err)
	}
	close(release)
	if a, err := c.Introspect(t.Context(), token); err != nil || !a.Active {
		t.Errorf("%+v, %v", a, err)
	}
	if n := idp.HitsOf("/introspect"); n > 2 {
		t.Errorf("%d calls", n)
	}
}

// FuzzParse: anything read as an answer says explicitly whether the token is active.
func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"active":true}`, `{"active":false}`, `{"active":"true"}`,
		`{"active":true,"active":false}`, `[]`, ``, "\ufeff{}", `{"active":true,"exp":1e999}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		o, err := introspection.Parse(body)
		if err != nil {
			return
		}
		active, ok := o["active"].(bool)
		if !ok || strings.Count(string(body), "active") == 0 && !strings.Contains(string(body), `\u`) {
			t.Fatalf("%q is an answer", body)
		}
		if active && !strings.Contains(string(body), "true") {
			t.Fatalf("%q is active", body)
		}
	})
}
