package authz_test

import (
	"testing"
	"time"

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
		"x-stepward-level": "mfa", "x-stepward-acr": "loa:2", "x-stepward-amr": "otp", "x-stepward-auth-time": "1799996400",
	} {
		if got := header(r.Response.Set, name); got != want {
			t.Errorf("%s: %q; want %q", name, got, want)
		}
	}
	if age := r.Response.Metadata["auth_age"]; age != 3600.0 || r.Token.Strongest().ACR != "loa:2" {
		t.Errorf("auth_age %v of acr %s", age, r.Token.Strongest().ACR)
	}
}
