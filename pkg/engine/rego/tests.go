package rego

import (
	"maps"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"

	"github.com/stepward/stepward/pkg/engine/rego/syntax"
)

// Tests holds sources with their tests. They are compiled by the same rules as for serving,
// so that a test calls exactly the rules that are enforced.
type Tests struct {
	Modules map[string]*ast.Module
	Library map[string]*ast.Module // the Modules that are not tested themselves
	Store   storage.Store
	// Compiler returns a new compiler, which also knows the functions that only tests have.
	Compiler func(also []*ast.Builtin) *ast.Compiler
	Strict   bool // a built-in function that fails is an error
}

// Counted reports whether the coverage of a file counts.
func (t *Tests) Counted(name string) bool {
	return t.Library[name] == nil && !syntax.IsTest(name) && name != argumentsFile
}

// ParseTests reads sources with their tests, and a library. The error is a [finding.List].
func ParseTests(sources, library []Source, opt Options) (*Tests, error) {
	l := newLoader(opt)
	modules, document := l.parse(sources, true)
	shared, _ := l.parse(library, false)
	maps.Copy(modules, shared)
	l.forget(document, sources)
	if len(l.found) > 0 {
		return nil, l.found.Tidy()
	}
	known := l.newSchemas(slices.Concat(sources, library), document)
	return &Tests{
		Modules: modules, Library: shared, Store: newStore(document, l.unknown), Strict: true,
		Compiler: func(also []*ast.Builtin) *ast.Compiler {
			c := capabilities()
			c.Builtins = append(c.Builtins, also...)
			return l.withArguments(newCompiler(known), modules, document).WithCapabilities(c).
				WithEnablePrintStatements(true)
		},
	}, nil
}
