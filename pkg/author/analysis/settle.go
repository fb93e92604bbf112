package analysis

import (
	"context"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	opa "github.com/open-policy-agent/opa/v1/rego"

	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/engine/rego/syntax"
)

// settler decides conditions that partial evaluation leaves undecided even though
// everything in them is known. OPA leaves a function call undecided as soon as a part of
// its arguments is unknown.
type settler struct {
	program *rego.Program
	known   ast.Value
	unknown []ast.Ref
	decided map[string]bool        // conditions that do not depend on the input, by their text
	helpers map[string][]*ast.Rule // the definitions that conditions refer to
	depth   int
}

// newSettler makes a settler that knows everything in input except what is under unknown.
func newSettler(p *rego.Program, input map[string]any, unknown []ast.Ref) (*settler, error) {
	known, err := ast.InterfaceToValue(input)
	if err != nil {
		return nil, err
	}
	return &settler{program: p, known: known, unknown: unknown, decided: map[string]bool{}}, nil
}

// holds decides whether e holds. settled is false if that depends on something unknown.
func (s *settler) holds(ctx context.Context, e *ast.Expr) (holds, settled bool) {
	if len(e.With) > 0 {
		return false, false
	}
	if n, ok := e.Terms.(*ast.Not); ok {
		all := true
		for _, inner := range n.Body {
			holds, settled := s.holds(ctx, inner)
			if !settled {
				return false, false
			}
			all = all && holds
		}
		return !all, true
	}
	if t, isTerm := e.Terms.(*ast.Term); isTerm && s.helpers[t.String()] != nil {
		holds, settled := s.helper(ctx, s.helpers[t.String()])
		return holds != e.Negated, settled
	}
	if holds, ok := s.shape(e); ok {
		return holds != e.Negated, true
	}
	closed, defined, ok := s.close(e)
	if !ok {
		return false, false
	}
	if !defined { // a reference to something missing
		return e.Negated, true
	}
	negated := closed.Negated
	closed.Negated = false
	truth, ok := simple(closed)
	if !ok {
		if truth, ok = s.evaluate(ctx, closed); !ok {
			return false, false
		}
	}
	return truth != negated, true
}

// helper decides whether one of several rules holds.
func (s *settler) helper(ctx context.Context, rules []*ast.Rule) (holds, settled bool) {
	if s.depth > 8 {
		return false, false
	}
	s.depth++
	defer func() { s.depth-- }()
	for _, r := range rules {
		all := true
		for _, e := range r.Body {
			if holds, settled := s.holds(ctx, e); !settled {
				return false, false
			} else if !holds {
				all = false
				break
			}
		}
		if all && len(r.Head.Args) == 0 && r.Head.Value.Equal(ast.BooleanTerm(true)) && !r.Default {
			return true, true
		}
		if all {
			return false, false
		}
	}
	return false, true
}

// close replaces every reference to the input with its known value. ok is false if
// something is unknown, or is bound elsewhere.
func (s *settler) close(e *ast.Expr) (closed *ast.Expr, defined, ok bool) {
	defined, ok = true, true
	vars := ast.NewVarVisitor().WithParams(ast.VarVisitorParams{SkipRefCallHead: true, SkipClosures: true})
	vars.Walk(e)
	for v := range vars.Vars() {
		if !v.Equal(ast.InputRootDocument.Value) && !v.Equal(ast.DefaultRootDocument.Value) {
			return nil, false, false
		}
	}
	transformed, err := ast.TransformRefs(e.Copy(), func(r ast.Ref) (ast.Value, error) {
		if len(r) == 0 || !r[0].Equal(ast.InputRootDocument) {
			if v, known := s.argument(r); known {
				return v, nil
			}
			if strings.HasPrefix(r.String(), "data.partial") || !r.IsGround() && r[0].Equal(ast.DefaultRootDocument) ||
				s.readsInput(r) {
				ok = false
			}
			return r, nil
		}
		if !r.IsGround() || s.overlaps(r) {
			ok = false
			return r, nil
		}
		v, err := s.known.Find(r[1:])
		if err != nil {
			defined = false
			return r, nil
		}
		return v, nil
	})
	if err != nil || !ok {
		return nil, false, false
	}
	closed, isExpr := transformed.(*ast.Expr)
	return closed, defined, isExpr
}

