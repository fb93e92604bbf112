package rego_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	opa "github.com/open-policy-agent/opa/v1/rego"

	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/internal/wait"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/token"
)

// A policy may be asked anything from many goroutines, while programs of the same sources
// are taken apart: run with -race. Each answer is the one that a policy gives which nobody
// else uses.
func TestConcurrent(t *testing.T) {
	const goroutines, rounds = 8, 30
	sources := append(shipped(t), rego.Source{Name: "p.rego", Text: []byte(`package stepward.policy
import rego.v2
import data.stepward.lib.routes
# METADATA
# labels: { team: pay }
require contains {"level": "mfa", "max_age": "5m"} if { some r in data.own; routes.matches(r, input.request) }
require contains {"level": "authenticated"} if input.request.path
require contains {"level": "mfa"} if input.request.body.json.amount > 5
deny contains {"code": "x"} if not "a" in input.token.scopes
headers["x-tenant"] := input.token.claims.tenant
`)}, rego.Source{Name: "d.json", Text: []byte(`{"own": [{"path": "/pay/**"}, {"path": "/a/*"}]}`)},
		rego.Source{Name: "route.rego", Text: []byte(
			"package stepward.route.extra\nimport rego.v2\nrequire contains {\"level\": \"password\"} if true\n")})
	sources = slices.DeleteFunc(sources, func(s rego.Source) bool { return s.Name == "policy.rego" })
	options := rego.Options{Ladder: ladder(t), Timeout: wait.Bound}
	inputs := make([]policy.Input, 6)
	for n, target := range []string{"/", "/pay/1", "/a/b", "/other", "/pay", "/a/b/c"} {
		inputs[n] = ask(t, []string{"GET", "POST"}[n%2], target, func(in *policy.Input) {
			in.Token = &token.Token{Subject: "s", Scopes: []string{"a", "b"}[:n%3], Claims: map[string]any{
				"tenant": fmt.Sprint(n)}}
			in.Routes = []string{"extra"}[:n%2]
		})
	}
	answer := func(p *rego.Policy, in policy.Input) string {
		r, err := p.Evaluate(t.Context(), in)
		return fmt.Sprint(r.Require, r.Deny, r.Headers, err, p.Traits(), p.Labels(), p.Routes())
	}
	alone, err := rego.Load(t.Context(), sources, options)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, in := range inputs {
		want = append(want, answer(alone, in))
		if r, err := alone.Evaluate(t.Context(), in); err != nil || len(r.Require) == 0 {
			t.Fatal(r, err)
		}
	}
	p, err := rego.Load(t.Context(), sources, options)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			for n := range rounds {
				i := (g + n) % len(inputs)
				asked := p
				if n%5 == 0 {
					asked = p.Traced(func(rego.Firing) {})
				}
				if is := answer(asked, inputs[i]); is != want[i] {
					t.Errorf("%s; alone %s", is, want[i])
				}
			}
		})
	}
	for range 2 {
		all.Go(func() {
			for range 3 {
				apart, err := rego.Compile(sources, options)
				if err != nil {
					t.Error(err)
					return
				}
				q, err := apart.Query(opa.Query(apart.Members("require") + "[m]")).PrepareForPartial(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := q.Partial(t.Context(),
					opa.EvalInput(map[string]any{"request": map[string]any{"method": "GET"}})); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}
