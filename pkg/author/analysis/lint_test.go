package analysis_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/author/analysis"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/policies"
)

// severityOf returns a note for something correct but worth knowing.
func severityOf(code string) string {
	if code == "body_state" {
		return finding.Note
	}
	return finding.Warning
}

// Rules that compile but do not mean what they say, each with one that does.
func TestLint(t *testing.T) {
	const head = "package stepward.policy\nimport rego.v2\nrequire contains {\"level\": \"authenticated\"}\n"
	for name, x := range map[string]struct {
		bad, good string
		code      string
		fix       string // what the fix makes of bad
		keeps     bool
	}{
		"order of a raw claim": {
			bad:  `deny contains {"code": "x"} if input.token.claims.age < 18`,
			good: "deny contains {\"code\": \"x\"} if {\n\tis_number(input.token.claims.age)\n\tinput.token.claims.age < 18\n}",
			code: "compare_types",
		},
		"order of a body's value": {
			bad:  "require contains {\"level\": \"mfa\"} if {\n\tinput.request.body.state == \"json\"\n\tinput.request.body.json.amount > 1000\n}",
			good: `require contains {"level": "mfa"} if input.request.size > 1000`,
			code: "compare_types",
		},
		"a body whose state nobody asks": {
			bad:  `require contains {"level": "mfa"} if not input.request.body.json.small`,
			good: "require contains {\"level\": \"mfa\"} if not small\nsmall if {\n\tinput.request.body.state == \"json\"\n\tinput.request.body.json.small\n}",
			code: "body_state",
		},
		"a form in a function": {
			bad:  "require contains {\"level\": \"mfa\"} if not small(input.request)\nsmall(r) if r.body.form.small",
			good: "require contains {\"level\": \"mfa\"} if not small(input.request)\nsmall(r) if {\n\tr.body.state == \"form\"\n\tr.body.form.small\n}",
			code: "body_state",
		},
		"order of levels": {
			bad:  `deny contains {"code": "x"} if input.token.levels[0] < "mfa"`,
			good: `deny contains {"code": "x"} if not "mfa" in input.token.levels`,
			code: "level_order",
		},
		"inequality of what may be missing": {
			bad:  `deny contains {"code": "x"} if input.token.claims.dept != "payroll"`,
			good: `deny contains {"code": "x"} if not input.token.claims.dept == "payroll"`,
			code: "silent_inequality", fix: `deny contains {"code": "x"} if not input.token.claims.dept == "payroll"`,
		},
		"a method in lower case": {
			bad:  `require contains {"level": "mfa"} if input.request.method == "get"`,
			good: `require contains {"level": "mfa"} if input.request.method == "GET"`,
			code: "enum", fix: `require contains {"level": "mfa"} if input.request.method == "GET"`,
		},
		"a stop sign for one method": {
			bad:  `require contains {"level": "mfa"} if input.request.method == "POST"`,
			good: `require contains {"level": "mfa"} if not input.request.method in {"GET", "HEAD", "OPTIONS"}`,
			code: "unsafe_methods",
		},
		"a stop sign for one method, the other way round": {
			bad:  `require contains {"level": "mfa"} if "DELETE" == input.request.method`,
			good: `require contains {"level": "mfa"} if not "GET" == input.request.method`,
			code: "unsafe_methods",
		},
		"a refusal for a set of methods": {
			bad:  `deny contains {"code": "x"} if input.request.method in {"PUT", "GET"}`,
			good: `deny contains {"code": "x"} if input.request.method in {"HEAD", "GET"}`,
			code: "unsafe_methods",
		},
		"a stop sign for a list of methods": {
			bad:  `require contains {"level": "mfa"} if input.request.method in ["POST", "PUT"]`,
			good: `require contains {"level": "anonymous"} if input.request.method in ["POST", "PUT"]`,
			code: "unsafe_methods",
		},
		"a kind that there is not": {
			bad:  `require contains {"level": "mfa"} if input.request.kind == "navigaton"`,
			good: `require contains {"level": "mfa"} if input.request.kind == "navigation"`,
			code: "enum", fix: `require contains {"level": "mfa"} if input.request.kind == "navigation"`,
		},
		"a principal that there is not": {
			bad:  `deny contains {"code": "x"} if input.token.principal == "Users"`,
			good: `deny contains {"code": "x"} if input.token.principal == "user"`,
			code: "enum", fix: `deny contains {"code": "x"} if input.token.principal == "user"`,
		},
		"a field behind a parameter": {
			bad:  "pays(r) if r.pth == \"/pay\"\nrequire contains {\"level\": \"mfa\"} if pays(input.request)",
			good: "pays(r) if r.path == \"/pay\"\nrequire contains {\"level\": \"mfa\"} if pays(input.request)",
			code: "unknown_field",
			fix:  "pays(r) if r.path == \"/pay\"\nrequire contains {\"level\": \"mfa\"} if pays(input.request)",
		},
		"a header that makes public": {
			bad:  `require contains {"level": "anonymous"} if input.request.headers["x-internal"] == "1"`,
			good: `require contains {"level": "anonymous"} if input.request.path == "/health"`,
			code: "client_header",
		},
		"a header by which one escapes": {
			bad:  `require contains {"level": "mfa"} if not input.request.headers["x-internal"] == "1"`,
			good: `require contains {"level": "mfa"} if input.request.headers["x-risky"] == "1"`,
			code: "client_header",
		},
		"a rule that adds nothing": {
			bad:  `require contains {"level": "authenticated"} if input.request.path == "/x"`,
			good: `require contains {"level": "authenticated", "max_age": "1h"} if input.request.path == "/x"`,
			code: "adds_nothing",
		},
		"acr values of no level": {
			bad:  `require contains {"acr": ["gold"]} if input.request.path == "/x"`,
			good: `require contains {"acr": ["phr"]} if input.request.path == "/x"`,
			code: "unknown_acr",
		},
		"a level for ever": {
			bad:  `require contains {"level": "mfa"} if input.request.path == "/x"`,
			good: `require contains {"level": "mfa", "max_age": "1h"} if input.request.path == "/x"`,
			code: "no_max_age", keeps: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			lint := func(text string) (finding.List, []rego.Source) {
				sources := []rego.Source{{Name: "p.rego", Text: []byte(head + text + "\n")}}
				opt := analysis.LintOptions{Options: rego.Options{Ladder: ladder(t)}, KeepsACR: x.keeps}
				if _, err := rego.Load(t.Context(), sources, opt.Options); err != nil {
					t.Fatalf("%s\ndoes not load: %v", text, err)
				}
				return analysis.Lint(sources, opt), sources
			}
			found, sources := lint(x.bad)
			if len(found) != 1 || found[0].Code != x.code || found[0].Line < 4 || found[0].Hint == "" ||
				found[0].Severity != severityOf(x.code) {
				t.Errorf("%+v; want one %s", found, x.code)
			}
			if good, _ := lint(x.good); len(good) > 0 {
				t.Errorf("what is meant is found, too: %v", good)
			}
			if x.fix == "" {
				return
			}
			fixed, n := found.Apply("p.rego", sources[0].Text)
			if n != 1 || string(fixed) != head+x.fix+"\n" {
				t.Errorf("fixed %d:\n%s", n, fixed)
			}
			if again, _ := lint(strings.TrimSuffix(strings.TrimPrefix(string(fixed), head), "\n")); len(again) > 0 {
				t.Errorf("the fix is found: %v", again)
			}
		})
	}
}

// What is shipped means what it says.
func TestLintShipped(t *testing.T) {
	opt := analysis.LintOptions{Options: rego.Options{Ladder: ladder(t)}}
	library, err := rego.FromFS(policies.Library())
	if err != nil {
		t.Fatal(err)
	}
	shipped, err := rego.FromFS(policies.Default())
	if err != nil {
		t.Fatal(err)
	}
	if found := analysis.Lint(append(shipped, library...), opt); len(found) > 0 {
		t.Error(found)
	}
	examples := os.DirFS(filepath.Join("..", "..", "..", "examples", "policies"))
	folders, err := fs.ReadDir(examples, ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range folders {
		if !f.IsDir() {
			continue
		}
		sub, err := fs.Sub(examples, f.Name())
		if err != nil {
			t.Fatal(err)
		}
		sources, err := rego.FromFS(sub)
		if err != nil {
			t.Fatal(err)
		}
		if found := analysis.Lint(append(sources, library...), opt); len(found) > 0 {
			t.Errorf("%s: %v", f.Name(), found)
		}
	}
}