// argument returns the value of a rule that replaced an argument, if that is known.
func (s *settler) argument(r ast.Ref) (ast.Value, bool) {
	t := s.program.Argument(r)
	if t == nil {
		return nil, false
	}
	ref, isRef := t.Value.(ast.Ref)
	if !isRef || !ref[0].Equal(ast.InputRootDocument) || !ref.IsGround() || s.overlaps(ref) {
		return nil, false
	}
	v, err := s.known.Find(ref[1:])
	if err != nil {
		return ast.NullValue, true
	}
	return v, true
}

// readsInput reports whether a rule or function that r leads to looks at the input itself:
// its name does not show what it makes of that.
func (s *settler) readsInput(r ast.Ref) bool {
	seen := map[*ast.Rule]bool{}
	var reads func(list []*ast.Rule) bool
	reads = func(list []*ast.Rule) bool {
		for _, rule := range list {
			if seen[rule] {
				continue
			}
			seen[rule] = true
			found := false
			ast.WalkRefs(rule, func(x ast.Ref) bool {
				found = found || x[0].Equal(ast.InputRootDocument)
				return found
			})
			var next []*ast.Rule
			for dep := range s.program.Compiler().Graph.Dependencies(rule) {
				if d, ok := dep.(*ast.Rule); ok {
					next = append(next, d)
				}
			}
			if found || reads(next) {
				return true
			}
		}
		return false
	}
	return reads(syntax.RulesAt(s.program.Compiler(), r))
}

// overlaps reports whether a part of what r stands for is unknown.
func (s *settler) overlaps(r ast.Ref) bool {
	for _, u := range s.unknown {
		if r.HasPrefix(u) || u.HasPrefix(r) {
			// The elements beyond the known part of an array are listed as unknown because
			// they may exist: the whole may have more.
			return true
		}
	}
	return false
}

// simple decides conditions that need no engine.
func simple(e *ast.Expr) (holds, ok bool) {
	if t, isTerm := e.Terms.(*ast.Term); isTerm && t.IsGround() {
		switch v := t.Value.(type) {
		case ast.Boolean:
			return bool(v), true
		case ast.Ref, ast.Call:
			return false, false
		}
		return true, true
	}
	if !e.IsCall() || len(e.Operands()) != 2 {
		return false, false
	}
	a, b := constant(e.Operand(0)), constant(e.Operand(1))
	if a == nil || b == nil {
		return false, false
	}
	if e.Operator().String() == "internal.member_2" {
		return isMember(a, b)
	}
	return ordered(e.Operator().String(), ast.Compare(a, b))
}

// ordered decides a comparison of two values in a known order.
func ordered(operator string, order int) (holds, ok bool) {
	switch operator {
	case "eq", "equal":
		return order == 0, true
	case "neq":
		return order != 0, true
	case "lt":
		return order < 0, true
	case "lte":
		return order <= 0, true
	case "gt":
		return order > 0, true
	case "gte":
		return order >= 0, true
	}
	return false, false
}

// isMember decides whether a is an element of a list or set.
func isMember(a, of ast.Value) (holds, ok bool) {
	switch list := of.(type) {
	case *ast.Array:
		list.Foreach(func(t *ast.Term) { holds = holds || ast.Compare(t.Value, a) == 0 })
		return holds, true
	case ast.Set:
		return list.Contains(ast.NewTerm(a)), true
	}
	return false, false
}

// constant returns the value of a term without references, or how many elements it counts,
// or nil.
func constant(t *ast.Term) ast.Value {
	if c, ok := t.Value.(ast.Call); ok {
		if len(c) == 2 && c[0].String() == "count" {
			if list, ok := constant(c[1]).(*ast.Array); ok {
				return ast.IntNumberTerm(list.Len()).Value
			}
		}
		return nil
	}
	free := true
	ast.WalkTerms(t, func(x *ast.Term) bool {
		switch x.Value.(type) {
		case ast.Ref, ast.Var, ast.Call, *ast.ArrayComprehension, *ast.SetComprehension, *ast.ObjectComprehension:
			free = false
		}
		return !free
	})
	if !free {
		return nil
	}
	return t.Value
}

// evaluate asks the engine. ok is false if that fails.
func (s *settler) evaluate(ctx context.Context, e *ast.Expr) (holds, ok bool) {
	text := e.String()
	if truth, there := s.decided[text]; there {
		return truth, true
	}
	results, err := s.program.Query(opa.ParsedQuery(ast.NewBody(e)), opa.StrictBuiltinErrors(true)).Eval(ctx)
	if err != nil {
		return false, false
	}
	truth := len(results) > 0
	for _, r := range results {
		for _, x := range r.Expressions {
			truth = truth && x.Value != false
		}
	}
	s.decided[text] = truth
	return truth, true
}
