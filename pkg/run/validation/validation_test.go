package validation_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/pkg/run/rehearsal"
	"github.com/stepward/stepward/pkg/run/validation"
)

const (
	policyText = `package stepward.policy
import rego.v2
require contains {"level": "mfa"} if input.request.path == "/payments"
headers["x-tenant"] := "a"
`
	configText = `issuers: [{ name: corp, issuer: "https://idp.example.com", audiences: [api], jwks_file: keys.json }]
levels: [{ name: mfa, acr: ["2"] }]
policy: { paths: [p.rego], candidate: { paths: [p.rego] } }
`
	keysText = `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`
)

// check validates a configuration that stands in a folder with the files.
func check(t *testing.T, text string, more map[string]string, o validation.Options) (validation.Report, error) {
	t.Helper()
	dir := t.TempDir()
	all := map[string]string{"stepward.yaml": text, "p.rego": policyText, "keys.json": keysText}
	for name, text := range more {
		all[name] = text
	}
	for name, text := range all {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "stepward.yaml")
	return validation.Configuration(t.Context(), file, func(l *files.Look) (config.Config, error) {
		return config.Load(file, config.Options{Look: l})
	}, o)
}

// What a service would refuse is a finding, and what it takes is valid.
func TestConfiguration(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		more map[string]string
		want string // of the findings; empty where it is valid
	}{
		"valid":       {configText, nil, ""},
		"unknown key": {configText + "lsten: x\n", nil, `unknown key "lsten"`},
		"refused policy": {configText, map[string]string{"p.rego": "package stepward.policy\nrequire := 1\n"},
			"p.rego:2:"},
		"no keys": {configText, map[string]string{"keys.json": "{}"}, "keys.json"},
		"bundles no server": {strings.Replace(configText, "policy:", "bundles: { config_file: opa.yaml }\npolicy:", 1),
			map[string]string{"opa.yaml": "bundles: { a: { service: s } }\n"}, `bundle "a"`},
	} {
		r, err := check(t, c.text, c.more, validation.Options{})
		if err != nil || (len(r.Findings) == 0) != (c.want == "") || !strings.Contains(r.Findings.Error(), c.want) {
			t.Errorf("%s: %v\n%v; want %q", name, err, r.Findings, c.want)
		}
		if c.want == "" && (r.Revision == "" || r.Candidate != r.Revision || !strings.Contains(r.MutationRule,
			"tenant")) {
			t.Errorf("%s: %+v", name, r)
		}
	}
	_, err := validation.Configuration(t.Context(), "missing", func(*files.Look) (config.Config, error) {
		return config.Load("missing", config.Options{})
	}, validation.Options{})
	if err == nil {
		t.Error("a file that is not there is valid")
	}
}

// A policy that is only in bundles has no headers that are known here.
func TestRuleNeedsFiles(t *testing.T) {
	opa := map[string]string{
		"opa.yaml": "services: { s: { url: https://b.example.com } }\nbundles: { a: { service: s, signing: { keyid: k } } }\nkeys: { k: { algorithm: HS256, key: x } }\n"}
	text := strings.Replace(configText, "policy: { paths: [p.rego], ", "bundles: { config_file: opa.yaml }\npolicy: { ",
		1)
	if r, err := check(t, text, opa, validation.Options{}); err != nil || len(r.Findings) > 0 {
		t.Errorf("%v, %v", r.Findings, err)
	}
	var refused *rehearsal.RefusedError
	if _, err := check(t, text, opa, validation.Options{Rule: true}); !errors.As(err, &refused) {
		t.Errorf("%v", err)
	}
}

func TestProxies(t *testing.T) {
	const open = "static_resources: { listeners: [{ filter_chains: [{ filters: [{ typed_config: { \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, http_filters: [{ name: a, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz, failure_mode_allow: true } }] } }] }] }] }"
	o := validation.Options{Proxies: []string{"envoy.yaml"}, ReadProxy: func(name string) ([]byte, error) {
		if name != "envoy.yaml" {
			return nil, errors.New("another file")
		}
		return []byte(open), nil
	}}
	r, err := check(t, configText, nil, o)
	if err != nil || !strings.Contains(r.Findings.Error(), "failure_mode_allow is true") || !strings.HasSuffix(
		r.Name, "stepward.yaml with envoy.yaml") {
		t.Errorf("%s: %v, %v", r.Name, r.Findings, err)
	}
	o.Proxies = []string{"missing"}
	if _, err := check(t, configText, nil, o); err == nil {
		t.Error("a file that is not there is taken")
	}
}

// An issuer that does not answer keeps its own tokens out, and nobody's where it is optional.
func TestOnline(t *testing.T) {
	text := strings.NewReplacer("https://idp.example.com", "http://127.0.0.1:1", ", jwks_file: keys.json", "").Replace(
		configText)
	r, err := check(t, text, nil, validation.Options{Online: true})
	if err != nil || len(r.Findings) == 0 || !strings.Contains(r.Findings[0].Message, "issuer corp: ") ||
		r.Findings[0].Path != "issuers[0]" {
		t.Errorf("%v, %v", r.Findings, err)
	}
	r, err = check(t, strings.Replace(text, "audiences:", "optional: true, audiences:", 1), nil, validation.Options{
		Online: true})
	if err != nil || len(r.Findings) != 0 || len(r.Warnings) == 0 {
		t.Errorf("%v, %v, %v", r.Findings, r.Warnings, err)
	}
}

