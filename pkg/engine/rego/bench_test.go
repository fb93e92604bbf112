package rego_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/internal/wait"
)

func BenchmarkEvaluate(b *testing.B) {
	p, err := rego.Load(b.Context(), shipped(b), rego.Options{Ladder: ladder(b), Timeout: wait.Bound})
	if err != nil {
		b.Fatal(err)
	}
	in := ask(b, "POST", "/payments/1", nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Evaluate(b.Context(), in); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRoutes is the shipped policy with 10, 100 and 1,000 routes, and a policy with
// as many rules, in the same run: compare the ratios, not the times.
func BenchmarkRoutes(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		table := make([]map[string]any, n)
		rules := head
		for i := range n {
			level := []string{"password", "mfa"}[i%2]
			table[i] = map[string]any{"path": fmt.Sprintf("/api/team-%d/service-%d/**", i/10, i), "methods": []string{
				"POST", "PUT"}, "require": map[string]any{"level": level, "max_age": "5m"}}
			rules += fmt.Sprintf(
				"require contains {\"level\": %q, \"max_age\": \"5m\"} if {\n\tinput.request.method in {\"POST\", \"PUT\"}\n\tinput.request.segments[0] == \"api\"\n\tinput.request.segments[1] == \"team-%d\"\n\tinput.request.segments[2] == \"service-%d\"\n}\n\n", level, i/10, i)
		}
		data, err := json.Marshal(map[string]any{"public_paths": []string{"/"}, "routes": table})
		if err != nil {
			b.Fatal(err)
		}
		asTable := slices.Clone(shipped(b))
		for i, s := range asTable {
			if filepath.Base(s.Name) == "data.json" {
				asTable[i].Text = data
			}
		}
		for name, sources := range map[string][]rego.Source{
			"table": asTable, "rules": {{Name: "p.rego", Text: []byte(rules)}}} {
			p, err := rego.Load(b.Context(), sources, rego.Options{Ladder: ladder(b), Timeout: wait.Bound})
			if err != nil {
				b.Fatal(err)
			}
			in := ask(b, "POST", fmt.Sprintf("/api/team-%d/service-%d/things/7", (n-1)/10, n-1), nil)
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				for b.Loop() {
					r, err := p.Evaluate(b.Context(), in)
					if err != nil || len(r.Require) == 0 {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
