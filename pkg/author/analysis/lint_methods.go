package analysis

import (
	"fmt"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/stepward/stepward/pkg/engine/rego/syntax"
	"github.com/stepward/stepward/pkg/stepup"
)

// unsafeMethods finds a stop sign that lists the methods that need more. Any other method
// that an application takes, such as PROPPATCH or FOO, drives past it.
func (l *linter) unsafeMethods(e *ast.Expr, operands []*ast.Term) {
	if l.negated[e] || !l.enters(syntax.Deny) && (!l.enters(syntax.Require) || public(l.r)) {
		return
	}
	for n, t := range operands {
		if ref, ok := t.Value.(ast.Ref); !ok || ref.String() != "input.request.method" &&
			ref.String() != "input.attributes.request.http.method" {
			continue
		}
		if listed := unsafe(e.Operator().String(), operands[1-n]); listed != "" {
			l.warn(e.Location, "unsafe_methods",
				fmt.Sprintf("stops %s by its name, and a method that nobody has thought of passes", listed),
				fmt.Sprintf(`name what is safe: not %s in {"GET", "HEAD", "OPTIONS"}`, t))
		}
	}
}

// unsafe returns the first of the compared methods that may change something, or an empty
// string.
func unsafe(operator string, with *ast.Term) string {
	listed := ""
	look := func(t *ast.Term) {
		if word, ok := t.Value.(ast.String); ok && listed == "" && !safeMethod(string(word)) {
			listed = string(word)
		}
	}
	switch v := with.Value.(type) {
	case ast.String:
		if operator == "equal" || operator == "eq" {
			look(with)
		}
	case ast.Set:
		v.Foreach(look)
	case *ast.Array:
		v.Foreach(look)
	}
	return listed
}

// public reports whether a require rule says that nothing is required. In such a rule, a
// method that is not named is not let through.
func public(r *ast.Rule) bool {
	if r.Head.Key == nil {
		return false
	}
	required, ok := r.Head.Key.Value.(ast.Object)
	if !ok {
		return false
	}
	level := required.Get(ast.StringTerm("level"))
	return level != nil && level.Equal(ast.StringTerm(stepup.Anonymous))
}

// safeMethod reports whether a method only reads (RFC 9110 §9.2.1), or is not a method,
// which another check finds.
func safeMethod(method string) bool {
	return method == "GET" || method == "HEAD" || method == "OPTIONS" || method != strings.ToUpper(method)
}
