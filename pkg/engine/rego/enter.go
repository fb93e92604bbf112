package rego

import (
	"errors"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/types"

	"github.com/stepward/stepward/pkg/engine/rego/syntax"
	"github.com/stepward/stepward/pkg/engine/watchdog"
)

// enterName names a function that begins the body of each entry rule. It tells the watchdog
// which rule an evaluation is in. Policies cannot call it, because the compiler does not
// know it.
const enterName = "__stepward_enter"

// enter puts an expression at the start of each rule that the queries ask. It says that the
// rule is entered. Each require and deny rule has its own number, and so does each other
// entry rule. This happens after compilation: the compiler, its index and its checks see
// the policy as written.
func (p *Program) enter() {
	for _, m := range p.compiler.Modules {
		if !syntax.IsEntry(m.Package.Path) {
			continue
		}
		for _, r := range m.Rules {
			n := -1
			switch name := string(r.Head.Ref()[0].Value.(ast.Var)); name {
			case hiddenPrefix + syntax.Require, hiddenPrefix + syntax.Deny:
				n = memberAt(p.members, r.Location)
			case syntax.Headers, syntax.ResponseHeaders, syntax.Metadata:
				n = len(p.members) + slices.Index(syntax.EntryRules, name)
			}
			if n >= 0 {
				r.Body = ast.NewBody(append([]*ast.Expr{entering(n, r.Location)}, r.Body...)...)
			}
		}
	}
}

// entering returns the expression that enters rule n.
func entering(n int, loc *ast.Location) *ast.Expr {
	e := ast.NewExpr([]*ast.Term{ast.NewTerm(ast.Ref{ast.VarTerm(enterName)}), ast.IntNumberTerm(n)}).SetLocation(loc)
	e.Generated = true
	return e
}

var errFull = errors.New("the place is full")

// enters makes the function known to a query. Outside [watchdog.Run] it does nothing.
func enters() func(*rego.Rego) {
	return rego.Function1(&rego.Function{Name: enterName, Decl: types.NewFunction(types.Args(types.N), types.B)},
		func(b rego.BuiltinContext, n *ast.Term) (*ast.Term, error) {
			number, ok := n.Value.(ast.Number)
			rule, whole := number.Int()
			if ok && whole && !watchdog.Enter(b.Context, rule) {
				return nil, rego.NewHaltError(errFull)
			}
			return ast.InternedTerm(true), nil
		})
}
