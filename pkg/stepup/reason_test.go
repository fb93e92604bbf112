package stepup_test

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/stepward/stepward/pkg/stepup"
	"github.com/stepward/stepward/pkg/token"
)

// The error that a client is told (RFC 6750 §3.1, RFC 9470 §3, RFC 9449 §7.1).
func TestErrorCode(t *testing.T) {
	told := map[stepup.Reason]string{
		stepup.OK: "", stepup.NoCredentials: "", stepup.PolicyDenied: "", stepup.PolicyNoMatch: "",
		stepup.PolicyUnsatisfiable: "",
		stepup.InsufficientMethods: "", stepup.KeysUnavailable: "", "made up": "",
		stepup.RequestAmbiguous: "invalid_request", stepup.CredentialMalformed: "invalid_request",
		stepup.BodyUnreadable: "invalid_request",
		stepup.TokenExpired:   "invalid_token", stepup.TokenTooOld: "invalid_token",
		stepup.NotSenderConstrained: "invalid_token",
		stepup.InsufficientLevel:    "insufficient_user_authentication",
		stepup.StaleAuthentication:  "insufficient_user_authentication",
		stepup.InsufficientScope:    "insufficient_scope", stepup.DPoPProof: "invalid_dpop_proof",
		stepup.DPoPNonce: "use_dpop_nonce",
	}
	for reason, want := range told {
		if got := reason.ErrorCode(); got != want {
			t.Errorf("%s: %q; want %q", reason, got, want)
		}
	}
	for _, r := range stepup.Reasons() { // what a credential cures is told as an error, and nothing else of 403 and 503
		if _, there := told[r]; !there && (r.ErrorCode() == "") != (r.Status() >= 403) {
			t.Errorf("%s: %q with status %d", r, r.ErrorCode(), r.Status())
		}
	}
}

// Each decision has its reason and its result, and only one of them is an allow.
func TestResults(t *testing.T) {
	for _, v := range []struct {
		decision stepup.Decision
		reason   stepup.Reason
		result   stepup.Result
	}{
		{stepup.Allow{}, stepup.OK, stepup.ResultAllow},
		{stepup.Page{}, stepup.OK, stepup.ResultPage},
		{stepup.Preflight{}, stepup.OK, stepup.ResultPreflight},
		{stepup.Redirect{Why: stepup.NoCredentials}, stepup.NoCredentials, stepup.ResultRedirect},
		{stepup.Challenge{Why: stepup.TokenExpired}, stepup.TokenExpired, stepup.ResultChallenge},
		{stepup.Challenge{Why: stepup.InsufficientScope}, stepup.InsufficientScope, stepup.ResultDeny},
		{stepup.Deny{Why: stepup.PolicyDenied}, stepup.PolicyDenied, stepup.ResultDeny},
		{stepup.Deny{Why: stepup.PolicyError}, stepup.PolicyError, stepup.ResultError},
		{stepup.Deny{}, "", stepup.ResultError},
	} {
		if v.decision.Reason() != v.reason || stepup.ResultOf(v.decision) != v.result {
			t.Errorf("%T: %s, %s; want %s, %s", v.decision, v.decision.Reason(), stepup.ResultOf(v.decision), v.reason,
				v.result)
		}
	}
	if got := stepup.ResultOf(nil); got != stepup.ResultError {
		t.Errorf("nothing decided: %s", got)
	}
}

// A person is sent to prove more, and a program is told what to bring.
func TestStepUp(t *testing.T) {
	weak := user("loa:1", 0)
	s := stepup.Assess([]stepup.Requirement{{Level: "mfa"}}, ladder(t), weak, now)
	for interactive, want := range map[bool]stepup.Result{true: stepup.ResultRedirect, false: stepup.ResultChallenge} {
		d := stepup.Decide(stepup.Case{Shortfall: s, Token: weak, Presented: true, Interactive: interactive})
		if stepup.ResultOf(d) != want || d.Reason() != stepup.InsufficientLevel {
			t.Errorf("interactive %v: %T %s", interactive, d, d.Reason())
		}
	}
}

