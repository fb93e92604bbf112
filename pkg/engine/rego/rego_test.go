package rego_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/pkg/internal/wait"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/stepup"
	"github.com/stepward/stepward/pkg/token"
)

func ladder(t testing.TB) stepup.Ladder {
	t.Helper()
	l, err := stepup.NewLadder([]stepup.Level{{Name: "password", ACR: []string{"1"}}, {Name: "mfa", ACR: []string{"2"}},
		{Name: "phishing-resistant", ACR: []string{"phr"}}})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func load(t testing.TB, opt rego.Options, texts ...string) (*rego.Policy, error) {
	t.Helper()
	if opt.Timeout == 0 { // what is tested is not that
		opt.Timeout = wait.Bound
	}
	opt.Ladder = ladder(t)
	var sources []rego.Source
	for i, text := range texts {
		name := fmt.Sprintf("p%d.rego", i)
		if strings.HasPrefix(text, "{") {
			name = fmt.Sprintf("d%d.json", i)
		}
		sources = append(sources, rego.Source{Name: name, Text: []byte(text)})
	}
	return rego.Load(t.Context(), sources, opt)
}

func must(t testing.TB, texts ...string) *rego.Policy {
	t.Helper()
	p, err := load(t, rego.Options{Timeout: wait.Bound}, texts...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func ask(t testing.TB, method, target string, change func(*policy.Input)) policy.Input {
	t.Helper()
	r, err := request.New(request.Raw{Method: method, Host: "app.example.com", Target: target, Scheme: "https",
		Headers: []request.Field{{Name: "x-plan", Value: "gold"}, {Name: "authorization", Value: "Bearer x"},
			{Name: "x-stepward-subject", Value: "root"}}}, request.Options{})
	if err != nil {
		t.Fatal(err)
	}
	in := policy.Input{Request: r}
	if change != nil {
		change(&in)
	}
	return in
}

const head = "package stepward.policy\nimport rego.v2\n"

func TestRefused(t *testing.T) {
	archive, err := txtar.ParseFile(filepath.Join("testdata", "refused.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	if len(archive.Files) < 30 {
		t.Fatalf("%d policies", len(archive.Files))
	}
	for _, f := range archive.Files {
		t.Run(f.Name, func(t *testing.T) {
			want, _, _ := strings.Cut(strings.TrimPrefix(string(f.Data), "# "), "\n")
			var line int
			var code string
			if _, err := fmt.Sscan(want, &line, &code); err != nil {
				t.Fatal(err)
			}
			message := strings.TrimSpace(strings.SplitN(want, code, 2)[1])
			_, err := load(t, rego.Options{}, string(f.Data))
			var found finding.List
			if !errors.As(err, &found) {
				t.Fatalf("%v; want findings", err)
			}
			for _, x := range found {
				if x.Line == line && x.Code == code && strings.Contains(x.Message, message) && x.File == "p0.rego" &&
					x.Column > 0 {
					return
				}
			}
			t.Errorf("found\n%v\nwant %s", err, want)
		})
	}
}

// A policy is refused as a whole, with everything that is wrong with it.
func TestAllFindingsAtOnce(t *testing.T) {
	_, err := load(t, rego.Options{}, head+
		"require contains {\"levl\": \"x\"}\ndeny if true\nheaders[\"host\"] := \"x\"\n")
	var found finding.List
	if !errors.As(err, &found) || len(found) != 3 {
		t.Errorf("%v", err)
	}
}

func TestEvaluate(t *testing.T) {
	p := must(t, head+`
require contains {"level": "mfa", "max_age": "5m", "reason": "pay"} if input.request.segments[0] == "payments"
require contains {"level": "authenticated"}
deny contains {"code": "no_role", "status": 404} if {
	input.request.segments[0] == "payroll"
	not "payroll" in input.token.claims.roles
}
headers["x-tenant"] := input.token.claims.tenant
response_headers["x-a"] := ["1", "2"]
metadata["team"] := {"name": "x"}
`)
	if got := p.Traits().RequestHeaders; len(got) != 1 || got[0] != "x-tenant" {
		t.Errorf("headers %q", got)
	}
	r, err := p.Evaluate(t.Context(), ask(t, "POST", "/payments/1", nil))
	if err != nil || len(r.Require) != 2 || len(r.Deny) != 0 || len(r.Headers) != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	if got := r.Require[0]; got.Level != "mfa" || got.Rule != "stepward.policy.require (p0.rego:4)" ||
		got.MaxAge != stepup.AgeOf(5*time.Minute) {
		t.Errorf("%+v", got)
	}
	if len(r.Response["x-a"]) != 2 || r.Metadata["team"] == nil {
		t.Errorf("%+v", r)
	}
	// A claim that is missing does not silence a deny.
	if r, err := p.Evaluate(t.Context(), ask(t, "GET", "/payroll", nil)); err != nil || len(r.Deny) != 1 ||
		r.Deny[0].Status != 404 || r.Deny[0].Rule != "stepward.policy.deny (p0.rego:6)" {
		t.Errorf("nobody: %+v, %v", r, err)
	}
	r, err = p.Evaluate(t.Context(), ask(t, "GET", "/payroll", func(in *policy.Input) {
		in.Token = &token.Token{Claims: map[string]any{"roles": []any{"payroll"}, "tenant": "acme", "exp": 1}}
	}))
	if err != nil || len(r.Deny) != 0 || len(r.Headers["x-tenant"]) != 1 {
		t.Errorf("payroll: %+v, %v", r, err)
	}
}

// What a policy does at run time that it may not: an error, never half a result.
func TestRunTimeErrors(t *testing.T) {
	for name, text := range map[string]string{
		"conflict": `require contains {"level": l}` +
			"\nl := \"mfa\"\nl := \"password\" if input.request.method == \"GET\"",
		"header conflict": `require contains {"level": "mfa"}` +
			"\nheaders[\"x-a\"] := \"1\"\nheaders[\"x-a\"] := \"2\" if input.request.method == \"GET\"",
		"built-in error": `require contains {"level": "mfa"}` +
			"\ndeny contains {\"code\": \"x\"} if to_number(input.request.path) > 3",
		"unknown level":       `require contains {"level": concat("", ["m", "fa", v("x")])}`,
		"unknown key":         `require contains {k: "mfa"} if some k in v(["levl"])`,
		"not an object":       `require contains x if some x in v(["mfa"])`,
		"empty object":        `require contains x if some x in v([{}])`,
		"negative age":        `require contains {"level": "mfa", "max_age": v(-1)}`,
		"fractional age":      `require contains {"level": "mfa", "max_age": v(1.5)}`,
		"age in milliseconds": `require contains {"level": "mfa", "max_age": v("1500ms")}`,
		"age of another kind": `require contains {"level": "mfa", "max_age": v(true)}`,
		"level and acr":       `require contains v({"level": "mfa", "acr": ["2"]})`,
		"amr alone":           `require contains v({"amr": ["otp"]})`,
		"acr is a string":     `require contains {"acr": v("2")}`,
		"acr with a space":    `require contains {"acr": v(["a b"])}`,
		"acr with a quote":    `require contains {"acr": v(["a\""])}`,
		"empty acr":           `require contains {"acr": v([])}`,
		"scope with CR LF":    `require contains {"scope": v(["a\r\nb"])}`,
		"anonymous with more": `require contains v({"level": "anonymous", "scope": ["x"]})`,
		"anonymous by token":  `require contains {"level": l} if l := input.token.claims.level`,
		"status 200":          `require contains {"level": "mfa"}` + "\ndeny contains {\"status\": v(200)}",
		"status is a string":  `require contains {"level": "mfa"}` + "\ndeny contains {\"status\": v(\"403\")}",
		"header with CR LF":   `require contains {"level": "mfa"}` + "\nheaders[\"x-a\"] := v(\"a\\r\\nb\")",
		"header is a number":  `require contains {"level": "mfa"}` + "\nheaders[\"x-a\"] := v(1)",
		"cookie of ours": `require contains {"level": "mfa"}` +
			"\nresponse_headers[\"set-cookie\"] := v(\"__Host-stepward=1\")",
		"too many members":      `require contains {"level": "mfa", "reason": sprintf("%d", [i])} if some i in numbers.range(1, 100)`,
		"too long a string":     `require contains {"level": "mfa", "reason": concat("", [s | some _ in numbers.range(1, 2000); s := "x"])}`,
		"metadata too large":    `require contains {"level": "mfa"}` + "\nmetadata[\"x\"] := numbers.range(1, 3000)",
		"sender_constrained: 1": `require contains {"level": "mfa", "sender_constrained": v(1)}`,
	} {
		t.Run(name, func(t *testing.T) {
			// What v returns is not known before there is a request.
			p, err := load(t, rego.Options{Timeout: wait.Bound},
				head+text+"\nv(x) := x if input.request.method == \"GET\"")
			if err != nil {
				t.Fatalf("does not load: %v", err)
			}
			r, err := p.Evaluate(t.Context(), ask(t, "GET", "/abc", func(in *policy.Input) {
				in.Token = &token.Token{Claims: map[string]any{"level": "anonymous"}}
			}))
			if err == nil || len(r.Require) > 0 || errors.Is(err, policy.ErrTimeout) {
				t.Errorf("%d requirements, %v; want an error alone", len(r.Require), err)
			}
		})
	}
}

func TestRoutes(t *testing.T) {
	p := must(t, head+`require contains {"level": "authenticated"}`,
		"package stepward.route.payments\nimport rego.v2\nrequire contains {\"level\": \"mfa\"}\nheaders[\"x-route\"] := \"payments\"")
	for _, v := range []struct {
		routes []string
		want   int
		err    error
	}{{nil, 1, nil}, {[]string{"payments"}, 2, nil}, {[]string{"paymnts"}, 0, policy.ErrRoute}} {
		r, err := p.Evaluate(t.Context(), ask(t, "GET", "/", func(in *policy.Input) { in.Routes = v.routes }))
		if len(r.Require) != v.want || !errors.Is(err, v.err) {
			t.Errorf("%q: %+v, %v", v.routes, r, err)
		}
	}
	if got := p.Traits().RequestHeaders; len(got) != 1 {
		t.Errorf("headers of a route's package are not known: %q", got)
	}
}

// A rule that reads require sees what its author wrote, not the copies.
func TestRequireCanBeRead(t *testing.T) {
	p := must(t, head+`
require contains {"level": "mfa"}
deny contains {"code": "strict"} if {"level": "mfa"} in require`)
	if r, err := p.Evaluate(t.Context(), ask(t, "GET", "/", nil)); err != nil || len(r.Deny) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

// A policy sees neither credentials nor what a client forged, nor the time.
func TestHiddenFromPolicies(t *testing.T) {
	p := must(t, head+`
require contains {"level": "authenticated"}
metadata["headers"] := object.keys(input.request.headers)
metadata["claims"] := object.keys(input.token.claims)`)
	r, err := p.Evaluate(t.Context(), ask(t, "GET", "/", func(in *policy.Input) {
		in.Token = &token.Token{Claims: map[string]any{"sub": "a", "exp": 1, "iat": 1, "nbf": 1, "auth_time": 1,
			"jti": "x"}}
	}))
	if err != nil || fmt.Sprint(r.Metadata["headers"], r.Metadata["claims"]) != "[x-plan] [sub]" {
		t.Errorf("%v, %v", r.Metadata, err)
	}
}

func TestData(t *testing.T) {
	text := head + `require contains r if some r in data.table`
	if r, err := must(t, text, `{"table": [{"level": "mfa", "max_age": 300}]}`).Evaluate(
		t.Context(), ask(t, "GET", "/", nil)); err != nil || len(r.Require) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	for _, bad := range []string{`{"table": 1, "table": 2}`, `{"a": 1`, `{} {}`} {
		if _, err := load(t, rego.Options{}, text, bad); err == nil {
			t.Errorf("%s is data", bad)
		}
	}
	if _, err := load(t, rego.Options{}, text, `{"a": 1}`, `{"a": 1}`); err == nil {
		t.Error("two files set data.a")
	}
}

func TestRevision(t *testing.T) {
	a, b := must(t, head+`require contains {"level": "mfa"}`), must(t, head+`require contains {"level": "mfa"} `)
	again := must(t, head+`require contains {"level": "mfa"}`)
	is, other := a.Traits().Revision, b.Traits().Revision
	if len(is) != 12 || is == other || is != again.Traits().Revision {
		t.Errorf("%s %s", is, other)
	}
}

func TestFromPaths(t *testing.T) {
	dir := t.TempDir()
	if _, err := rego.FromPaths([]string{dir}); err == nil {
		t.Error("an empty folder is a policy")
	}
	if _, err := rego.FromPaths([]string{filepath.Join(dir, "missing")}); err == nil {
		t.Error("a missing folder is a policy")
	}
	for _, name := range []string{"a.rego", "b.json", "c.yaml", ".hidden.rego", "note.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sources, err := rego.FromPaths([]string{dir})
	if err != nil || len(sources) != 3 {
		t.Errorf("%v, %v", sources, err)
	}
}

// Loading never panics, and gives a policy or findings.
func FuzzLoad(f *testing.F) {
	f.Add(head + `require contains {"level": "mfa"}`)
	f.Add(head + "require contains {} if { not input.token }")
	f.Add("package stepward.policy\nheaders[x] := 1")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := load(t, rego.Options{}, text)
		if (p == nil) == (err == nil) {
			t.Fatal("neither a policy nor an error")
		}
	})
}
