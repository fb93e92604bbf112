package authz_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwe"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/response"
	"github.com/stepward/stepward/pkg/stepup"
	"github.com/stepward/stepward/pkg/token"
)

var now = time.Unix(1_800_000_000, 0)

// verifier knows tokens by name.
type verifier map[string]func() (token.Token, error)

func (v verifier) Verify(_ context.Context, _ request.Request, c credential.Credential) (*token.Token, error) {
	if f, ok := v[c.Raw]; ok {
		t, err := f()
		if err != nil {
			return nil, err
		}
		return &t, nil
	}
	return nil, &token.Error{Code: token.BadSignature}
}

// rules is a policy in Go.
type rules struct {
	evaluate func(context.Context, policy.Input) (policy.Result, error)
	headers  []string
}

func (r rules) Evaluate(ctx context.Context, in policy.Input) (policy.Result, error) {
	return r.evaluate(ctx, in)
}
func (r rules) Traits() policy.Traits {
	return policy.Traits{Revision: "abc123", RequestHeaders: r.headers}
}

func requires(reqs ...stepup.Requirement) rules {
	return rules{evaluate: func(context.Context, policy.Input) (policy.Result, error) {
		return policy.Result{Require: reqs}, nil
	}}
}

func alice(change func(*token.Token)) func() (token.Token, error) {
	return func() (token.Token, error) {
		t := token.Token{
			Issuer: "https://idp.example.com", IssuerName: "corp", Subject: "alice", ClientID: "spa", Principal: token.User,
			Scheme: credential.Bearer, Proofs: []token.Proof{{ACR: "loa:1", AMR: []string{"pwd", "otp"}, At: now.Add(-time.Minute)}},
			IssuedAt: now, ExpiresAt: now.Add(time.Hour),
		}
		if change != nil {
			change(&t)
		}
		return t, nil
	}
}

func newAuthorizer(t *testing.T, p authz.Policy) *authz.Authorizer {
	t.Helper()
	ladder, err := stepup.NewLadder([]stepup.Level{{Name: "password", ACR: []string{"loa:1"}}, {Name: "mfa", ACR: []string{"loa:2"}}})
	if err != nil {
		t.Fatal(err)
	}
	return &authz.Authorizer{
		Verifier: verifier{
			"one":     alice(nil),
			"two":     alice(func(t *token.Token) { t.Proofs[0].ACR = "loa:2" }),
			"odd":     alice(func(t *token.Token) { t.Subject = "ä b\r\n%"; t.Proofs[0].AMR = []string{"x y", "z"} }),
			"expired": func() (token.Token, error) { return token.Token{}, &token.Error{Code: token.Expired} },
			"nokeys":  func() (token.Token, error) { return token.Token{}, &token.Error{Code: token.KeysUnavailable} },
			"broken":  func() (token.Token, error) { return token.Token{}, errors.New("disk on fire") },
			"panic":   func() (token.Token, error) { panic("in the verifier") },
		},
		Policy:   p,
		Ladder:   ladder,
		Answers:  authz.Answers{HeaderPrefix: "x-stepward-", Realm: "api"},
		Deadline: time.Second,
		Now:      func() time.Time { return now },
		Rand:     rand.Reader,
	}
}

func get(path string, headers ...string) request.Raw {
	raw := request.Raw{Method: "GET", Host: "app.example.com", Target: path, Scheme: "https"}
	for i := 0; i < len(headers); i += 2 {
		raw.Headers = append(raw.Headers, request.Field{Name: headers[i], Value: headers[i+1]})
	}
	return raw
}

func bearer(name string) []string { return []string{"authorization", "Bearer " + name} }

