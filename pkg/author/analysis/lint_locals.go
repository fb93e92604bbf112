package analysis

import (
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/stepward/stepward/pkg/engine/rego/syntax"
)

// locals warns about a local variable that may be undefined and is passed to a library
// function:
//
//	who := input.token.subject
//	risk.at_least(data.risk, who, 50)
//
// If the argument is the subject itself, the library sees null for a missing one, and
// treats it as risky. A variable ends the rule before the library is called: the stop sign
// is silent.
func (l *linter) locals(r *ast.Rule) {
	if syntax.IsTest(r.Location.File) || l.m.Package.Path.HasPrefix(syntax.LibraryPackage) {
		return
	}
	missing := l.mayBeMissing(r)
	if len(missing) == 0 {
		return
	}
	look := func(operator ast.Value, operands []*ast.Term) {
		f, ok := operator.(ast.Ref)
		if !ok || !strings.HasPrefix(syntax.Imported(f, l.m), syntax.LibraryPackage.String()+".") {
			return
		}
		for _, t := range operands {
			ast.WalkVars(t, func(v ast.Var) bool {
				if from := missing[v]; from != nil {
					l.warn(t.Location, "library_local",
						fmt.Sprintf(
							"%s is given %s, which is %s: where that is not there the rule ends, and %s is not asked",
							f, v, from, f),
						fmt.Sprintf(
							"write %s as the argument itself: the library is then given null, "+
								"and treats a missing value as risky",
							from))
					delete(missing, v) // once
				}
				return false
			})
		}
	}
	ast.WalkExprs(r.Body, func(e *ast.Expr) bool {
		if e.IsCall() {
			look(e.Operator(), e.Operands())
		}
		return false
	})
	ast.WalkTerms(r.Body, func(t *ast.Term) bool {
		if c, ok := t.Value.(ast.Call); ok {
			look(c[0].Value, c[1:])
		}
		return false
	})
}

// mayBeMissing returns the local variables of r that hold a part of the input which may be
// missing, or something made from one, each with that part.
func (l *linter) mayBeMissing(r *ast.Rule) map[ast.Var]*ast.Term {
	found := map[ast.Var]*ast.Term{}
	for grown := true; grown; {
		grown = false
		ast.WalkExprs(r.Body, func(e *ast.Expr) bool {
			if !e.IsAssignment() && !e.IsEquality() {
				return false
			}
			for n, t := range e.Operands() {
				v, ok := t.Value.(ast.Var)
				if !ok || found[v] != nil || ast.RootDocumentNames.Contains(t) {
					continue
				}
				if from := missingPart(e.Operands()[1-n], found); from != nil {
					found[v], grown = from, true
				}
			}
			return false
		})
	}
	return found
}

// missingPart returns a part of the input in t, or held by one of the locals in t, that may
// be missing; or nil. In a comprehension a part may be missing: the comprehension is then
// empty.
func missingPart(t *ast.Term, locals map[ast.Var]*ast.Term) *ast.Term {
	var part *ast.Term
	ast.WalkTerms(t, func(x *ast.Term) bool {
		switch v := x.Value.(type) {
		case *ast.ArrayComprehension, *ast.SetComprehension, *ast.ObjectComprehension:
			return true
		case ast.Var:
			part = locals[v]
		case ast.Ref:
			if v[0].Equal(ast.InputRootDocument) && !slices.Contains(syntax.AlwaysThere, v.String()) {
				part = x
			}
		}
		return part != nil
	})
	return part
}
