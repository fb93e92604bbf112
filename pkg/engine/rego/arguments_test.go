package rego_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/internal/wait"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/token"
	"github.com/stepward/stepward/policies"
)

// safeUse is how a library function is asked in a stop sign: the condition under which
// more is required, with %s for the call, and arguments for which it is not. Each argument
// is then taken away, and the stop sign must stand.
type safeUse struct {
	stop      string // what asks for more
	arguments []string
}

// Of the caller below: alice of acme, who proved herself with a key, before a POST of
// {"amount": 7} to /t/acme/pay at acme.app.example.com.
var safeUses = map[string]safeUse{
	"aal.factors":            {`not %s > 1`, []string{`input.token.amr`}},
	"aal.multi_factor":       {`not %s`, []string{`input.token.amr`}},
	"aal.phishing_resistant": {`not %s`, []string{`input.token.amr`, `input.token.acr`}},
	"aal.hardware":           {`not %s`, []string{`input.token.amr`, `input.token.acr`}},
	"aal.level":              {`not %s >= 2`, []string{`input.token.amr`, `input.token.acr`}},
	"access.roles":           {`not "staff" in %s`, []string{`input.token`}},
	"access.array_claim":     {`not "staff" in %s`, []string{`input.token`, `["roles"]`}},
	"access.role":            {`not %s`, []string{`input.token`, `"staff"`}},
	"access.scopes":          {`not %s`, []string{`input.token`, `["pay"]`}},
	"access.program":         {`not %s`, []string{`input.token`, `["app"]`}},
	"body.unreadable":        {`%s`, []string{`input.request`}},
	"body.number":            {`not %s < 10`, []string{`input.request`, `["variables", "amount"]`}},
	"body.at_most":           {`not %s`, []string{`input.request`, `["variables", "amount"]`, `10`}},
	"breakglass.reason":      {`not %s`, []string{`input`, `"staff"`, `"x-reason"`}},
	"breakglass.used":        {`not %s`, []string{`input`, `"staff"`, `"x-reason"`}},
	"device.by_certificate":  {`not %s`, []string{`input.source`, `["spiffe://example.com/device/"]`}},
	"device.by_header":       {`not %s`, []string{`input.request`, `"x-device"`, `"ok"`}},
	"graphql.documents":      {`not count(%s) == 1`, []string{`input.request`}},
	"graphql.reads":          {`not %s`, []string{`input.request`}},
	"grpc.call":              {`not %s.service == "t"`, []string{`input.request`}},
	"grpc.matches":           {`%s`, []string{`{"service": "other"}`, `input.request`}},
	"risk.score":             {`%s == "unknown"`, []string{`data.scores`, `input.token.subject`}},
	"risk.at_least":          {`%s`, []string{`data.scores`, `input.token.subject`, `50`}},
	"routes.matches":         {`%s`, []string{`{"path": "/other"}`, `input.request`}},
	"tenants.of_path":        {`not %s == "acme"`, []string{`input.request`, `["t"]`}},
	"tenants.of_host":        {`not %s == "acme"`, []string{`input.request`, `".app.example.com"`}},
	"tenants.of_token":       {`not %s == "acme"`, []string{`input.token`, `"tenant"`}},
	"tenants.crosses":        {`%s`, []string{`input.token`, `"tenant"`, `input.request.segments[1]`}},
}

// parts are functions of the library that others are made of, and no policy has use for.
var parts = []string{
	"routes.method_matches", "routes.host_matches", "routes.entry_path_matches", "routes.pattern_segments",
	"routes.path_matches", "routes.prefix_matches",
	"graphql.plain", "graphql.silent", "graphql.operation", "graphql.only_body", "graphql.harmless",
	"grpc.service_matches", "grpc.method_matches",
}

