package playground_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/author/explain"
	"github.com/stepward/stepward/pkg/author/playground"
	"github.com/stepward/stepward/pkg/author/scenario"
	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/run/snapshot"
	"github.com/stepward/stepward/pkg/token"
)

const policyText = `package stepward.policy

import rego.v2

require contains {"level": "authenticated"}

require contains {"level": "mfa", "max_age": entry.max_age, "reason": "payments move money"} if {
	some entry in [{"place": "payments", "max_age": "5m"}]
	input.request.segments[0] == entry.place
}
`

const settingsText = `issuers:
- { name: corp, issuer: "https://idp.example.com", audiences: [api] }
levels:
- { name: password, acr: ["1"] }
- { name: mfa, acr: ["2"] }
login_redirect: { url: "https://login.example.com/", hosts: [app.example.com] }
`

func workspace() playground.Workspace {
	return playground.Workspace{
		Format: playground.Format, Policy: []playground.File{{Name: "policy.rego", Text: policyText},
			{Name: "data.json", Text: `{"open":["/"]}`}},
		Settings: settingsText, Routes: "GET /orders\nPOST /payments/**\n", Scenario: json.RawMessage(
			`{"as":"api","method":"POST","path":"/payments/7","token":{"level":"password"}}`),
	}
}

func text(t testing.TB, v any) string {
	t.Helper()
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// nobody verifies nothing, since the tokens of scenarios never reach it.
type nobody struct{}

func (nobody) Verify(context.Context, request.Request, credential.Credential) (*token.Token, error) {
	return nil, errors.New("nobody")
}

func stage(c config.Config, p *rego.Policy) (*scenario.Stage, error) {
	a, err := snapshot.NewAuthorizer(c, nobody{}, p)
	if err != nil {
		return nil, err
	}
	return scenario.NewStage(a, c), nil
}

// A saved workspace is read back unchanged; anything not in exactly that form is refused,
// with a reason.
func TestParse(t *testing.T) {
	w := workspace()
	var saved strings.Builder
	if err := w.Write(&saved); err != nil {
		t.Fatal(err)
	}
	again, err := playground.Parse([]byte(saved.String()))
	if err != nil || text(t, again) != text(t, w) {
		t.Errorf("%v\n%s\n%s", err, text(t, again), text(t, w))
	}
	for says, change := range map[string]func(*playground.Workspace){
		"format is":             func(w *playground.Workspace) { w.Format = "stepward-playground/2" },
		"policy has no file":    func(w *playground.Workspace) { w.Policy = nil },
		"more than 64 files":    func(w *playground.Workspace) { w.Policy = make([]playground.File, 65) },
		"is there twice":        func(w *playground.Workspace) { w.Policy = append(w.Policy, w.Policy[0]) },
		"plain relative path":   func(w *playground.Workspace) { w.Policy[0].Name = "../policy.rego" },
		`"/etc/p.rego"`:         func(w *playground.Workspace) { w.Policy[0].Name = "/etc/p.rego" },
		`"a/./p.rego"`:          func(w *playground.Workspace) { w.Policy[0].Name = "a/./p.rego" },
		`"C:p.rego"`:            func(w *playground.Workspace) { w.Policy[0].Name = "C:p.rego" },
		"neither .rego":         func(w *playground.Workspace) { w.Policy[0].Name = "policy.sh" },
		"is taken":              func(w *playground.Workspace) { w.Policy[0].Name = "stepward.lib/aal.rego" },
		`"stepward.yaml" is`:    func(w *playground.Workspace) { w.Policy[0].Name = "stepward.yaml" },
		"path is missing":       func(w *playground.Workspace) { w.Scenario = json.RawMessage(`{}`) },
		"unknown field \"pth\"": func(w *playground.Workspace) { w.Scenario = json.RawMessage(`{"pth":"/"}`) },
		"larger than": func(w *playground.Workspace) {
			w.Policy[0].Text = strings.Repeat("#", playground.MaxSize)
		},
	} {
		bad := workspace()
		change(&bad)
		if _, err := playground.Parse([]byte(text(t, bad))); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v; want %q", err, says)
		}
	}
	good := text(t, w)
	for says, bad := range map[string]string{
		"unknown field \"scenario_\"": strings.Replace(good, `"scenario":`, `"scenario_":`, 1),
		"scenario is missing":         `{"format":"` + playground.Format + `","policy":[{"name":"p.rego","text":""}]}`,
		"unknown field \"more\"":      strings.Replace(good, `{`, `{"more":1,`, 1), "json": good[:100],
		"not a saved playground": good + good, "twice": strings.Replace(good, `{`, `{"format":"x",`, 1), "": "[]",
	} {
		if _, err := playground.Parse([]byte(bad)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v; want %q", err, says)
		}
	}
}

