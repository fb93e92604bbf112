package authz_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/response"
	"github.com/stepward/stepward/pkg/stepup"
	"github.com/stepward/stepward/pkg/token"
)

// What an upstream and a policy are told of a caller with several proofs is told of one of
// them: the level, how it was shown, and when.
func TestOneProofIsShown(t *testing.T) {
	a := newAuthorizer(t, requires(stepup.Requirement{Level: "mfa"}))
	a.Verifier = verifier{"both": alice(func(t *token.Token) {
		t.Proofs = []token.Proof{
			{ACR: "loa:1", AMR: []string{"pwd"}, At: now.Add(-time.Second)},
			{ACR: "loa:2", AMR: []string{"otp"}, At: now.Add(-time.Hour)},
		}
	})}
	r := a.Authorize(t.Context(), get("/", bearer("both")...))
	for name, want := range map[string]string{
		"x-stepward-level": "mfa", "x-stepward-acr": "loa:2", "x-stepward-amr": "otp",
		"x-stepward-auth-time": "1799996400",
	} {
		if got := header(r.Response.Set, name); got != want {
			t.Errorf("%s: %q; want %q", name, got, want)
		}
	}
	if age := r.Response.Metadata["auth_age"]; age != 3600.0 || r.Token.Strongest().ACR != "loa:2" {
		t.Errorf("auth_age %v of acr %s", age, r.Token.Strongest().ACR)
	}
}

// What the upstream may believe is set by us or is not there.
func TestUpstreamHeaders(t *testing.T) {
	p := rules{headers: []string{"x-tenant", "x-plan", "x_risk"}, evaluate: func(context.Context, policy.Input) (
		policy.Result, error) {
		return policy.Result{
			Require: []stepup.Requirement{{Level: "anonymous"}},
			Headers: map[string][]string{"x-plan": {"a", "b"}},
		}, nil
	}}
	forged := append(bearer("odd"), "x-stepward-subject", "root", "X_Stepward_Acr", "root", "x.stepward-anything",
		"root",
		"x-tenant", "root", "x_plan", "root", "x-risk", "root", "x.risk", "root", "x-other", "kept", "dpop", "proof")
	r := newAuthorizer(t, p).Authorize(t.Context(), get("/", forged...))
	for name, want := range map[string]string{
		"x-stepward-subject": "%C3%A4%20b%0D%0A%25", "x-stepward-amr": "x%20y z", "x-stepward-acr": "loa:1",
		"x-stepward-level":  "password",
		"x-stepward-issuer": "https://idp.example.com", "x-stepward-client-id": "spa",
		"x-stepward-auth-time":   "1799999940",
		"x-stepward-decision-id": r.ID, "x-plan": "a, b",
	} {
		if got := header(r.Response.Set, name); got != want {
			t.Errorf("%s: %q; want %q", name, got, want)
		}
		if slices.Contains(r.Response.Remove, name) {
			t.Errorf("%s is set and removed", name)
		}
	}
	for _, name := range []string{"x_stepward_acr", "x.stepward-anything", "x-tenant", "x_plan", "x_risk", "x-risk",
		"x.risk", "x_stepward_subject", "x.stepward.subject", "dpop"} {
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
	if r := a.Authorize(t.Context(), get("/", "authorization", "Basic eA")); slices.Contains(r.Response.Remove,
		"authorization") {
		t.Error("a credential of another scheme is removed")
	}
}

// Without names for the headers of ours, what a client forges could not be removed: nobody
// is let through.
func TestNobodyIsLetThroughWithoutNames(t *testing.T) {
	for _, named := range []bool{true, false} {
		a := newAuthorizer(t, requires(stepup.Requirement{Level: "anonymous"}))
		if !named {
			a.Answers.Names = response.Names{}
		}
		r := a.Authorize(t.Context(), get("/"))
		if allowed := r.Response.Kind == response.Allow; allowed != named || !named && r.Response.Status != 503 {
			t.Errorf("named %v: %+v", named, r.Response)
		}
	}
}
