package rego_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/pkg/internal/wait"
	"github.com/stepward/stepward/pkg/policy"
)

// baseline is a policy on its own; stop is a stop sign in a file of its own.
const (
	baseline = head + `require contains {"level": "authenticated"}` + "\n"
	stop     = "import rego.v2\nrequire contains {\"level\": \"mfa\"} if input.request.segments[0] == \"pay\"\n"
)

// stopped loads sources, and reports whether the stop sign stops.
func stopped(t *testing.T, sources []rego.Source) (bool, finding.List) {
	t.Helper()
	p, err := rego.Load(t.Context(), sources, rego.Options{Ladder: ladder(t), Timeout: wait.Bound})
	var found finding.List
	switch {
	case errors.As(err, &found):
		return false, found
	case err != nil:
		t.Fatal(err)
	}
	r, err := p.Evaluate(t.Context(), ask(t, "POST", "/pay", func(in *policy.Input) { in.Routes = nil }))
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range r.Require {
		if x.Level == "mfa" {
			return true, nil
		}
	}
	return false, nil
}

// misspelt are slips of the name of a package: one letter less, twice, other, swapped, or in
// upper case, at each place, and some that no rule makes.
func misspelt(name string) []string {
	slips := []string{"stepward.Policy", "stepward.policies", "stepward.policys", "Stepward.policy", "stepward",
		"policy", "stepward.polcy", "stepward_policy", "stepward.policy.require",
		"stepward.policy.deny.more", "stepward.routes.pay", "stepward.route", "stepward.rout.pay",
		"stepward.route.pay.more", "stepward.unknown.pay", "main", "authz", "stepward.polices"}
	for i := range name {
		if name[i] == '.' || i > 0 && name[i-1] == '.' && i+1 < len(name) && name[i+1] == '.' {
			continue
		}
		slips = append(slips, name[:i]+name[i+1:], name[:i]+name[i:i+1]+name[i:], name[:i]+"x"+name[i+1:],
			name[:i]+strings.ToUpper(name[i:i+1])+name[i+1:])
		if i+1 < len(name) && name[i+1] != '.' && name[i] != name[i+1] {
			slips = append(slips, name[:i]+name[i+1:i+2]+name[i:i+1]+name[i+2:])
		}
	}
	return slips
}

// A stop sign in a package that is not the policy's is refused, and told which it is.
func TestPackageThatNobodyAsks(t *testing.T) {
	if ok, found := stopped(t, []rego.Source{{Name: "a.rego", Text: []byte(baseline)},
		{Name: "b.rego", Text: []byte("package stepward.policy\n" + stop)}}); !ok {
		t.Fatalf("the stop sign itself does not stop: %v", found)
	}
	for _, bundled := range []bool{false, true} {
		for _, name := range misspelt("stepward.policy") {
			ok, found := stopped(t, []rego.Source{{Name: "a.rego", Text: []byte(baseline), Bundled: bundled},
				{Name: "b.rego", Text: []byte("package " + name + "\n" + stop), Bundled: bundled}})
			if ok || len(found) == 0 {
				t.Errorf("package %s loads", name)
				continue
			}
			f := found[len(found)-1]
			if f.File != "b.rego" || f.Line != 1 || f.Hint == "" || f.Code != "package" {
				t.Errorf("%s: %+v", name, found)
			}
			if near := strings.HasPrefix(strings.ToLower(name), "stepward.poli"); near &&
				f.Hint != "did you mean package stepward.policy?" {
				t.Errorf("%s: %s", name, f.Hint)
			}
			if _, alone := stopped(t, []rego.Source{
				{Name: "b.rego", Text: []byte("package " + name + "\n" + stop)}}); len(alone) == 0 {
				t.Errorf("package %s is a policy on its own", name)
			}
		}
	}
}