// A gap that nobody knows how to fill is our own fault, and no allow.
func TestUnknownGap(t *testing.T) {
	s := stepup.Shortfall{Covered: true, Needed: true, Unmet: []stepup.Gap{{Part: "made up"}}}
	for _, v := range []struct {
		unmet []stepup.Gap
		want  stepup.Reason
	}{{s.Unmet, stepup.Internal}, {nil, stepup.OK}} {
		s.Unmet = v.unmet
		if d := stepup.Decide(stepup.Case{Shortfall: s, Token: user("phr", 0), Presented: true}); d.Reason() != v.want {
			t.Errorf("%v: %T %s", v.unmet, d, d.Reason())
		}
	}
}

func TestLadderWords(t *testing.T) {
	l := ladder(t)
	for name, want := range map[string]bool{"anonymous": true, "authenticated": true, "mfa": true, "MFA": false,
		"": false} {
		if got := l.Has(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
	if got := l.ACRValues(); !slices.Equal(got, []string{"loa:1", "loa:2", "loa:2b", "phr", "phrh"}) {
		t.Errorf("%q", got)
	}
	if l.Rank(token.Proof{ACR: "phr"}) <= l.Rank(token.Proof{ACR: "loa:2b"}) || l.Rank(token.Proof{}) != l.Rank(
		token.Proof{ACR: "unknown"}) {
		t.Error("proofs are not ordered by their levels")
	}
}

func TestEveryReasonHasAStatus(t *testing.T) {
	for _, r := range stepup.Reasons() {
		if s := r.Status(); (s == 200) != (r == stepup.OK) || s < 200 || s > 503 {
			t.Errorf("%s: %d", r, s)
		}
	}
	if stepup.Reason("made up").Status() != 503 || stepup.Reason("").Status() != 503 {
		t.Error("a reason that is not on the list is not our own fault")
	}
}

// Why a credential fails is a reason of the list, answered as its kind of failure is.
func TestEveryCodeIsAReason(t *testing.T) {
	reasons := stepup.Reasons()
	for _, code := range []token.Code{token.Malformed, token.WrongType, token.UntrustedIssuer, token.BadAlgorithm,
		token.UnknownKey,
		token.BadSignature, token.Expired, token.NotYetValid, token.WrongAudience, token.BadClaims, token.BadBinding,
		token.Inactive,
		token.Revoked, token.DPoPProof, token.DPoPNonce, token.KeysUnavailable, token.IntrospectionOut,
		token.DeadlinePassed, token.Overloaded} {
		failure, want := &token.Error{Code: code}, 401
		if failure.OwnFault() {
			want = 503
		}
		d := stepup.Decide(stepup.Case{Shortfall: stepup.Shortfall{Covered: true, Needed: true}, Presented: true,
			Failure: failure})
		if got := d.Reason(); string(got) != string(code) || !slices.Contains(reasons, got) || got.Status() != want {
			t.Errorf("%s is answered as %s, with %d", code, got, got.Status())
		}
	}
}

// An operator who sees a reason in a log must find what to do about it.
func TestEveryReasonIsExplained(t *testing.T) {
	text, err := os.ReadFile("../../docs/reasons.md")
	if err != nil {
		t.Fatal(err)
	}
	explained := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| [^|]+ \\| [^|]+ \\|").FindAllStringSubmatch(
		string(text), -1) {
		explained[row[1]] = true
	}
	for _, r := range stepup.Reasons() {
		if !explained[string(r)] {
			t.Errorf("docs/reasons.md has no line for %s", r)
		}
		delete(explained, string(r))
	}
	for r := range explained {
		t.Errorf("docs/reasons.md explains %s, which is no reason", r)
	}
}
