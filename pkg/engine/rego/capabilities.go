package rego

import (
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// capabilities returns those of the OPA that is built in, without every function that
// reaches the network, reads the clock, the environment or a source of chance, makes
// signatures, or answers differently to the same input, and without those in which numbers
// of a request cost what they like. A policy that calls one does not compile.
func capabilities() *ast.Capabilities {
	c := ast.CapabilitiesForThisVersion()
	c.Builtins = slices.DeleteFunc(slices.Clone(c.Builtins), func(b *ast.Builtin) bool {
		return b.IsNondeterministic() || removed(b.Name) || slices.Contains(unbounded, b.Name)
	})
	c.AllowNet = []string{} // not nil, which would allow all hosts for remote schemas
	return c
}

// unbounded are functions whose result grows with a number, or with how many there are, and
// which nothing can interrupt: one call can take seconds, or all memory.
var unbounded = []string{"product", "bits.lsh"}

func removed(name string) bool {
	for _, prefix := range []string{"http.", "net.lookup", "opa.runtime", "rand.", "uuid.", "trace", "time.now",
		"io.jwt.encode", "io.jwt.decode_verify", "providers."} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
