package explain_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/author/explain"
	"github.com/stepward/stepward/pkg/stepup"
)

var dangling = regexp.MustCompile(`needs(,|$)|needs anonymous|has anonymous|has(,|$)|, ,|,$|^,|^$`)

// For every reason, every caller and every stage reached, the words are complete.
func TestGistOfEveryReason(t *testing.T) {
	alice := &explain.Token{Subject: "alice"}
	parts := []stepup.Part{"", stepup.PartAudience, stepup.PartTokenAge, stepup.PartSenderConstrained,
		stepup.PartIssuer, stepup.PartLevel, stepup.PartAge, stepup.PartMethods, stepup.PartScope}
	for _, reason := range stepup.Reasons() {
		for _, needs := range []string{"", stepup.Anonymous, "mfa"} {
			for _, part := range parts {
				for _, who := range []explain.Explanation{{Level: stepup.Anonymous}, {}, {Presented: "bearer"},
					{Failure: "token_expired", Level: stepup.Anonymous}, {Token: alice, Level: "password"},
					{Token: alice}} {
					e := who
					e.Needs, e.Answer.Reason, e.Answer.Allowed = needs, string(reason), reason == stepup.OK
					if part != "" {
						e.Missing = []explain.Missing{{Part: string(part)}, {Part: string(part)}}
					}
					got := e.Gist()
					if dangling.MatchString(got) || strings.Contains(got, "needs") == e.Answer.Allowed &&
						e.Answer.Allowed {
						t.Errorf("%s, needs %q, lacks %q, %+v: %q", reason, needs, part, who, got)
					}
				}
			}
		}
	}
}

func TestGist(t *testing.T) {
	alice := &explain.Token{Subject: "alice"}
	for _, x := range []struct {
		e    explain.Explanation
		want string
	}{
		{explain.Explanation{Level: "anonymous", Answer: explain.Answer{Reason: "request_ambiguous"}},
			"refused before anybody looked at who asks"},
		{explain.Explanation{Level: "anonymous", Needs: "anonymous", Answer: explain.Answer{
			Reason: "ok", Allowed: true}}, "nobody"},
		{explain.Explanation{Level: "anonymous", Needs: "mfa", Answer: explain.Answer{Reason: "no_credentials"}},
			"nobody, needs mfa"},
		{explain.Explanation{Level: "anonymous", Needs: "mfa", Failure: "x", Answer: explain.Answer{
			Reason: "token_expired"}}, "a token that is not accepted, needs mfa"},
		{explain.Explanation{Level: "password", Needs: "mfa", Token: alice, Missing: []explain.Missing{
			{Part: "level"}, {Part: "age"}}, Answer: explain.Answer{Reason: "insufficient_level"}},
			`"alice" has password, needs mfa, more recent`},
		{explain.Explanation{Level: "password", Needs: "mfa", Token: alice, Missing: []explain.Missing{{Part: "level"}},
			Answer: explain.Answer{Reason: "insufficient_level"}}, `"alice" has password, needs mfa`},
		{explain.Explanation{Level: "mfa", Needs: "mfa", Token: alice, Missing: []explain.Missing{{Part: "scope"}},
			Answer: explain.Answer{Reason: "insufficient_scope"}}, `"alice" has mfa, needs more scope`},
		{explain.Explanation{Level: "mfa", Token: alice, Answer: explain.Answer{Reason: "policy_no_match"}},
			`"alice" has mfa, no rule covers it`},
		{explain.Explanation{Level: "mfa", Needs: "mfa", Token: alice, Answer: explain.Answer{
			Reason: "ok", Allowed: true}}, `"alice" has mfa`},
	} {
		if got := x.e.Gist(); got != x.want {
			t.Errorf("%+v: %q; want %q", x.e, got, x.want)
		}
	}
}
