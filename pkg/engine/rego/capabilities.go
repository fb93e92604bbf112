package rego

import (
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// capabilities returns those of the embedded OPA. It leaves out every function that reaches
// the network, reads the clock, the environment or a source of randomness, makes
// signatures, or can answer the same input differently, and functions whose cost a number
// in the request can drive without limit. A policy that calls one does not compile.
func capabilities() *ast.Capabilities {
	c := ast.CapabilitiesForThisVersion()
	c.Builtins = slices.DeleteFunc(slices.Clone(c.Builtins), func(b *ast.Builtin) bool {
		return b.IsNondeterministic() || removed(b.Name) || slices.Contains(unbounded, b.Name)
	})
	c.AllowNet = []string{} // not nil, which would allow all hosts for remote schemas
	return c
}

// unbounded lists functions whose result grows with the value or the count of numbers, and
// which nothing can interrupt: one call can take seconds, or all memory.
var unbounded = []string{"product", "bits.lsh"}

func removed(name string) bool {
	for _, prefix := range []string{"http.", "net.lookup", "opa.runtime", "rand.", "uuid.", "trace", "time.now",
		"io.jwt.encode", "io.jwt.decode_verify", "providers.",
		"crypto.x509.parse_and_verify_certificates"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
