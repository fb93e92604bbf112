package matrix_test

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/author/analysis"
	"github.com/stepward/stepward/pkg/author/matrix"
	"github.com/stepward/stepward/pkg/author/scenario"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/run/snapshot"
	"github.com/stepward/stepward/pkg/stepup"
)

const settings = `
issuers: [{ name: corp, issuer: "https://idp.example.com", audiences: [api] }]
levels: [{ name: password, acr: ["1"] }, { name: mfa, acr: ["2"] }, { name: phishing-resistant, acr: [phr] }]
`

const routes = `
# What the examples are about, and what they are not.
GET /
GET /health
GET,POST,DELETE /payments/**
GET,POST /payments/{id}
GET,POST /admin/**
/t/{tenant}/settings
/t/{tenant}/orders/**
POST /transfers
POST /graphql
POST /shop.v1.Payments/{method}
/payroll/**
/production
/console
/reports
/records/*
app.example.com/**
`

func load(t testing.TB, paths ...string) ([]*analysis.Analysis, *scenario.Stage, stepup.Ladder) {
	t.Helper()
	c, err := config.Parse("stepward.yaml", []byte(settings+"policy: { default: true }\n"), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ladder, err := c.Ladder()
	if err != nil {
		t.Fatal(err)
	}
	sources, err := snapshot.Sources(paths)
	if err != nil {
		t.Fatal(err)
	}
	options := rego.Options{Ladder: ladder, Timeout: 1e10}
	var analyses []*analysis.Analysis
	for range 2 {
		a, err := analysis.Load(sources, options)
		if err != nil {
			t.Fatal(err)
		}
		analyses = append(analyses, a)
	}
	p, err := rego.Load(t.Context(), sources, options)
	if err != nil {
		t.Fatal(err)
	}
	a, err := snapshot.NewAuthorizer(c, nil, p)
	if err != nil {
		t.Fatal(err)
	}
	return analyses, scenario.NewStage(a, c), ladder
}

func parse(t testing.TB, text string) []matrix.Route {
	t.Helper()
	list, err := matrix.ParseRoutes("routes", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// choice picks by a number that a seed makes, so that each run is alike.
type choice struct{ seed, n int }

func (c *choice) of(list ...string) string {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %d", c.seed, c.n)
	c.n++
	return list[h.Sum64()%uint64(len(list))]
}

// sample is a request that the row's route takes, by a caller of its kind.
func sample(c *choice, r matrix.Row) scenario.Scenario {
	words := []string{"payments", "admin", "acme", "7", "settings", "x", "Pay", "zz", "transfers", "payroll"}
	var segments []string
	for _, s := range strings.Split(strings.Trim(r.Path, "/"), "/") {
		switch {
		case s == "**":
			for range len(c.of("", "a", "aa", "aaa")) {
				segments = append(segments, c.of(words...))
			}
		case s == "*" || strings.HasPrefix(s, "{"):
			segments = append(segments, c.of(words...))
		case s != "":
			segments = append(segments, s)
		}
	}
	x := scenario.Scenario{Method: r.Method, Host: r.Host, Path: "/" + strings.Join(segments, "/"),
		As: c.of("browser", "api", "page")}
	if x.Host == "" {
		x.Host = c.of("app.example.com", "other.example.com")
	}
	if c.of("y", "n") == "y" && r.Method == "POST" {
		x.Body = json.RawMessage(c.of(`{"amount":5}`, `{"amount":5000}`, `{"amount":"5"}`, `{"query":"{ a }"}`,
			`{"query":"mutation { a }"}`, `[]`, `7`))
	}
	if c.of("y", "n", "n") == "y" {
		x.Headers = map[string]string{"x-break-glass": "ticket 4711, database down"}
	}
	x.Principal = c.of("", "spiffe://example.com/device/7")
	if r.Caller == "nobody" {
		return x
	}
	x.Token = map[string]any{"sub": c.of("alice", "bob", "carol", "mallory"),
		"level": c.of("password", "mfa", "phishing-resistant"), "tenant": c.of("acme", "x"), "roles": []any{
			c.of("payroll", "oncall", "operator", "sales")}}
	if r.Caller == "program" {
		x.Token["sub"], x.Token["client_id"] = nil, c.of("nightly", "other")
	}
	return x
}

// On sampled requests the matrix and a decision agree: what always holds holds, what
// holds is there, and without conditions nothing else is required.
func TestAgreesWithDecisions(t *testing.T) {
	examples, err := filepath.Glob("../../../examples/policies/*/policy.rego")
	if err != nil || len(examples) < 10 {
		t.Fatal(examples, err)
	}
	sampled, settled := 0, 0
	for _, dir := range append(examples, "") {
		paths := []string{}
		if dir != "" {
			paths = append(paths, filepath.Dir(dir))
		}
		p, stage, ladder := load(t, paths...)
		m, err := matrix.Make(t.Context(), p, ladder, parse(t, routes), nil)
		if err != nil {
			t.Fatal(err)
		}
		for n, row := range m.Rows {
			if row.Level == matrix.Unsettled {
				t.Errorf("%s: %+v", dir, row)
			}
			for seed := range 4 {
				c := &choice{seed: n*10 + seed}
				x := sample(c, row)
				r, err := stage.Decide(t.Context(), x)
				if err != nil {
					t.Fatal(err)
				}
				if r.Fault != nil {
					t.Fatalf("%s: %+v: %v", dir, x, r.Fault)
				}
				sampled++
				var fired, denied, may []string
				for _, q := range r.Required {
					fired = append(fired, q.Rule)
				}
				for _, d := range r.Policy.Deny {
					denied = append(denied, d.Rule)
				}
				for _, i := range row.If {
					may = append(may, i.Rule)
				}
				var always, refusing []string
				for _, q := range row.Required {
					always = append(always, q.Rule)
				}
				for _, d := range row.Denied {
					refusing = append(refusing, d.Rule)
				}
				for _, rule := range always {
					if !slices.Contains(fired, rule) {
						t.Errorf("%s: %s %s for %s: the matrix says that %s always holds, and for %+v it does not", dir,
							row.Method, row.Path, row.Caller, rule, x)
					}
				}
				for _, rule := range fired {
					if !slices.Contains(always, rule) && !slices.Contains(may, rule) {
						t.Errorf("%s: %s %s for %s: %s holds for %+v, and the matrix does not know it", dir, row.Method,
							row.Path, row.Caller, rule, x)
					}
				}
				if row.Caller != "nobody" {
					for _, rule := range denied {
						if !slices.Contains(refusing, rule) && !slices.Contains(may, rule) {
							t.Errorf("%s: %s %s for %s: %s refuses %+v, and the matrix does not know it", dir,
								row.Method, row.Path, row.Caller, rule, x)
						}
					}
				}
				if len(row.If) == 0 && len(row.Denied) == 0 {
					settled++
					if row.Level != matrix.None && r.Shortfall.Level != row.Level {
						t.Errorf("%s: %s %s for %s needs %s, and %+v needed %s", dir, row.Method, row.Path, row.Caller,
							row.Level, x, r.Shortfall.Level)
					}
				}
				if row.Public() != (r.Result() == stepup.ResultAllow) && row.Caller == "nobody" && row.Public() {
					t.Errorf("%s: %s %s is public, and %+v was answered %s", dir, row.Method, row.Path, x, r.Reason())
				}
			}
		}
	}
	if sampled < 2000 || settled < 1000 {
		t.Errorf("only %d sampled, %d of them settled", sampled, settled)
	}
	t.Logf("%d sampled, %d of them settled", sampled, settled)
}

const table = `package stepward.policy
import rego.v2
require contains {"level": "anonymous"} if { input.request.path == "/"; input.request.method == "GET" }
require contains {"level": "authenticated"} if not input.request.path == "/"
require contains {"level": "authenticated"} if not input.request.method == "GET"
require contains {"level": "mfa", "max_age": "5m"} if input.request.segments[0] == "payments"
require contains {"level": "phishing-resistant", "scope": ["admin"]} if input.request.segments[0] == "admin"
deny contains {"code": "x", "always": true} if input.request.segments[0] == "gone"
`

func write(t testing.TB, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "p.rego")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func made(t testing.TB, text, list string) matrix.Matrix {
	t.Helper()
	p, _, ladder := load(t, write(t, text))
	m, err := matrix.Make(t.Context(), p, ladder, parse(t, list), nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// What became weaker is found by the word, and what became stronger is not called so.
func TestDiff(t *testing.T) {
	_, _, ladder := load(t)
	const list = "GET /\nPOST /payments/**\nGET /admin/x\nGET /gone\nGET /other\n"
	was := made(t, table, list)
	for name, x := range map[string]struct {
		old, new string
		weaker   string // empty where nothing is
	}{
		"nothing": {"", "", ""},
		"a weaker level": {`{"level": "phishing-resistant", "scope": ["admin"]}`,
			`{"level": "mfa", "scope": ["admin"]}`, "needs mfa, was phishing-resistant"},
		"a stronger level": {`{"level": "mfa", "max_age": "5m"}`,
			`{"level": "phishing-resistant", "max_age": "5m"}`, ""},
		"a longer age":  {`"max_age": "5m"`, `"max_age": "10m"`, "max_age 600s, was 300s"},
		"a shorter age": {`"max_age": "5m"`, `"max_age": "1m"`, ""},
		"no age":        {`, "max_age": "5m"`, ``, "max_age none, was 300s"},
		"no scope":      {`, "scope": ["admin"]`, ``, "no scope admin any more"},
		"another scope": {`["admin"]`, `["admin", "more"]`, ""},
		"no refusal": {`if input.request.segments[0] == "gone"`,
			`if input.request.segments[0] == "left"`, "no refusal"},
		"public beside a base line": {`input.request.path == "/"; input.request.method == "GET"`,
			`input.request.path in {"/", "/other"}; input.request.method == "GET"`, ""},
		"public": {`"/"; input.request.method == "GET" }
require contains {"level": "authenticated"} if not input.request.path == "/"
require contains {"level": "authenticated"} if not input.request.method == "GET"`, `input.request.path }
`, "became public"},
		"only observed": {`{"level": "mfa", "max_age": "5m"}`,
			`{"level": "mfa", "max_age": "5m", "shadow": true}`, "needs authenticated, was mfa"},
		"a condition more": {`if input.request.segments[0] == "admin"`,
			`if { input.request.segments[0] == "admin"; not input.request.headers["x"] == "1" }`,
			"needs authenticated"},
		"public by a header": {`input.request.path == "/"; input.request.method == "GET"`,
			`input.request.headers["x"] == "1"`, "condition"},
		"public by a header, with a reason": {
			`{"level": "anonymous"} if { input.request.path == "/"; input.request.method == "GET" }`,
			`{"level": "anonymous", "reason": "x"} if input.request.headers["x"] == "1"`, "condition require"},
		"a computed level": {
			`deny contains`,
			"require contains {\"level\": object.get({\"1\": \"anonymous\"}, input.request.headers[\"x\"], \"mfa\")} if input.request.segments[0] == \"other\"\ndeny contains", "condition require"},
		"a rule of no effect": {
			`deny contains`,
			"require contains {\"level\": \"password\"} if input.request.segments[0] == \"payments\"\ndeny contains",
			""},
	} {
		t.Run(name, func(t *testing.T) {
			changed := strings.Replace(table, x.old, x.new, 1)
			if x.old != "" && changed == table {
				t.Fatal("nothing is changed")
			}
			changes := matrix.Diff(was, made(t, changed, list), ladder)
			var weaker []string
			for _, c := range changes {
				weaker = append(weaker, c.Weaker...)
			}
			text := strings.Join(weaker, "; ")
			if (x.weaker == "") != (text == "") || !strings.Contains(text, x.weaker) {
				t.Errorf("weaker: %q; want %q", text, x.weaker)
			}
		})
	}
}

// BenchmarkMatrix is 2,000 routes under the shipped policy.
func BenchmarkMatrix(b *testing.B) {
	p, _, ladder := load(b)
	var list strings.Builder
	for n := range 2000 {
		fmt.Fprintf(&list, "/service%d/items/{id}\n", n)
	}
	all := parse(b, list.String())
	for b.Loop() {
		if _, err := matrix.Make(b.Context(), p, ladder, all, nil); err != nil {
			b.Fatal(err)
		}
	}
}
