package rego_test

import (
	"testing"

	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/policies"
)

// shipped lists the sources of the policy and of the library that are shipped.
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