func TestPolicy(t *testing.T) {
	c, err := rehearsal.Default()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, text string) []string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return []string{path}
	}
	r, err := validation.Policy(t.Context(), c, write("good.rego", policyText), validation.Options{})
	if err != nil || len(r.Findings) > 0 || r.Revision == "" || !strings.Contains(r.MutationRule, "tenant") {
		t.Errorf("%+v, %v", r, err)
	}
	r, err = validation.Policy(t.Context(), c, write("bad.rego", "package stepward.policy\nrequire := 1\n"),
		validation.Options{})
	if err != nil || len(r.Findings) == 0 {
		t.Errorf("%+v, %v", r, err)
	}
	r, err = validation.Policy(t.Context(), c,
		write("doubtful.rego", policyText+"deny contains {\"code\": \"a\"} if input.token.claims.level < 3\n"),
		validation.Options{})
	if err != nil || len(r.Findings) > 0 || r.Warned() == 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := validation.Policy(t.Context(), c, []string{filepath.Join(dir, "missing.rego")},
		validation.Options{}); err == nil {
		t.Error("a policy that is not there is valid")
	}
	c.Policy = config.Policy{Compat: config.OPAEnvoy}
	r, err = validation.Policy(t.Context(), c, write("opa.rego", "package envoy.authz\nallow := true\n"),
		validation.Options{})
	if err != nil || len(r.Findings) > 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

var found = validation.Report{Name: "stepward.yaml", Revision: "4f1c", Candidate: "9a", Warnings: finding.List{
	{File: "p.rego", Line: 1, Column: 1, Code: "x", Message: "m", Severity: finding.Warning},
	{File: "p.rego", Line: 2, Column: 1, Message: "n", Severity: finding.Note}}}

func TestPrint(t *testing.T) {
	printed := func(r validation.Report, format string) string {
		var out strings.Builder
		if err := r.Print(&out, format); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	if got, want := printed(found, "text"),
		"p.rego:1:1: warning: m [x]\np.rego:2:1: note: n\nstepward.yaml is valid; policy revision 4f1c, candidate 9a; 1 warning\n"; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	two := found
	two.Warnings = append(finding.List{found.Warnings[0]}, found.Warnings...)
	if got := printed(two, "text"); !strings.HasSuffix(got, "; 2 warnings\n") {
		t.Error(got)
	}
	refused := found
	refused.Findings = finding.List{{File: "stepward.yaml", Line: 3, Column: 1, Message: "no"}}
	if got := printed(refused, "text"); strings.Contains(got, "is valid") || !strings.HasPrefix(
		got, "stepward.yaml:3:1: no\n") {
		t.Error(got)
	}
	for _, r := range []validation.Report{found, refused, {}} {
		var read struct {
			Valid              bool
			PolicyRevision     string `json:"policy_revision"`
			Findings, Warnings []finding.Finding
		}
		text := printed(r, "json")
		if err := json.Unmarshal([]byte(text), &read); err != nil || read.Valid != (len(r.Findings) == 0) ||
			read.Findings == nil || read.Warnings == nil || read.PolicyRevision != r.Revision {
			t.Errorf("%s: %v", text, err)
		}
		for format, want := range map[string]string{"sarif": `"2.1.0"`, "github": ""} {
			if got := printed(r, format); !strings.Contains(got, want) || strings.Count(got, "::")/2 != len(r.Findings)+
				len(r.Warnings) && format == "github" {
				t.Errorf("%s: %s", format, got)
			}
		}
	}
}

// Fixes are made in the files themselves, and standard input is left alone.
func TestFix(t *testing.T) {
	file := filepath.Join(t.TempDir(), "p.rego")
	if err := os.WriteFile(file, []byte("lvl\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	fix := &finding.Fix{Old: "lvl", New: "level"}
	told := map[string]int{}
	tell := func(file string, n int) { told[file] = n }
	r := validation.Report{Findings: finding.List{{File: file, Line: 1, Column: 1, Fix: fix},
		{File: "-", Line: 1, Column: 1, Fix: fix}}, Warnings: finding.List{{File: "missing", Line: 1, Column: 1}}}
	if err := r.Fix(tell); err != nil || told[file] != 1 || len(told) != 1 {
		t.Errorf("%v, %v", told, err)
	}
	text, err := os.ReadFile(file)
	if info, _ := os.Stat(file); err != nil || string(text) != "level\n" || info.Mode().Perm() != 0o640 {
		t.Errorf("%q, %v", text, err)
	}
	if err := (validation.Report{Findings: finding.List{{File: "missing", Fix: fix}}}).Fix(tell); err == nil {
		t.Error("a file that is not there is mended")
	}
}
