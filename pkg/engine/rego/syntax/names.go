// Package syntax reads what the text of a policy says, before compilation.
//
// Two packages need that: package rego refuses a policy at load time, and package analysis
// warns its author. names.go holds the names that mean something to Stepward, constants.go
// the values that a term can have, fields.go the member of the input that a term stands
// for, patterns.go what paths, methods and hosts look like, and finding.go the position of
// a finding.
//
// The references in this package are only for comparison, and never become part of a
// policy: the compiler writes to the terms of a policy.
package syntax

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// The entry rules. Only these hold what a policy says.
const (
	Require         = "require"
	Deny            = "deny"
	Headers         = "headers"
	ResponseHeaders = "response_headers"
	Metadata        = "metadata"
)

// EntryRules lists the entry rules.
var EntryRules = []string{Require, Deny, Headers, ResponseHeaders, Metadata}

// The packages that mean something to Stepward: the policy itself, the parent of the
// packages that a route can add, and the parent of the library's packages.
var (
	PolicyPackage  = ast.MustParseRef("data.stepward.policy")
	RoutePackage   = ast.MustParseRef("data.stepward.route")
	LibraryPackage = ast.MustParseRef("data.stepward.lib")
)

// IsEntry reports whether the package at path may hold entry rules: the policy itself, or
// one that a route adds.
func IsEntry(path ast.Ref) bool {
	return path.Equal(PolicyPackage) || path.HasPrefix(RoutePackage) && len(path) == len(RoutePackage)+1
}

// IsOurs reports whether the package at path is below stepward.
func IsOurs(path ast.Ref) bool { return path.HasPrefix(PolicyPackage[:2]) }

// LiteralLevel returns the level in the head of a require rule, if it is a literal.
func LiteralLevel(r *ast.Rule) string {
	if o, ok := r.Head.Key.Value.(ast.Object); ok {
		if t := o.Get(ast.StringTerm("level")); t != nil {
			if s, ok := t.Value.(ast.String); ok {
				return string(s)
			}
		}
	}
	return ""
}

// IsRego reports whether the file called name holds Rego.
func IsRego(name string) bool { return filepath.Ext(name) == ".rego" }

// IsTest reports whether the file called name holds tests.
func IsTest(name string) bool {
	matched, _ := filepath.Match("*_test.rego", filepath.Base(name)) // the pattern is well-formed
	return matched
}

// testPrefixes lists the beginnings of test names.
var testPrefixes = []string{"test_", "todo_test_"}

// IsTestRule reports whether a rule called name is a test.
func IsTestRule(name string) bool {
	return slices.ContainsFunc(testPrefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// Text returns the name that t stands for in a reference, or an empty string.
func Text(t *ast.Term) string {
	switch v := t.Value.(type) {
	case ast.String:
		return string(v)
	case ast.Var:
		return string(v)
	}
	return ""
}

// LiteralOf returns what t stands for if one expression of r says so, and t otherwise.
func LiteralOf(r *ast.Rule, t *ast.Term) *ast.Term {
	if _, ok := t.Value.(ast.Var); !ok {
		return t
	}
	for _, e := range r.Body {
		if (e.IsAssignment() || e.IsEquality()) && len(e.Operands()) == 2 && e.Operand(0).Equal(t) {
			return e.Operand(1)
		}
	}
	return t
}

// Unconditional reports whether r holds for every request.
func Unconditional(r *ast.Rule) bool {
	return len(r.Body) == 1 && r.Body[0].Equal(ast.NewExpr(ast.BooleanTerm(true)))
}

// Methods lists the common HTTP methods.
var Methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}

// Imported returns ref with the alias of an import of m written out.
func Imported(ref ast.Ref, m *ast.Module) string {
	for _, i := range m.Imports {
		if path, ok := i.Path.Value.(ast.Ref); ok && ref[0].Equal(ast.VarTerm(string(i.Name()))) {
			return path.Concat(ref[1:]).String()
		}
	}
	return ref.String()
}

// AlwaysThere lists the members of the input that every request has.
var AlwaysThere = []string{
	"input.request.method", "input.request.host", "input.request.path", "input.request.segments",
	"input.request.raw_path", "input.request.query",
	"input.request.headers", "input.request.header_values", "input.request.kind", "input.request.size",
	"input.request.body",
	"input.request.body.present", "input.request.body.state", "input.request.body.truncated", "input.request",
	"input.source", "input.tls", "input.route",
	"input.route.extensions", "input.route.metadata", "input",
}

// RulesAt returns the rules of c that ref leads to.
func RulesAt(c *ast.Compiler, ref ast.Ref) []*ast.Rule {
	if len(ref) == 0 || !ref[0].Equal(ast.DefaultRootDocument) {
		return nil
	}
	return c.GetRulesDynamicWithOpts(ref.GroundPrefix(), ast.RulesOptions{})
}
