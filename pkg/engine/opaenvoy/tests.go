package opaenvoy

import (
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage/inmem"

	"github.com/stepward/stepward/pkg/engine/rego"
)

// ParseTests reads sources with their tests. The error is a [finding.List].
func ParseTests(sources []rego.Source, opt Options) (*rego.Tests, error) {
	opt = opt.withDefaults()
	modules, document, found := parse(sources, opt, true)
	if len(found) > 0 {
		return nil, found.Tidy()
	}
	return &rego.Tests{
		Modules: modules, Store: inmem.NewFromObject(document),
		Compiler: func(also []*ast.Builtin) *ast.Compiler {
			c := capabilities(opt.Network)
			c.Builtins = append(c.Builtins, also...)
			return ast.NewCompiler().WithCapabilities(c).WithEnablePrintStatements(true)
		},
	}, nil
}
