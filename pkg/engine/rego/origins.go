package rego

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// origin says where a value that a rule uses comes from: a place in data, or a constant of
// the policy. In path a text or number names a member, and nil stands for every member.
type origin struct {
	path     []any
	constant *ast.Term // nil for data; then path leads on below it
}

// tracer follows values to their origins through variables, rules and arguments. It leaves
// out values that it cannot follow.
type tracer struct {
	compiler *ast.Compiler
	rules    []*ast.Rule
	depth    int
}

// maxTraced limits how far a value is followed.
const maxTraced = 12

// of returns the origins of t, a term of r.
func (x *tracer) of(r *ast.Rule, t *ast.Term) []origin {
	if x.depth > maxTraced {
		return nil
	}
	x.depth++
	defer func() { x.depth-- }()
	switch v := t.Value.(type) {
	case ast.Var:
		return x.variable(r, v)
	case ast.Ref:
		return x.reference(r, v)
	case ast.Call:
		var all []origin
		if f, ok := v[0].Value.(ast.Ref); ok && f.HasPrefix(argumentsRef) {
			for _, rule := range x.compiler.GetRulesExact(f) {
				all = append(all, x.of(rule, rule.Head.Value)...)
			}
		}
		return all
	case ast.Object, *ast.Array, ast.Set, ast.String, ast.Number, ast.Boolean, ast.Null:
		if t.IsGround() && !holdsRefs(t) {
			return []origin{{constant: t}}
		}
	}
	return nil
}

func holdsRefs(t *ast.Term) bool {
	found := false
	ast.WalkTerms(t, func(x *ast.Term) bool {
		switch x.Value.(type) {
		case ast.Ref, ast.Call, ast.Var, *ast.ArrayComprehension, *ast.SetComprehension, *ast.ObjectComprehension:
			found = true
		}
		return found
	})
	return found
}

// variable follows the terms that v equals, and the arguments that callers give for a
// parameter.
func (x *tracer) variable(r *ast.Rule, v ast.Var) []origin {
	var all []origin
	ast.WalkExprs(r, func(e *ast.Expr) bool {
		if !e.IsEquality() || e.Negated {
			return false
		}
		for n, t := range e.Operands() {
			if t.Value.Compare(v) == 0 && e.Operand(1-n).Value.Compare(v) != 0 {
				all = append(all, x.of(r, e.Operand(1-n))...)
			}
		}
		return false
	})
	n := slices.IndexFunc(r.Head.Args, func(t *ast.Term) bool { return t.Value.Compare(v) == 0 })
	if n < 0 {
		return all
	}
	for _, caller := range x.rules {
		x.calls(caller, func(f ast.Ref, operands []*ast.Term) {
			if f.Equal(r.Ref()) && n < len(operands) {
				all = append(all, x.of(caller, operands[n])...)
			}
		})
	}
	return all
}

// calls reports every call in r.
func (x *tracer) calls(r *ast.Rule, tell func(f ast.Ref, operands []*ast.Term)) {
	ast.WalkExprs(r, func(e *ast.Expr) bool {
		if e.IsCall() {
			tell(e.Operator(), e.Operands())
		}
		return false
	})
	ast.WalkTerms(r, func(t *ast.Term) bool {
		if c, ok := t.Value.(ast.Call); ok {
			if f, ok := c[0].Value.(ast.Ref); ok {
				tell(f, c[1:])
			}
		}
		return false
	})
}

func (x *tracer) reference(r *ast.Rule, ref ast.Ref) []origin {
	switch {
	case ref[0].Equal(ast.InputRootDocument):
		return nil
	case !ref[0].Equal(ast.DefaultRootDocument):
		v, ok := ref[0].Value.(ast.Var)
		if !ok {
			return nil
		}
		return below(x.variable(r, v), ref[1:])
	}
	var all []origin
	for n := len(ref); n > 1; n-- {
		if !ref[:n].IsGround() {
			continue
		}
		for _, rule := range x.compiler.GetRulesExact(ref[:n]) {
			rest := ref[n:]
			value := rule.Head.Value
			if rule.Head.RuleKind() == ast.MultiValue {
				if value = rule.Head.Key; len(rest) == 0 {
					continue
				}
				rest = rest[1:]
			}
			for chain := rule; chain != nil; chain = chain.Else {
				if chain != rule {
					if ref.HasPrefix(argumentsRef) {
						break // null stands for a missing argument
					}
					value = chain.Head.Value
				}
				if value != nil {
					all = append(all, below(x.of(chain, value), rest)...)
				}
			}
		}
		if len(x.compiler.GetRulesExact(ref[:n])) > 0 {
			return all
		}
	}
	if len(x.compiler.GetRulesDynamicWithOpts(ref, ast.RulesOptions{IncludeHiddenModules: true})) > 0 {
		return nil
	}
	return below([]origin{{}}, ref[1:])
}

// below returns the places that the rest of a reference leads to.
func below(origins []origin, rest ast.Ref) []origin {
	list := make([]origin, 0, len(origins))
	for _, o := range origins {
		o.path = slices.Clone(o.path)
		for _, t := range rest {
			switch v := t.Value.(type) {
			case ast.String:
				o.path = append(o.path, string(v))
			case ast.Number:
				n, _ := v.Int()
				o.path = append(o.path, n)
			default:
				o.path = append(o.path, nil)
			}
		}
		list = append(list, o)
	}
	return list
}