// What takes part by another way than package stepward.policy, and what does not.
func TestWhatIsReached(t *testing.T) {
	for name, x := range map[string]struct {
		file, text string
		base       string // added to the policy
		code       string // of the finding, or empty: it loads
		bundled    bool
	}{
		"a helper": {text: "package helpers\npays if input.request.path == \"/pay\"",
			base: "require contains {\"level\": \"mfa\"} if data.helpers.pays"},
		"a helper of a helper": {text: "package a.b\npays if data.a.b.really\nreally if true",
			base: "require contains {\"level\": \"mfa\"} if data.a.b.pays"},
		"a function": {text: "package helpers\npays(r) if r.path == \"/pay\"",
			base: "require contains {\"level\": \"mfa\"} if data.helpers.pays(input.request)"},
		"a constant, by a computed name": {text: "package helpers\nlimits := {\"a\": 1}",
			base: "require contains {\"level\": \"mfa\"} if data.helpers[_].a == 1"},
		"in the else of a header": {text: "package helpers\nv := \"x\"",
			base: "headers[\"x-a\"] := \"a\" if input.request.path == \"/\" else := data.helpers.v"},
		"a helper of ours": {text: "package stepward.helpers\nimport rego.v2\npays if true",
			base: "require contains {\"level\": \"mfa\"} if data.stepward.helpers.pays"},
		"a route that nothing names": {text: "package stepward.route.pay\n" + stop},
		"a route without a rule": {text: "package stepward.route.pay\nimport rego.v2\npays if true",
			code: "package"},
		"a helper that nobody calls": {text: "package helpers\npays if true", code: "package"},
		"a helper that itself calls": {text: "package helpers\npays if pays_too\npays_too if true",
			code: "package"},
		"a constant that nobody reads": {text: "package limits\nlimits := {\"a\": 1}", code: "package"},
		"no rule at all":               {text: "package limits", code: "package"},
		"a test by another name": {text: "package stepward.policy_test\nimport rego.v2\ntest_x if true",
			code: "package"},
		"a test": {
			file: "x_test.rego", text: "package stepward.policy_test\nimport rego.v2\ntest_x if true"},
		"a helper of tests": {
			file: "x_test.rego", text: "package helpers\ncaller := {\"level\": \"mfa\"}"},
		"rules in a file of tests": {file: "policy_test.rego", text: "package stepward.policy\n" + stop,
			code: "test_file"},
		"a deny in a file of tests": {file: "policy_test.rego",
			text: "package stepwrd.policy\nimport rego.v2\ndeny contains {\"code\": \"x\"}", code: "test_file"},
		"a header in a file of tests": {file: "policy_test.rego",
			text: "package stepward.policy\nimport rego.v2\nheaders[\"x-a\"] := \"b\"", code: "test_file"},
		"a function in a file of tests": {file: "policy_test.rego",
			text: "package stepward.policy\nimport rego.v2\nrequest(p) := {\"request\": {\"path\": p}}"},
		"a place of the library's": {
			text: "package stepward.lib.routes\nimport rego.v2\nmatches(_, _) if true", code: "package"},
		"a place in the library": {text: "package stepward.lib.mine\nimport rego.v2\nx if true",
			base: "require contains {\"level\": \"mfa\"} if data.stepward.lib.mine.x", code: "package"},
		"a place of ours": {text: "package __stepward.arguments\nx if true", code: "package"},
		"a place of what is unknown": {text: "package stepward.unknown\nimport rego.v2\nrisk := false",
			code: "package"},
		"a copy of ours": {
			text: "package stepward.policy\nimport rego.v2\n__stepward_require contains {\"level\": \"mfa\"}",
			code: "rule_name"},
		"a rule of another package": {
			text: "package stepward\nimport rego.v2\npolicy.require contains {\"level\": \"mfa\"}", code: "package"},
		"the same, which a rule reads": {
			text: "package stepward\nimport rego.v2\npolicy.require contains {\"level\": \"mfa\"}",
			base: "deny contains {\"code\": \"x\"} if count(require) > 9", code: "package"},
		"a stop sign by a helper's name": {
			text: "package stepward.policy\nimport rego.v2\nblock contains {\"code\": \"x\"} if input.request.path == \"/pay\"", code: "rule_name"},
		"a requirement by a helper's name": {
			text: "package stepward.policy\nimport rego.v2\nstep_up contains {\"level\": \"mfa\"} if true",
			code: "rule_name"},
		"one that is bound first": {
			text: "package stepward.policy\nimport rego.v2\nstep_up contains r if { r := {\"level\": \"mfa\"} }",
			code: "rule_name"},
		"a constant that looks like one": {
			text: "package stepward.policy\nimport rego.v2\nstrong := {\"level\": \"mfa\"}", code: "rule_name"},
		"such a constant, read": {
			text: "package stepward.policy\nimport rego.v2\nstrong := {\"level\": \"mfa\"}",
			base: "require contains strong"},
		"require beside a helper": {
			text: "package helpers\npays if true\nrequire contains {\"level\": \"mfa\"} if pays",
			base: "require contains {\"level\": \"mfa\"} if data.helpers.pays", code: "rule_name"},
		"a bundle's package for others": {text: "package envoy.authz\nallow if true", bundled: true},
		"a bundle's package that is a slip": {text: "package stepwrd.policy\nallow if true", bundled: true,
			code: "package"},
		"a bundle's stop sign elsewhere": {
			text: "package envoy.authz\nrequire contains {\"level\": \"mfa\"} if true", bundled: true, code: "package"},
	} {
		t.Run(name, func(t *testing.T) {
			if x.file == "" {
				x.file = "more.rego"
			}
			_, found := stopped(t, []rego.Source{{Name: "p.rego", Text: []byte(baseline + x.base), Bundled: x.bundled},
				{Name: x.file, Text: []byte(x.text), Bundled: x.bundled}})
			if x.code == "" {
				if len(found) > 0 {
					t.Errorf("refused: %v", found)
				}
				return
			}
			if len(found) != 1 || found[0].Code != x.code || found[0].File != x.file || found[0].Line < 1 ||
				found[0].Hint == "" {
				t.Errorf("%v; want one %s in %s", found, x.code, x.file)
			}
		})
	}
}