// libraryFunctions are the functions of the library, with how many arguments they have.
func libraryFunctions(t *testing.T) map[string]int {
	t.Helper()
	sources, err := rego.FromFS(policies.Library())
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]int{}
	for _, s := range sources {
		if !strings.HasSuffix(s.Name, ".rego") || strings.HasSuffix(s.Name, "_test.rego") {
			continue
		}
		m, err := ast.ParseModuleWithOpts(s.Name, string(s.Text), ast.ParserOptions{RegoVersion: ast.RegoV1,
			Capabilities: ast.CapabilitiesForThisVersion()})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range m.Rules {
			if len(r.Head.Args) > 0 {
				all[strings.TrimPrefix(m.Package.Path.String(), "data.stepward.lib.")+"."+r.Head.Name.String()] = len(
					r.Head.Args)
			}
		}
	}
	return all
}

// stopSign is a policy whose stop sign asks a library function.
func stopSign(function string, stop string, arguments []string) string {
	pkg, _, _ := strings.Cut(function, ".")
	call := fmt.Sprintf("%s(%s)", function, strings.Join(arguments, ", "))
	return fmt.Sprintf(
		"package stepward.policy\n\nimport rego.v2\n\nimport data.stepward.lib.%s\n\nnobody if input.request.method == \"NONE\"\n\nmissing := 1 if nobody\n\nrequire contains {\"level\": \"authenticated\"}\n\nrequire contains {\"level\": \"mfa\"} if %s\n", pkg, fmt.Sprintf(stop, call))
}

func stops(t *testing.T, text string, opt rego.Options) (bool, error) {
	t.Helper()
	if opt.Timeout == 0 { // what is tested is not that
		opt.Timeout = wait.Bound
	}
	library, err := rego.FromFS(policies.Library())
	if err != nil {
		t.Fatal(err)
	}
	opt.Ladder = ladder(t)
	_, imported, _ := strings.Cut(text, "import data.stepward.lib.")
	imported, _, _ = strings.Cut(imported, "\n")
	library = slices.DeleteFunc(library, func(s rego.Source) bool { // the others take time
		return strings.HasSuffix(s.Name, ".rego") && !slices.Contains(
			[]string{imported + ".rego", "access.rego", "body.rego"}, s.Name)
	})
	sources := append(library, rego.Source{Name: "p.rego", Text: []byte(text)},
		rego.Source{Name: "data.json", Text: []byte(`{"scores": {"alice": {"score": 1}}}`)})
	p, err := rego.Load(t.Context(), sources, opt)
	if err != nil {
		return true, err
	}
	r, err := p.Evaluate(t.Context(), policy.Input{
		Request: request.Request{
			Method: "POST", Host: "acme.app.example.com", Path: "/t/acme", Segments: []string{"t", "acme"},
			Source:  request.Source{Principal: "spiffe://example.com/device/7"},
			Headers: map[string][]string{"x-device": {"ok"}, "x-reason": {"ticket 4711: down"}}, Body: request.Body{
				Present: true, State: request.BodyJSON, JSON: map[string]any{"variables": map[string]any{"amount": 7},
					"query": "{ me }"}},
		},
		Token: &token.Token{
			Subject: "alice", ClientID: "app", Principal: token.Client, Proofs: []token.Proof{
				{ACR: "phrh", AMR: []string{"hwk", "pin"}}}, Scopes: []string{"pay"},
			Claims: map[string]any{"tenant": "acme", "roles": []any{"staff"}},
		},
	})
	return err != nil || len(r.Require) > 1, err
}