func header(fields []request.Field, name string) string {
	for _, f := range fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// Every row of reasons that the spine alone can give, with the allow beside it.
func TestReasons(t *testing.T) {
	mfa := requires(stepup.Requirement{Level: "mfa"})
	anonymous := requires(stepup.Requirement{Level: "anonymous"})
	failing := func(err error) rules {
		return rules{evaluate: func(context.Context, policy.Input) (policy.Result, error) { return policy.Result{}, err }}
	}
	for _, v := range []struct {
		name   string
		policy rules
		raw    request.Raw
		want   stepup.Reason
		status int // 0: allowed
	}{
		{"enough", mfa, get("/", bearer("two")...), "ok", 0},
		{"too little", mfa, get("/", bearer("one")...), "insufficient_level", 401},
		{"nothing", mfa, get("/"), "no_credentials", 401},
		{"another scheme is nothing", mfa, get("/", "authorization", "Basic eA"), "no_credentials", 401},
		{"bad token", mfa, get("/", bearer("forged")...), "token_bad_signature", 401},
		{"bad token where nothing is required", anonymous, get("/", bearer("forged")...), "ok", 0},
		{"expired", mfa, get("/", bearer("expired")...), "token_expired", 401},
		{"no keys", mfa, get("/", bearer("nokeys")...), "keys_unavailable", 503},
		{"a verifier's other error", mfa, get("/", bearer("broken")...), "keys_unavailable", 503},
		{"a verifier's panic", mfa, get("/", bearer("panic")...), "internal", 503},
		{"malformed credential, even where nothing is required", anonymous, get("/", "authorization", "Bearer\ta"), "credential_malformed", 400},
		{"repeated credential", anonymous, get("/", "authorization", "Bearer one,Bearer two"), "credential_repeated", 400},
		{"ambiguous path", anonymous, get("//x"), "request_ambiguous", 400},
		{"no rule", requires(), get("/", bearer("two")...), "policy_no_match", 403},
		{"policy error", failing(errors.New("boom")), get("/", bearer("two")...), "policy_error", 503},
		{"policy timeout", failing(policy.ErrTimeout), get("/", bearer("two")...), "policy_timeout", 503},
		{"route", failing(policy.ErrRoute), get("/", bearer("two")...), "route_config", 503},
		{"cancelled in the policy", failing(context.Canceled), get("/", bearer("two")...), "deadline", 503},
		{"policy panic", rules{evaluate: func(context.Context, policy.Input) (policy.Result, error) { panic("in the policy") }}, get("/", bearer("two")...), "internal", 503},
	} {
		t.Run(v.name, func(t *testing.T) {
			r := newAuthorizer(t, v.policy).Authorize(t.Context(), v.raw)
			if r.Reason() != v.want || r.Response.Status != v.status || (r.Response.Kind == response.Allow) != (v.status == 0) {
				t.Errorf("%s %d allowed %t; want %s %d", r.Reason(), r.Response.Status, (r.Response.Kind == response.Allow), v.want, v.status)
			}
			if strings.Contains(r.Response.Body, "disk on fire") || strings.Contains(r.Response.Body, "in the") {
				t.Errorf("the client is told of our insides: %s", r.Response.Body)
			}
		})
	}
}

// A context that has ended is never an allow, whenever it ends.
func TestEndedContextDenies(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	a := newAuthorizer(t, requires(stepup.Requirement{Level: "anonymous"}))
	if r := a.Authorize(t.Context(), get("/")); r.Response.Kind != response.Allow {
		t.Fatalf("%s; want an allow", r.Reason())
	}
	if r := a.Authorize(ended, get("/")); (r.Response.Kind == response.Allow) || r.Reason() != stepup.Deadline {
		t.Errorf("ended before: %s, allowed %t", r.Reason(), (r.Response.Kind == response.Allow))
	}
	during, cancel := context.WithCancel(t.Context())
	a.Policy = rules{evaluate: func(context.Context, policy.Input) (policy.Result, error) {
		cancel()
		return policy.Result{Require: []stepup.Requirement{{Level: "anonymous"}}}, nil
	}}
	if r := a.Authorize(during, get("/")); (r.Response.Kind == response.Allow) || r.Reason() != stepup.Deadline {
		t.Errorf("ended during the policy: %s, allowed %t", r.Reason(), (r.Response.Kind == response.Allow))
	}
}

// What the upstream may believe is set by us or is not there.
func TestUpstreamHeaders(t *testing.T) {
	p := rules{headers: []string{"x-tenant", "x-plan", "x_risk"}, evaluate: func(context.Context, policy.Input) (policy.Result, error) {
		return policy.Result{
			Require: []stepup.Requirement{{Level: "anonymous"}},
			Headers: map[string][]string{"x-plan": {"a", "b"}},
		}, nil
	}}
	forged := append(bearer("odd"), "x-stepward-subject", "root", "X_Stepward_Acr", "root", "x.stepward-anything", "root",
		"x-tenant", "root", "x_plan", "root", "x-risk", "root", "x.risk", "root", "x-other", "kept", "dpop", "proof")
	r := newAuthorizer(t, p).Authorize(t.Context(), get("/", forged...))
	for name, want := range map[string]string{
		"x-stepward-subject": "%C3%A4%20b%0D%0A%25", "x-stepward-amr": "x%20y z", "x-stepward-acr": "loa:1", "x-stepward-level": "password",
		"x-stepward-issuer": "https://idp.example.com", "x-stepward-client-id": "spa", "x-stepward-auth-time": "1799999940",
		"x-stepward-decision-id": r.ID, "x-plan": "a, b",
	} {
		if got := header(r.Response.Set, name); got != want {
			t.Errorf("%s: %q; want %q", name, got, want)
		}
		if slices.Contains(r.Response.Remove, name) {
			t.Errorf("%s is set and removed", name)
		}
	}
	for _, name := range []string{"x_stepward_acr", "x.stepward-anything", "x-tenant", "x_plan", "x_risk", "x-risk", "x.risk", "x_stepward_subject", "x.stepward.subject", "dpop"} {
		if !slices.Contains(r.Response.Remove, name) {
			t.Errorf("%s is not removed from the request", name)
		}
	}
	for _, name := range []string{"x-other", "authorization"} {
		if slices.Contains(r.Response.Remove, name) {
			t.Errorf("%s is removed", name)
		}
	}

	r = newAuthorizer(t, p).Authorize(t.Context(), get("/", append(bearer("forged"), "x-stepward-subject", "root")...))
	for _, name := range []string{"x-stepward-subject", "x-stepward-acr", "x-stepward-auth-time", "authorization"} {
		if !slices.Contains(r.Response.Remove, name) || header(r.Response.Set, name) != "" {
			t.Errorf("without a valid token %s is not removed", name)
		}
	}
	if got := header(r.Response.Set, "x-stepward-level"); got != "anonymous" {
		t.Errorf("level of nobody: %q", got)
	}
	a := newAuthorizer(t, p)
	a.Answers.RemoveAuthorization = true
	if r := a.Authorize(t.Context(), get("/", bearer("one")...)); !slices.Contains(r.Response.Remove, "authorization") {
		t.Error("authorization: remove keeps a verified token")
	}
	if r := a.Authorize(t.Context(), get("/", "authorization", "Basic eA")); slices.Contains(r.Response.Remove, "authorization") {
		t.Error("a credential of another scheme is removed")
	}
}

func TestChallenge(t *testing.T) {
	a := newAuthorizer(t, requires(stepup.Requirement{Level: "mfa", MaxAge: stepup.AgeOf(5 * time.Minute), Detail: `Payments "move" money`}))
	a.Answers.ResourceMetadata = "https://api.example.com/.well-known/oauth-protected-resource"
	r := a.Authorize(t.Context(), get("/", bearer("one")...))
	want := `Bearer realm="api", error="insufficient_user_authentication", error_description="A stronger authentication is required", acr_values="loa:2", max_age="300", resource_metadata="https://api.example.com/.well-known/oauth-protected-resource"`
	if got := header(r.Response.Headers, "www-authenticate"); got != want {
		t.Errorf("challenge:\n%s\nwant\n%s", got, want)
	}
	var body map[string]any
	if err := json.Unmarshal([]byte(r.Response.Body), &body); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{"status": 401.0, "error": "insufficient_user_authentication", "reason": "insufficient_level", "level": "mfa", "max_age": 300.0, "detail": `Payments "move" money`, "decision_id": r.ID} {
		if body[name] != want {
			t.Errorf("%s: %v; want %v", name, body[name], want)
		}
	}
	for _, name := range []string{"content-type", "cache-control"} {
		if header(r.Response.Headers, name) == "" {
			t.Errorf("no %s", name)
		}
	}

	// Who has shown no valid token learns nothing of the requirement.
	for _, raw := range []request.Raw{get("/"), get("/", bearer("expired")...), get("/", bearer("forged")...)} {
		r := a.Authorize(t.Context(), raw)
		for _, secret := range []string{"loa:2", "300", "mfa", "Payments"} {
			if strings.Contains(r.Response.Body+header(r.Response.Headers, "www-authenticate"), secret) {
				t.Errorf("%s tells %q: %s", r.Reason(), secret, r.Response.Body)
			}
		}
	}
	a.Answers.HideRequirements = true
	r = a.Authorize(t.Context(), get("/", bearer("one")...))
	if all := r.Response.Body + header(r.Response.Headers, "www-authenticate"); strings.Contains(all, "loa:2") || strings.Contains(all, "max_age") || strings.Contains(all, "mfa") || !strings.Contains(all, "insufficient_user_authentication") {
		t.Errorf("hidden requirements: %s", all)
	}
}

func TestBrowser(t *testing.T) {
	a := newAuthorizer(t, requires(stepup.Requirement{Level: "mfa", MaxAge: stepup.AgeOf(0)}))
	login := authz.LoginRedirect{URL: &url.URL{Scheme: "https", Host: "login.example.com", Path: "/step-up", RawQuery: "k=v"}, Hosts: []string{"app.example.com"}}
	a.Answers.Login = login
	navigation := []string{"sec-fetch-mode", "navigate", "sec-fetch-dest", "document", "accept", "text/html"}

	r := a.Authorize(t.Context(), get("/pay/%C3%A9?x=1&y=%2F", navigation...))
	location, err := url.Parse(header(r.Response.Headers, "location"))
	if err != nil || r.Response.Status != 302 || r.Result() != stepup.ResultRedirect || location.Host != "login.example.com" {
		t.Fatalf("%d %s", r.Response.Status, location)
	}
	for name, want := range map[string]string{"acr_values": "loa:2", "max_age": "0", "return_to": "https://app.example.com/pay/%C3%A9?x=1&y=%2F", "k": "v"} {
		if got := location.Query().Get(name); got != want {
			t.Errorf("%s=%q; want %q", name, got, want)
		}
	}
	// A demonstration on loopback comes by another origin; an unlisted host gains none.
	login.InsecureOrigin = func(host string) string {
		return map[string]string{"app.example.com": "http://127.0.0.1:8080"}[host]
	}
	a.Answers.Login = login
	for host, want := range map[string]string{"app.example.com": "http://127.0.0.1:8080/pay?x=1", "evil.example": ""} {
		raw := get("/pay?x=1", navigation...)
		raw.Host = host
		there, err := url.Parse(header(a.Authorize(t.Context(), raw).Response.Headers, "location"))
		if err != nil || there.Query().Get("return_to") != want {
			t.Errorf("%s: %s", host, there)
		}
	}
	login.InsecureOrigin = func(string) string { return "" }
	a.Answers.Login = login
	if r := a.Authorize(t.Context(), get("/pay", navigation...)); !strings.Contains(header(r.Response.Headers, "location"), "return_to=https%3A%2F%2Fapp.example.com%2Fpay") {
		t.Errorf("without an origin of its own: %v", r.Response.Headers)
	}
	login.InsecureOrigin = nil
	a.Answers.Login = login
	post := get("/pay", navigation...)
	post.Method = "POST"
	if r := a.Authorize(t.Context(), post); r.Response.Status != 401 || r.Result() != stepup.ResultRedirect || !strings.Contains(r.Response.Body, "https://login.example.com/step-up?") {
		t.Errorf("POST: %d %s %s", r.Response.Status, r.Result(), r.Response.Body)
	}
	evil := get("/pay", navigation...)
	evil.Host = "evil.example"
	if r := a.Authorize(t.Context(), evil); r.Response.Status != 401 || r.Result() != stepup.ResultChallenge {
		t.Errorf("a host that is not listed: %d %s", r.Response.Status, r.Result())
	}
	if r := a.Authorize(t.Context(), get("/pay", append(navigation, bearer("one")...)...)); r.Response.Status != 401 {
		t.Errorf("with Authorization: %d", r.Response.Status)
	}
	if r := a.Authorize(t.Context(), get("/pay")); r.Response.Status != 401 {
		t.Errorf("a program: %d", r.Response.Status)
	}
}

func TestDenial(t *testing.T) {
	p := rules{evaluate: func(context.Context, policy.Input) (policy.Result, error) {
		return policy.Result{
			Require: []stepup.Requirement{{Level: "anonymous"}},
			Deny:    []stepup.Denial{{Code: "gone_fishing", Reason: "for the log", Detail: "<b>closed</b>", Status: 451, Rule: "r"}},
		}, nil
	}}
	r := newAuthorizer(t, p).Authorize(t.Context(), get("/", "sec-fetch-mode", "navigate", "sec-fetch-dest", "document"))
	if r.Response.Status != 451 || r.Rule() != "r" || strings.Contains(r.Response.Body, "<b>") || strings.Contains(r.Response.Body, "for the log") || !strings.Contains(r.Response.Body, "closed") {
		t.Errorf("%d %s", r.Response.Status, r.Response.Body)
	}
}

func TestCORS(t *testing.T) {
	a := newAuthorizer(t, requires(stepup.Requirement{Level: "mfa"}))
	a.Answers.CORS = authz.CORS{Origins: []string{"https://spa.example"}, AllowHeaders: []string{"authorization"}}
	preflight := func(origin string) request.Raw {
		raw := get("/", "origin", origin, "access-control-request-method", "POST", "sec-fetch-mode", "cors")
		raw.Method = "OPTIONS"
		return raw
	}
	if r := a.Authorize(t.Context(), preflight("https://spa.example")); r.Response.Status != 204 || r.Result() != stepup.ResultPreflight || header(r.Response.Headers, "access-control-allow-methods") != "POST" {
		t.Errorf("listed: %d %s", r.Response.Status, r.Result())
	}
	if r := a.Authorize(t.Context(), preflight("https://evil.example")); r.Response.Status != 401 || header(r.Response.Headers, "access-control-allow-origin") != "" {
		t.Errorf("not listed: %d", r.Response.Status)
	}
	r := a.Authorize(t.Context(), get("/", "origin", "https://spa.example"))
	if header(r.Response.Headers, "access-control-allow-origin") != "https://spa.example" || header(r.Response.Headers, "access-control-expose-headers") != "WWW-Authenticate" {
		t.Errorf("a challenge that the page cannot read: %v", r.Response.Headers)
	}
}

func TestBodyForm(t *testing.T) {
	a := newAuthorizer(t, requires(stepup.Requirement{Level: "mfa"}))
	for _, v := range []struct {
		headers     []string
		contentType string
		begins      string
	}{
		{nil, "application/problem+json", "{"},
		{[]string{"content-type", "application/grpc"}, "text/plain; charset=utf-8", "authentication required: no_credentials"},
		{[]string{"sec-fetch-mode", "navigate", "sec-fetch-dest", "iframe"}, "text/html; charset=utf-8", "<!doctype html>"},
		{[]string{"content-type", "application/grpc-web+proto"}, "application/problem+json", "{"},
	} {
		r := a.Authorize(t.Context(), get("/", v.headers...))
		if header(r.Response.Headers, "content-type") != v.contentType || !strings.HasPrefix(r.Response.Body, v.begins) {
			t.Errorf("%q: %s %q", v.headers, header(r.Response.Headers, "content-type"), r.Response.Body)
		}
	}
}

func TestMetadataAndObserver(t *testing.T) {
	a := newAuthorizer(t, requires(stepup.Requirement{Level: "mfa", Rule: "payments"}))
	var seen []*authz.Record
	a.Observe = func(_ context.Context, r *authz.Record) { seen = append(seen, r) }
	r := a.Authorize(t.Context(), get("/?secret=1", bearer("one")...))
	for name, want := range map[string]any{"result": "challenge", "reason": "insufficient_level", "level": "password", "required_level": "mfa", "policy_revision": "abc123", "issuer": "https://idp.example.com", "issuer_name": "corp", "auth_age": 60.0, "decision_id": r.ID} {
		if got := r.Response.Metadata[name]; got != want {
			t.Errorf("%s: %v; want %v", name, got, want)
		}
	}
	if len(seen) != 1 || seen[0].ID != r.ID || seen[0].Rule() != "payments" || len(r.ID) != 32 {
		t.Errorf("observed %d records, rule %q", len(seen), seen[0].Rule())
	}
	a.Rand = bytes.NewReader(nil)
	if r := a.Authorize(t.Context(), get("/")); r.ID != "" || (r.Response.Kind == response.Allow) {
		t.Errorf("without randomness: id %q", r.ID)
	}
}

// What is hidden is told to nobody, in no part of an answer, whatever kind of client asks and
// whatever it brings. The login application alone can open what is sealed for it.
func TestHiddenFromEverybody(t *testing.T) {
	key := []byte("0123456789abcdef0123456789abcdef")
	a := newAuthorizer(t, requires(stepup.Requirement{Level: "mfa", MaxAge: stepup.AgeOf(300 * time.Second), Detail: "Payments"}))
	a.Answers.HideRequirements = true
	seal, err := authz.NewSealer(key, a.Now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := authz.NewSealer(key[:31], a.Now); err == nil {
		t.Error("a short key seals")
	}
	kinds := map[string][]string{
		"navigation": {"sec-fetch-mode", "navigate", "sec-fetch-dest", "document", "accept", "text/html"},
		"frame":      {"sec-fetch-mode", "navigate", "sec-fetch-dest", "iframe"}, "older browser": {"accept", "text/html,application/xhtml+xml"},
		"fetch": {"sec-fetch-mode", "cors", "sec-fetch-dest", "empty"}, "program": {}, "gRPC": {"content-type", "application/grpc"},
		"websocket": {"upgrade", "websocket", "sec-fetch-mode", "websocket", "connection", "upgrade"}, "JSON": {"accept", "application/json"},
	}
	sealed := 0
	for kind, fields := range kinds {
		for who, credential := range map[string][]string{"nobody": nil, "too little": bearer("one"), "a bad token": bearer("nonsense")} {
			for _, method := range []string{"GET", "HEAD", "POST"} {
				for _, open := range []func(stepup.Ask) string{nil, seal} {
					a.Answers.Login = authz.LoginRedirect{URL: &url.URL{Scheme: "https", Host: "login.example.com", Path: "/step-up"}, Hosts: []string{"app.example.com"}, Seal: open, Hide: true}
					raw := get("/pay", append(slices.Clone(fields), credential...)...)
					raw.Method = method
					r := a.Authorize(t.Context(), raw)
					text := r.Response.Body
					for _, f := range r.Response.Headers {
						text += "\n" + f.Name + ": " + f.Value
					}
					text = withoutChance(text, r.ID)
					for _, secret := range []string{"loa", "300", "mfa", "Payments", "acr_values", "max_age"} {
						if strings.Contains(text, secret) {
							t.Errorf("%s, %s, %s is told %q: %s", kind, who, method, secret, text)
						}
					}
					if r.Response.Kind == response.Allow {
						t.Errorf("%s, %s, %s is let in", kind, who, method)
					}
					if u, err := url.Parse(header(r.Response.Headers, "location")); err == nil && u.Query().Has("step_up") {
						sealed++
						text, err := jwe.Decrypt([]byte(u.Query().Get("step_up")), jwe.WithKey(jwa.DIRECT, key))
						want := fmt.Sprintf(`{"acr_values":"loa:2","max_age":"300","iat":%d,"exp":%d}`, a.Now().Unix(), a.Now().Unix()+600)
						if err != nil || strings.TrimSpace(string(text)) != want {
							t.Errorf("%s, %v; want %s", text, err, want)
						}
						if _, err := jwe.Decrypt([]byte(u.Query().Get("step_up")), jwe.WithKey(jwa.DIRECT, []byte(strings.ToUpper(string(key))))); err == nil {
							t.Error("another key opens it")
						}
					}
				}
			}
		}
	}
	if sealed == 0 {
		t.Error("nobody was sent to the login")
	}
}

// sealedText is a compact JWE with direct encryption: what it begins with can be read.
var sealedText = regexp.MustCompile(`(eyJ[A-Za-z0-9_-]+)\.\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+`)

// withoutChance is text without what is random in it, where any digits can stand: the id
// of the decision and what is encrypted. Of that the header stays, decoded.
func withoutChance(text, id string) string {
	text = sealedText.ReplaceAllStringFunc(strings.ReplaceAll(text, id, ""), func(s string) string {
		header, err := base64.RawURLEncoding.DecodeString(sealedText.FindStringSubmatch(s)[1])
		if err != nil {
			return s
		}
		return string(header)
	})
	return text
}

// What is random is taken away, and nothing that could be told beside it.
func TestWithoutChance(t *testing.T) {
	for text, want := range map[string]string{
		"step_up=eyJhbGciOiJkaXIifQ..300a.300.mfa&max_age=300": `step_up={"alg":"dir"}&max_age=300`,
		"eyJhIjozMDB9..a.b.c eyJhIjozMDB9.300.mfa":             `{"a":300} eyJhIjozMDB9.300.mfa`,
		"mfa 0a300f":    "mfa ",
		"in..300.mfa.x": "in..300.mfa.x",
	} {
		if got := withoutChance(text, "0a300f"); got != want {
			t.Errorf("%q is left of %q; want %q", got, text, want)
		}
	}
}

// Whatever a client and a policy put in, no control byte comes out, and nothing
// is allowed that was not decided so.
func FuzzAnswer(f *testing.F) {
	f.Add("/x", "Bearer one", "text/html", "a\r\nset-cookie: x", "é%\x00", uint8(1))
	f.Add("/?q", "Bearer odd", "*/*", "", "", uint8(0))
	f.Fuzz(func(t *testing.T, target, authorization, accept, detail, code string, anonymous uint8) {
		reqs := []stepup.Requirement{{Level: "mfa", Detail: detail}}
		if anonymous%2 == 1 {
			reqs = []stepup.Requirement{{Level: "anonymous"}}
		}
		a := newAuthorizer(t, requires(reqs...))
		a.Answers.Login = authz.LoginRedirect{URL: &url.URL{Scheme: "https", Host: "login.example.com"}, Hosts: []string{"app.example.com"}}
		r := a.Authorize(t.Context(), get(target, "authorization", authorization, "accept", accept, "x-forged", code, "user-agent", detail))
		if _, ok := r.Decision.(stepup.Allow); ok != (r.Response.Kind == response.Allow) {
			t.Fatalf("%T is answered allowed %t", r.Decision, (r.Response.Kind == response.Allow))
		}
		for _, f := range slices.Concat(r.Response.Headers, r.Response.Set, r.Response.Add) {
			for i := range len(f.Value) {
				if f.Value[i] < ' ' || f.Value[i] == 0x7f {
					t.Fatalf("%s: %q", f.Name, f.Value)
				}
			}
		}
	})
}
