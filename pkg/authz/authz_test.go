package authz_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

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
			Issuer: "https://idp.example.com", IssuerName: "corp", Subject: "alice", ClientID: "spa",
			Principal: token.User,
			Scheme:    credential.Bearer, Proofs: []token.Proof{
				{ACR: "loa:1", AMR: []string{"pwd", "otp"}, At: now.Add(-time.Minute)}},
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
	ladder, err := stepup.NewLadder([]stepup.Level{{Name: "password", ACR: []string{"loa:1"}},
		{Name: "mfa", ACR: []string{"loa:2"}}})
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
		Answers:  authz.Answers{Names: response.NewNames("x-stepward-"), Realm: "api"},
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

// Every reason that the spine alone can give, each with the allow next to it.
func TestReasons(t *testing.T) {
	mfa := requires(stepup.Requirement{Level: "mfa"})
	anonymous := requires(stepup.Requirement{Level: "anonymous"})
	failing := func(err error) rules {
		return rules{evaluate: func(context.Context, policy.Input) (policy.Result, error) {
			return policy.Result{},
				err
		}}
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
		{"malformed credential, even where nothing is required", anonymous, get("/", "authorization", "Bearer\ta"),
			"credential_malformed", 400},
		{"repeated credential", anonymous, get("/", "authorization", "Bearer one,Bearer two"), "credential_repeated",
			400},
		{"ambiguous path", anonymous, get("//x"), "request_ambiguous", 400},
		{"no rule", requires(), get("/", bearer("two")...), "policy_no_match", 403},
		{"policy error", failing(errors.New("boom")), get("/", bearer("two")...), "policy_error", 503},
		{"policy timeout", failing(policy.ErrTimeout), get("/", bearer("two")...), "policy_timeout", 503},
		{"route", failing(policy.ErrRoute), get("/", bearer("two")...), "route_config", 503},
		{"cancelled in the policy", failing(context.Canceled), get("/", bearer("two")...), "deadline", 503},
		{"policy panic", rules{evaluate: func(context.Context, policy.Input) (policy.Result, error) {
			panic("in the policy")
		}}, get("/", bearer("two")...), "internal", 503},
	} {
		t.Run(v.name, func(t *testing.T) {
			r := newAuthorizer(t, v.policy).Authorize(t.Context(), v.raw)
			if r.Reason() != v.want || r.Response.Status != v.status || (r.Response.Kind == response.Allow) != (v.status == 0) {
				t.Errorf("%s %d allowed %t; want %s %d", r.Reason(), r.Response.Status,
					(r.Response.Kind == response.Allow), v.want, v.status)
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

func TestMetadataAndObserver(t *testing.T) {
	a := newAuthorizer(t, requires(stepup.Requirement{Level: "mfa", Rule: "payments"}))
	var seen []*authz.Record
	a.Observe = func(_ context.Context, r *authz.Record) { seen = append(seen, r) }
	r := a.Authorize(t.Context(), get("/?secret=1", bearer("one")...))
	for name, want := range map[string]any{"result": "challenge", "reason": "insufficient_level", "level": "password",
		"required_level": "mfa", "policy_revision": "abc123", "issuer": "https://idp.example.com",
		"issuer_name": "corp", "auth_age": 60.0, "decision_id": r.ID} {
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

// sealedText is a compact JWE with direct encryption: what it begins with can be read.
var sealedText = regexp.MustCompile(`(eyJ[A-Za-z0-9_-]+)\.\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+`)

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
		a.Answers.Login = authz.LoginRedirect{URL: &url.URL{Scheme: "https", Host: "login.example.com"},
			Hosts: []string{"app.example.com"}}
		r := a.Authorize(t.Context(), get(target, "authorization", authorization, "accept", accept, "x-forged", code,
			"user-agent", detail))
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
