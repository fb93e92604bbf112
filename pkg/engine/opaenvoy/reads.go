package opaenvoy

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Reads lists what the policy reads that a proxy sends only if configured to: the body, the
// peer's certificate and the TLS session, by their paths in the input of our own policies.
func (p *Policy) Reads() [][]string { return p.reads }

// reads finds what [Policy.Reads] lists.
func reads(modules map[string]*ast.Module) [][]string {
	needs := map[string][]string{
		"parsed_body": {"request", "body"}, "truncated_body": {"request", "body"}, "body": {"request", "body"},
		"rawBody":     {"request", "body"},
		"certificate": {"source", "certificate"}, "tlsSession": {"tls"},
	}
	var list [][]string
	for _, m := range modules {
		ast.WalkTerms(m, func(t *ast.Term) bool {
			name, _ := t.Value.(ast.String)
			if path, ok := needs[string(name)]; ok && !slices.ContainsFunc(list, func(r []string) bool {
				return slices.Equal(r, path)
			}) {
				list = append(list, path)
			}
			return false
		})
	}
	slices.SortFunc(list, slices.Compare[[]string])
	return list
}