// A file that takes no part for its name alone is told, with the name that it should have.
func TestFileName(t *testing.T) {
	for name, want := range map[string]string{
		"pay.REGO": "pay.rego", "pay.Rego": "pay.rego", "pay.rego.txt": "pay.rego", "Pay.REGO.TXT": "Pay.rego",
		"roles.JSON": "roles.json", "roles.Yaml": "roles.yaml", "roles.yml.txt": "roles.yml",
		"note.txt": "", "README.md": "", "pay.rego.before": "", ".pay.REGO": "", "pay.rego~": "", "data.yml": "",
	} {
		dir := t.TempDir()
		for file, text := range map[string]string{"p.rego": baseline, name: "a: 1\n"} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err := rego.FromPaths([]string{dir})
		var found finding.List
		if errors.As(err, &found); (want == "") != (err == nil) || want != "" &&
			(len(found) != 1 || found[0].File != filepath.Join(dir, name) || found[0].Hint != "name it "+want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A file that a dot hides is told, unless somebody else put it there.
func TestHidden(t *testing.T) {
	for name, told := range map[string]bool{
		".pay.rego": true, ".off/pay.rego": true, "a/.b/c/pay.rego": true, ".pay.REGO": true, ".off/pay.rego.txt": true,
		"..2026/pay.rego": false, ".git/pay.rego": false, "._pay.rego": false, ".off/note.md": false, "pay.rego": false,
	} {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(baseline), 0o600); err != nil {
			t.Fatal(err)
		}
		found, err := rego.Hidden([]string{dir})
		if err != nil || (len(found) == 1) != told || told && (found[0].File != filepath.Join(dir, name) ||
			found[0].Severity != finding.Warning || found[0].Hint == "") {
			t.Errorf("%s: %v, %v", name, found, err)
		}
	}
}
