package tester_test

import (
	"testing"

	"github.com/stepward/stepward/pkg/author/tester"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/policies"
)

func shipped(t testing.TB) []rego.Source {
	t.Helper()
	base, err := rego.FromFS(policies.Default())
	if err != nil {
		t.Fatal(err)
	}
	lib, err := rego.FromFS(policies.Library())
	if err != nil {
		t.Fatal(err)
	}
	return append(base, lib...)
}

// The shipped policy and library pass their own tests, every one.
func TestShippedPolicies(t *testing.T) {
	report, err := tester.Run(t.Context(), shipped(t), tester.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range report.Results {
		if !r.Passed {
			t.Errorf("%s:%d: %s %s %s", r.File, r.Line, r.Name, r.Error, r.Output)
		}
	}
	if len(report.Results) < 30 || report.Coverage < 95 {
		t.Errorf("%d tests, coverage %.1f %% %v", len(report.Results), report.Coverage, report.Files)
	}
}