// Of a configuration comes along what decides, and nothing that names a file, an address
// or a secret.
func TestExcerpt(t *testing.T) {
	whole := `# ours
listen: 0.0.0.0:1
control: unix:///run/c.sock
issuers:
- name: corp # the only one
  issuer: ${ISSUER}
  audiences: [api]
  jwks_file: keys.json
  introspection: { endpoint: "https://idp/i", client_secret_file: secret }
levels: [{ name: mfa, acr: ["2"] }]
policy: { paths: [policies] }
log: { file: log.txt }
`
	out, err := playground.Excerpt([]byte(whole), func(name string) string {
		return map[string]string{"ISSUER": "https://idp.example.com"}[name]
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, has := range []string{"# the only one", "https://idp.example.com", "mfa"} {
		if !strings.Contains(string(out), has) {
			t.Errorf("no %q in\n%s", has, out)
		}
	}
	for _, not := range []string{"listen", "control", "jwks_file", "secret", "paths", "log", "${"} {
		if strings.Contains(string(out), not) {
			t.Errorf("%q in\n%s", not, out)
		}
	}
	for _, bad := range []string{"", "a: [", "[]"} {
		if _, err := playground.Excerpt([]byte(bad), os.Getenv); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if _, err := playground.New([]rego.Source{{Name: "p.rego", Text: []byte(policyText)}, {Name: "p_test.rego"}},
		[]byte(whole), os.Getenv, "", `{"path":"/"}`); err != nil {
		t.Error(err)
	}
	if _, err := playground.New(nil, []byte(whole), os.Getenv, "", `{"path":"/"}`); err == nil {
		t.Error("a playground without a policy")
	}
}

// The scenario of a decision gets the same answer.
func TestScenarioOf(t *testing.T) {
	c, err := config.Parse("stepward.yaml", []byte(settingsText+"policy: { default: true }\n"), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ladder, err := c.Ladder()
	if err != nil {
		t.Fatal(err)
	}
	p, err := rego.Load(t.Context(), []rego.Source{{Name: "p.rego", Text: []byte(policyText)}},
		rego.Options{Ladder: ladder, Timeout: 1e10})
	if err != nil {
		t.Fatal(err)
	}
	s, err := stage(c, p)
	if err != nil {
		t.Fatal(err)
	}
	decide := func(written string) authz.Record {
		x, err := scenario.Parse([]byte(written))
		if err != nil {
			t.Fatalf("%s: %v", written, err)
		}
		r, err := s.Decide(t.Context(), x)
		if err != nil {
			t.Fatalf("%s: %v", written, err)
		}
		return r
	}
	for written, want := range map[string]string{
		`{"path":"/orders"}`:                                                         "challenge no_credentials",
		`{"path":"/orders","as":"browser"}`:                                          "redirect no_credentials",
		`{"path":"/orders","token":{}}`:                                              "allow ok",
		`{"path":"/payments/%20x","token":{"level":"password"}}`:                     "challenge insufficient_level",
		`{"path":"/payments","as":"grpc","token":{"level":"mfa","auth_age":"400s"}}`: "challenge stale_authentication",
		`{"path":"/payments","token":{"level":"mfa","auth_age":null}}`:               "challenge stale_authentication",
		`{"path":"/payments","method":"PUT","token":{"level":"mfa"}}`:                "allow ok",
		`{"path":"/payments","token":{"sub":null,"client_id":"batch"}}`:              "deny policy_unsatisfiable",
	} {
		first := decide(written)
		again := decide(text(t, playground.ScenarioOf(explain.Of(first))))
		for _, r := range []authz.Record{first, again} {
			if got := string(r.Result()) + " " + string(r.Reason()); got != want {
				t.Errorf("%s: %s; want %s", written, got, want)
			}
		}
	}
	if s := playground.ScenarioOf(explain.Of(decide(`{"path":"/a/../b"}`))); s != nil {
		t.Errorf("what was refused before it was read: %v", s)
	}
	odd := playground.ScenarioOf(explain.Explanation{Level: "mfa", Request: explain.Request{
		Kind: string(request.WebSocket), RawPath: "/"}, Token: &explain.Token{Issuer: "i", Subject: "s", Bound: true}})
	if got := text(
		t,
		odd); got != `{"as":"api","host":"","method":"","path":"/","token":{"auth_age":null,"iss":"i","level":"mfa","sender_constrained":true,"sub":"s"}}` {
		t.Error(got)
	}
}

const host, secret = "127.0.0.1:4711", "TEST-token"

func evaluate(t *testing.T, w playground.Workspace) playground.Result {
	t.Helper()
	h := playground.Handler(playground.Options{Host: host, Token: secret, Workspace: w, Stage: stage})
	res := call(t, h, "POST", "/"+secret+"/api/evaluate", text(t, w), nil)
	var r playground.Result
	if err := json.Unmarshal(res.Body.Bytes(), &r); err != nil || res.Code != 200 {
		t.Fatalf("%d %s, %v", res.Code, res.Body, err)
	}
	return r
}

// Every kind of client is answered, with the rules that held and their values; what does
// not compile has its place, and no answer.
func TestEvaluate(t *testing.T) {
	r := evaluate(t, workspace())
	want := map[string]string{"browser": "401", "page": "401", "api": "401", "grpc": "401"}
	for _, c := range r.Clients {
		if text(t, c.Answer.Status) != want[c.As] || c.Answer.Reason != "insufficient_level" || len(c.Fired) != 2 ||
			!strings.Contains(text(t, c.Fired), `\"max_age\": \"5m\"`) || c.Explanation.Level != "password" {
			t.Errorf("%s", text(t, c))
		}
		delete(want, c.As)
	}
	if len(want) > 0 || len(r.Findings)+len(r.Warnings) > 0 ||
		strings.Join(r.Levels, " ") != "anonymous authenticated password mfa" {
		t.Errorf("%v %s", want, text(t, r))
	}
	enough := workspace()
	enough.Scenario = json.RawMessage(`{"path":"/payments","token":{"level":"mfa"}}`)
	if r := evaluate(t, enough); len(r.Clients) != 4 || r.Clients[2].Answer.Status != 200 {
		t.Errorf("enough: %s", text(t, r))
	}
	for name, x := range map[string]struct {
		change func(*playground.Workspace)
		says   string
	}{
		"syntax": {func(w *playground.Workspace) { w.Policy[0].Text += "\nrequire contains {" },
			`"file":"policy.rego","line":12`},
		"data":     {func(w *playground.Workspace) { w.Policy[1].Text = "{" }, `"file":"data.json"`},
		"settings": {func(w *playground.Workspace) { w.Settings += "levls: []\n" }, `did you mean \"levels\"`},
		"YAML":     {func(w *playground.Workspace) { w.Settings = "a: [" }, "not YAML"},
		"a file": {func(w *playground.Workspace) { w.Settings += "tls: { cert_file: /etc/passwd }\n" },
			`\"tls\" is no part of a playground`},
		"a key file": {func(w *playground.Workspace) {
			w.Settings = "issuers: [{ name: x, jwks_file: /etc/passwd }]"
		}, `\"jwks_file\" is no part`},
		"a variable": {func(w *playground.Workspace) {
			w.Settings = strings.Replace(w.Settings, "https://idp",
				"${HOME}", 1)
		}, "variable HOME is not set"},
		"scenario": {func(w *playground.Workspace) { w.Scenario = json.RawMessage(`{"path":""}`) },
			"path is missing"},
		"who": {func(w *playground.Workspace) {
			w.Scenario = json.RawMessage(`{"path":"/","token":{"level":"mfaa"}}`)
		}, "not on the ladder"},
		"network": {func(w *playground.Workspace) {
			w.Policy[0].Text += `x := http.send({"url": "http://127.0.0.1/"})`
		}, "http.send"},
		"no base line": {func(w *playground.Workspace) {
			w.Policy[0].Text = "package stepward.policy\nimport rego.v2\n"
		}, "no_require"},
		"an odd folder": {func(w *playground.Workspace) { w.Policy = w.Policy[1:] }, "no_require"},
	} {
		bad := workspace()
		x.change(&bad)
		if r := evaluate(t, bad); len(r.Clients) > 0 || !strings.Contains(text(t, r), x.says) {
			t.Errorf("%s: %s; want %s", name, text(t, r), x.says)
		}
	}
	warned := workspace()
	warned.Policy[0].Text += "\ndeny contains {\"code\": \"x\"} if input.token.claims.age < 18\n"
	if r := evaluate(t, warned); len(r.Warnings) != 1 || r.Warnings[0].Line != 12 || len(r.Clients) != 4 {
		t.Errorf("warnings: %s", text(t, r))
	}
}

// A policy that does not end is given up, and does not waste the time of every kind of
// client.
func TestPolicyWithoutEnd(t *testing.T) {
	w := workspace()
	w.Policy[0].Text += "\nrequire contains {\"level\": \"mfa\"} if count([x | some a in numbers.range(1, 10000); some b in numbers.range(1, 10000); x := a * b]) > 5\n"
	r := evaluate(t, w)
	if len(r.Clients) != 1 || r.Clients[0].Answer.Reason != "policy_timeout" || r.Clients[0].Answer.Status != 503 {
		t.Errorf("%s", text(t, r))
	}
}

func TestMatrix(t *testing.T) {
	ask := func(w playground.Workspace) (m playground.Matrix) {
		t.Helper()
		h := playground.Handler(playground.Options{Host: host, Token: secret, Workspace: w, Stage: stage})
		if err := json.Unmarshal(call(t, h, "POST", "/"+secret+"/api/matrix", text(t, w), nil).Body.Bytes(),
			&m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	if m := ask(workspace()); len(m.Lines) != 2 || m.Lines[1].Needs != "mfa, max_age 300s" ||
		m.Lines[0].Needs != "authenticated" || len(m.Public) != 0 {
		t.Errorf("%s", text(t, m))
	}
	for says, change := range map[string]func(*playground.Workspace){
		"no routes": func(w *playground.Workspace) { w.Routes = " \n" }, "is not a route": func(
			w *playground.Workspace) {
			w.Routes = "nonsense"
		},
		"at most":     func(w *playground.Workspace) { w.Routes = strings.Repeat("GET /x\n", 501) },
		"are refused": func(w *playground.Workspace) { w.Policy[0].Text = "x" },
	} {
		w := workspace()
		change(&w)
		if m := ask(w); len(m.Lines) > 0 || !strings.Contains(m.Problem, says) {
			t.Errorf("%s; want %q", text(t, m), says)
		}
	}
}

// Every example that is shipped opens.
func TestExamples(t *testing.T) {
	examples, err := filepath.Glob("../../../examples/policies/*/policy.rego")
	if err != nil || len(examples) < 5 {
		t.Fatal(examples, err)
	}
	for _, example := range examples {
		sources, err := rego.FromPaths([]string{filepath.Dir(example)})
		if err != nil {
			t.Fatal(err)
		}
		for n := range sources {
			sources[n].Name = filepath.Base(sources[n].Name)
		}
		w, err := playground.New(sources,
			[]byte(strings.Replace(settingsText, "login", "- { name: phishing-resistant, acr: [phr] }\nlogin", 1)),
			os.Getenv, "", `{"path":"/"}`)
		if err != nil {
			t.Errorf("%s: %v", example, err)
			continue
		}
		if r := evaluate(t, w); len(r.Clients) != 4 {
			t.Errorf("%s: %s", example, text(t, r))
		}
	}
}
