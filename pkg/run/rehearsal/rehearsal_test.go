package rehearsal_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/author/scenario"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/pkg/run/rehearsal"
)

const policyText = `package stepward.policy
import rego.v2
require contains {"level": "mfa"} if input.request.path == "/payments"
require contains {"level": "anonymous"} if input.request.path == "/"
`

const testText = `package stepward.policy_test
import rego.v2
test_payments if stepward.answer({"path": "/payments", "token": {"level": "password"}}).result == "challenge"
test_home if stepward.answer({"path": "/"}).result == "allow"
test_wrong if stepward.answer({"path": "/payments"}).result == "allow"
`

// folder holds files, by name.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func standard(t *testing.T) config.Config {
	t.Helper()
	c, err := rehearsal.Default()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func isRefused(err error) bool {
	var refused *rehearsal.RefusedError
	return errors.As(err, &refused)
}

func TestBeside(t *testing.T) {
	dir := folder(t, map[string]string{"stepward.yaml": "", "policies/p.rego": "", "policies/deep/p.rego": "",
		"other/stepward.yaml": "", "other/p.rego": ""})
	for path, want := range map[string]string{
		"policies": "stepward.yaml", "policies/p.rego": "stepward.yaml", ".": "stepward.yaml", "policies/deep": "",
		"policies/deep/p.rego": "",
		"other":                "other/stepward.yaml", "other/p.rego": "other/stepward.yaml",
		"missing": "stepward.yaml",
	} {
		got := rehearsal.Beside(filepath.Join(dir, path))
		if want != "" {
			want = filepath.Join(dir, want)
		}
		if got != want {
			t.Errorf("%s: %s; want %s", path, got, want)
		}
	}
}

func TestPatient(t *testing.T) {
	c := standard(t)
	for given, want := range map[time.Duration]time.Duration{time.Millisecond: 10 * time.Second, time.Minute: time.Minute} { // clock: what is configured
		c.Policy.Timeout = config.Duration(given)
		if got := rehearsal.Patient(c).Policy.Timeout; time.Duration(got) != want {
			t.Errorf("%s: %s; want %s", given, got, want)
		}
	}
}

// A policy that is not there, or not one whose rules can be shown, is refused: another one
// would be asked in its place.
func TestNeeds(t *testing.T) {
	dir := folder(
		t, map[string]string{
			"opa.yaml":    "services: { s: { url: https://b.example.com } }\nbundles: { a: { service: s, signing: { keyid: k } } }\nkeys: { k: { algorithm: HS256, key: x } }\n",
			"logs.yaml":   "services: { s: { url: https://b.example.com } }\ndecision_logs: { service: s }\n",
			"broken.yaml": "bundles: 1\n"})
	paths := []string{"p.rego"}
	for name, c := range map[string]struct {
		change       func(*config.Config)
		paths        []string
		rules, files bool // are there
	}{
		"the shipped one":        {func(*config.Config) {}, nil, true, true},
		"another product's":      {func(c *config.Config) { c.Policy.Compat = config.OPAEnvoy }, paths, false, true},
		"in bundles":             {bundled(t, dir, "opa.yaml"), nil, false, false},
		"in bundles, with files": {bundled(t, dir, "opa.yaml"), paths, true, true},
		"logs only":              {bundled(t, dir, "logs.yaml"), nil, true, true},
		"broken bundles":         {bundled(t, dir, "broken.yaml"), nil, false, false},
	} {
		with := standard(t)
		c.change(&with)
		if err := rehearsal.NeedsRules(with, c.paths); (err == nil) != c.rules || err != nil && !isRefused(err) {
			t.Errorf("%s: rules: %v", name, err)
		}
		if err := rehearsal.NeedsFiles(with, c.paths); (err == nil) != c.files || err != nil && !isRefused(err) {
			t.Errorf("%s: files: %v", name, err)
		}
	}
}

func bundled(t *testing.T, dir, name string) func(*config.Config) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return func(c *config.Config) { c.Bundles = config.Bundles{ConfigFile: name, Text: string(text)} }
}

