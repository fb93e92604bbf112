package analysis_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/author/analysis"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/policies"
)

// Whichever way a variable comes to hold what may be missing, and wherever it is given to
// the library, a warning says that the rule goes silent; as the argument itself it does not.
func TestLintLocals(t *testing.T) {
	library, err := rego.FromFS(policies.Library())
	if err != nil {
		t.Fatal(err)
	}
	lint := func(body string) finding.List {
		t.Helper()
		text := "package stepward.policy\n\nimport rego.v2\n\nimport data.stepward.lib.access\nimport data.stepward.lib.risk as r\n\nrequire contains {\"level\": \"authenticated\"}\n\ndeny contains {\"code\": \"y\"} if {\n\taccess.role(input.token, \"x\")\n\tr.at_least({}, \"x\", 1)\n}\n\ndeny contains {\"code\": \"x\"} if {\n" + body + "\n}\n"
		sources := append([]rego.Source{{Name: "p.rego", Text: []byte(text)}}, library...)
		opt := analysis.LintOptions{Options: rego.Options{Ladder: ladder(t)}}
		if _, err := rego.Load(t.Context(), sources, opt.Options); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		var found finding.List
		for _, f := range analysis.Lint(sources, opt) {
			if f.Code == "library_local" {
				found = append(found, f)
			}
		}
		return found
	}
	bindings := []string{"who := %s", "who = %s", "%s = who", "some who\n\twho = %s", "before := %s\n\twho := before",
		"who := trim_space(%s)", "who := [%s, 1][0]"}
	calls := []string{"access.role(input.token, who)", "not access.role(input.token, who)",
		"access.role(input.token, trim_space(who))", "data.stepward.lib.access.role(input.token, who) == true",
		"r.at_least({}, who, 50)", "access.scopes(input.token, [who])",
		"every x in [1] {\n\t\tx == 1\n\t\tr.at_least({}, who, 50)\n\t}"}
	for part, silent := range map[string]bool{
		"input.token.subject": true, "input.token.claims.name": true, `input.request.headers["x-user"]`: true,
		"input.source.principal": true, "input.tls.sni": true,
		"input.request.host": false, `"alice"`: false, `object.get(input, ["token", "subject"], "")`: false,
	} {
		for n, call := range calls {
			for m, binding := range bindings {
				if n > 0 && m > 0 {
					continue
				}
				body := "\t" + fmt.Sprintf(binding, part) + "\n\t" + call
				found := lint(body)
				if silent != (len(found) == 1) {
					t.Errorf("%s\n%v", body, found)
				}
				if silent && (found[0].Severity != finding.Warning || !strings.Contains(found[0].Message+found[0].Hint,
					part)) {
					t.Errorf("%s\n%v", body, found)
				}
			}
			if found := lint("\t" + strings.ReplaceAll(call, "who", part)); len(found) > 0 {
				t.Errorf("as the argument itself: %v", found)
			}
		}
	}
	for _, body := range []string{
		"\twho := input.token.subject\n\tstartswith(who, \"x\")",
		"\twho := input.token.subject\n\twho != \"\"\n\taccess.role(input.token, \"x\")",
		"\tsome who in input.token.claims.names\n\taccess.role(input.token, who)",
		"\tall := {who | who := input.token.subject}\n\tcount(all) == 0\n\taccess.role(input.token, \"x\")",
	} {
		if found := lint(body); len(found) > 0 {
			t.Errorf("%s\n%v", body, found)
		}
	}
}