// A stop sign that asks the library stands where any argument is not there: undefined by
// the input, by a rule, by a call, or in data that cannot be believed.
func TestEveryArgumentOfTheLibrary(t *testing.T) {
	for name, arity := range libraryFunctions(t) {
		if slices.Contains(parts, name) {
			continue
		}
		use, known := safeUses[name]
		if !known || len(use.arguments) != arity {
			t.Errorf("%s has %d arguments, and safeUses does not show it with so many: how is it asked in a stop sign?",
				name, arity)
			continue
		}
		t.Run(name, func(t *testing.T) {
			if stood, err := stops(t, stopSign(name, use.stop, use.arguments), rego.Options{}); stood || err != nil {
				t.Fatalf("with everything there it asks for more, too: %v", err)
			}
			for n := range arity {
				for _, gone := range []string{
					`input.token.claims.none`, `input.request.headers["x-none"]`, `missing`,
					`lower(input.token.claims.none)`,
					`input.token.claims[input.request.method]`, `data.scores[input.request.method]`, `null`, `7`,
					`"text"`, `{}`, `[]`,
				} {
					if use.arguments[n] == gone || slices.Contains([]string{"10", "50"}, use.arguments[n]) &&
						gone == "7" || strings.HasSuffix(name, ".scopes") && n == 1 && gone == "[]" {
						continue // as good as what is there; or nothing is asked for
					}
					arguments := slices.Clone(use.arguments)
					arguments[n] = gone
					if name == "grpc.matches" && n == 0 && gone == "{}" || name == "routes.matches" && n == 0 &&
						gone == "{}" {
						continue // an entry for everything
					}
					if stood, _ := stops(t, stopSign(name, use.stop, arguments), rego.Options{}); !stood &&
						!harmless(name) {
						t.Errorf("argument %d is %s, and the stop sign is gone", n, gone)
					}
				}
			}
		})
	}
}

// harmless lists what a stop sign of safeUses does not depend on.
func harmless(name string) bool {
	// amr proves it without acr, and acr without amr; TestNoProof has neither.
	return slices.Contains([]string{"aal.phishing_resistant", "aal.hardware", "aal.level"}, name)
}

// What either argument proves is not proven where neither is there.
func TestNoProof(t *testing.T) {
	for _, name := range []string{"aal.phishing_resistant", "aal.hardware", "aal.level"} {
		for _, gone := range []string{`input.token.claims.none`, `null`, `7`, `"text"`, `{}`, `[]`, `true`} {
			if stood, err := stops(t, stopSign(name, safeUses[name].stop, []string{gone, gone}),
				rego.Options{}); !stood || err != nil {
				t.Errorf("%s of %s: %v, %v", name, gone, stood, err)
			}
		}
	}
}

// What cannot be believed is null for the library, and a stop sign that asks it stands.
func TestStaleArgumentsOfTheLibrary(t *testing.T) {
	text := stopSign("risk.at_least", "%s", safeUses["risk.at_least"].arguments)
	if stood, err := stops(t, text, rego.Options{Unknown: map[string]time.Time{"scores": {}}}); !stood || err != nil {
		t.Errorf("stale: %v, %v", stood, err)
	}
	if stood, err := stops(t, text, rego.Options{Unknown: map[string]time.Time{}}); stood || err != nil {
		t.Errorf("fresh: %v, %v", stood, err)
	}
}

// A policy is evaluated while another is compiled, as at every reload: nothing that the
// compiler writes to is in both. The race detector of `make test-all` sees what is.
func TestLoadBesideEvaluate(t *testing.T) {
	const text = head + `
import data.stepward.lib.risk
require contains {"level": "mfa"} if risk.at_least(data.risk, input.token.subject, 50)
require contains {"level": "authenticated"}`
	library, err := rego.FromFS(policies.Library())
	if err != nil {
		t.Fatal(err)
	}
	open := func() (*rego.Policy, error) {
		sources := append(slices.Clone(library), rego.Source{Name: "p.rego", Text: []byte(text)},
			rego.Source{Name: "risk.json", Text: []byte(`{"risk": {"alice": {"score": 10}}}`)})
		return rego.Load(t.Context(), sources, rego.Options{Ladder: ladder(t), Timeout: wait.Bound})
	}
	p, err := open()
	if err != nil {
		t.Fatal(err)
	}
	in := ask(t, "GET", "/", nil)
	var loaded atomic.Bool
	var evaluating sync.WaitGroup
	evaluating.Go(func() {
		for !loaded.Load() {
			if r, err := p.Evaluate(t.Context(), in); err != nil || len(r.Require) != 2 {
				t.Errorf("%+v, %v", r, err)
				return
			}
		}
	})
	for range 5 {
		if _, err := open(); err != nil {
			t.Error(err)
		}
	}
	loaded.Store(true)
	evaluating.Wait()
}