func TestLoad(t *testing.T) {
	dir := folder(t, map[string]string{"good/p.rego": policyText,
		"bad/p.rego": "package stepward.policy\nrequire := 1\n"})
	for path, want := range map[string]bool{"good": true, "bad": false, "missing": false} {
		paths := []string{filepath.Join(dir, path)}
		_, err := rehearsal.Load(t.Context(), standard(t), paths)
		if (err == nil) != want || err != nil && !isRefused(err) {
			t.Errorf("%s: %v", path, err)
		}
		if _, err := rehearsal.Analyse(standard(t), paths); (err == nil) != want || err != nil && !isRefused(err) {
			t.Errorf("%s: %v", path, err)
		}
		if list := (finding.List)(nil); path == "bad" &&
			(!errors.As(err, &list) || !strings.HasPrefix(err.Error(), "the policy is refused:\n")) {
			t.Errorf("%v", err)
		}
	}
	if p, err := rehearsal.Load(t.Context(), standard(t), nil); err != nil || p.Traits().Revision == "" {
		t.Errorf("the shipped policy: %v", err)
	}
	broken := standard(t)
	broken.Levels = append(broken.Levels, broken.Levels[0])
	for name, err := range map[string]error{"load": second(rehearsal.Load(t.Context(), broken, nil)),
		"options":    second(rehearsal.Options(broken)),
		"authorizer": second(rehearsal.Authorizer(broken, (*rego.Policy)(nil))),
		"stage":      second(rehearsal.Stage(broken, (*rego.Policy)(nil))),
		"test":       second(rehearsal.Test(t.Context(), broken, nil, ""))} {
		if !isRefused(err) {
			t.Errorf("%s takes a ladder with one level twice: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// A scenario's token is taken as verified, and a real one never is.
func TestStage(t *testing.T) {
	c := standard(t)
	p, err := rehearsal.Load(t.Context(), c, []string{folder(t, map[string]string{"p.rego": policyText})})
	if err != nil {
		t.Fatal(err)
	}
	stage, err := rehearsal.Stage(c, p)
	if err != nil {
		t.Fatal(err)
	}
	for written, want := range map[string]string{
		`{"path":"/payments","token":{"level":"mfa"}}`:                       "allow",
		`{"path":"/payments","token":{"level":"password"}}`:                  "challenge",
		`{"path":"/payments"}`:                                               "challenge",
		`{"path":"/payments","headers":{"authorization":"Bearer a.b.c"}}`:    "error",
		`{"path":"/elsewhere","token":{"level":"phishing-resistant"}}`:       "deny",
		`{"path":"/","headers":{"authorization":"Bearer not.needed.token"}}`: "allow",
		`{"path":"/payments","as":"browser"}`:                                "redirect",
	} {
		s, err := scenario.Parse([]byte(written))
		if err != nil {
			t.Fatal(err)
		}
		r, err := stage.Decide(t.Context(), s)
		if err != nil || string(r.Result()) != want {
			t.Errorf("%s: %s, %v; want %s", written, r.Result(), err, want)
		}
	}
}

func TestTest(t *testing.T) {
	dir := folder(t, map[string]string{"ok/p.rego": policyText, "ok/p_test.rego": testText, "none/p.rego": policyText,
		"syntax/p.rego": "package stepward.policy\nrequire contains", "refused/p.rego": policyText +
			"requier contains {\"level\": \"mfa\"}\n", "refused/p_test.rego": testText,
		"opa/p.rego":      "package envoy.authz\nallow := true\n",
		"opa/p_test.rego": "package envoy.authz_test\ntest_answer if stepward.answer({\"path\": \"/\"}).result == \"allow\"\n"})
	in := func(name string) []string { return []string{filepath.Join(dir, name)} }
	report, err := rehearsal.Test(t.Context(), standard(t), in("ok"), "")
	if err != nil || len(report.Results) != 3 || report.Failed() != 1 {
		t.Errorf("%+v, %v", report, err)
	}
	if report, err := rehearsal.Test(t.Context(), standard(t), in("ok"), "home"); err != nil || report.Failed() != 0 {
		t.Errorf("%+v, %v", report, err)
	}
	if report, err := rehearsal.Test(t.Context(), standard(t), in("none"), ""); err != nil || len(report.Results) != 0 {
		t.Errorf("%+v, %v", report, err)
	}
	if _, err := rehearsal.Test(t.Context(), standard(t), in("syntax"), ""); !isRefused(err) || !strings.Contains(
		err.Error(), "does not compile") {
		t.Errorf("%v", err)
	}
	if report, err := rehearsal.Test(t.Context(), standard(t), in("refused"), ""); err != nil ||
		report.Refused == nil || report.Failed() == 0 {
		t.Errorf("%+v, %v", report, err)
	}
	if _, err := rehearsal.Test(t.Context(), standard(t), in("missing"), ""); !isRefused(err) {
		t.Errorf("%v", err)
	}
	opa := standard(t)
	opa.Policy = config.Policy{Compat: config.OPAEnvoy, Paths: in("opa")}
	if report, err := rehearsal.Test(t.Context(), opa, in("opa"), ""); err != nil || report.Failed() != 0 ||
		len(report.Results) != 1 {
		t.Errorf("%+v, %v", report, err)
	}
	opa.Policy.ProtoDescriptor = "missing"
	if _, err := rehearsal.Test(t.Context(), opa, in("opa"), ""); !isRefused(err) {
		t.Errorf("%v", err)
	}
}
