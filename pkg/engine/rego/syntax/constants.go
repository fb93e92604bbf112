package syntax

import (
	"context"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// Constants finds what a term stands for, as far as the text of a policy says: a literal,
// or a value that a variable, a rule, `some x in` or a function leads to.
type Constants struct {
	rules map[string][]*ast.Rule // complete rules by their path below data
	busy  map[*ast.Rule]bool
	given map[*ast.Rule][]*ast.Term // the arguments of functions
	// more is how many expressions, besides the one that binds a variable, may mention it
	// before one of them may choose among its values.
	more int
}

// Unknown stands for what only a request settles.
var Unknown = ast.VarTerm("$unknown")

// maxAlternatives is how many values one term may stand for. With more, it counts as
// unknown.
const maxAlternatives = 64

// NewConstants makes Constants of the modules of a policy.
func NewConstants(modules map[string]*ast.Module) *Constants {
	c := &Constants{rules: map[string][]*ast.Rule{}, busy: map[*ast.Rule]bool{}, given: map[*ast.Rule][]*ast.Term{}}
	for _, m := range modules {
		for _, r := range m.Rules {
			path := ruleRef(m, r).String()
			c.rules[path] = append(c.rules[path], r)
		}
	}
	return c
}

func ruleRef(m *ast.Module, r *ast.Rule) ast.Ref {
	path := m.Package.Path.Append(ast.StringTerm(Text(r.Head.Ref()[0])))
	for _, t := range r.Head.Ref()[1:] {
		path = path.Append(t)
	}
	return path
}

// Known reports whether no part of t depends on a request.
func Known(t *ast.Term) bool {
	found := false
	ast.WalkVars(t, func(v ast.Var) bool { found = found || v.Equal(Unknown.Value); return found })
	return !found
}

// Of returns the values that t may have in r, a rule of m or an else branch of one. Unknown
// parts of them are [Unknown].
func (c *Constants) Of(t *ast.Term, r *ast.Rule, m *ast.Module) []*ast.Term {
	none := []*ast.Term{Unknown}
	switch v := t.Value.(type) {
	case ast.Null, ast.Boolean, ast.Number, ast.String:
		return []*ast.Term{t}
	case ast.Var:
		return c.variable(v, r, m)
	case ast.Ref:
		return c.reference(v, r, m)
	case *ast.Array:
		var parts []*ast.Term
		v.Foreach(func(x *ast.Term) { parts = append(parts, x) })
		return c.each(parts, r, m, func(x []*ast.Term) *ast.Term { return ast.ArrayTerm(x...).SetLocation(t.Location) })
	case ast.Set:
		return c.each(v.Slice(), r, m, func(x []*ast.Term) *ast.Term {
			return ast.SetTerm(x...).SetLocation(t.Location)
		})
	case ast.Object:
		var parts []*ast.Term
		v.Foreach(func(k, x *ast.Term) { parts = append(parts, k, x) })
		return c.each(parts, r, m, func(x []*ast.Term) *ast.Term {
			o := ast.NewObject()
			for i := 0; i < len(x); i += 2 {
				o.Insert(x[i], x[i+1])
			}
			return ast.NewTerm(o).SetLocation(t.Location)
		})
	case ast.Call:
		operator, ok := v[0].Value.(ast.Ref)
		if f := c.function(operator, m); f != nil {
			return c.each(v[1:], r, m, func(x []*ast.Term) *ast.Term { return c.apply(f, x) })
		}
		if !ok || !slices.Contains(folded, operator.String()) {
			return none
		}
		return c.each(v[1:], r, m, func(x []*ast.Term) *ast.Term {
			if slices.ContainsFunc(x, func(t *ast.Term) bool { return !Known(t) }) {
				return Unknown
			}
			if result, err := Call(operator.String(), x); err == nil && result != nil {
				return result.SetLocation(t.Location)
			}
			return Unknown
		})
	}
	return none
}

// OfUsed does what Of does, but permits uses more expressions that mention a variable
// besides the one that binds it. With still more, one of them may choose among its values,
// so nothing is known.
func (c *Constants) OfUsed(t *ast.Term, r *ast.Rule, m *ast.Module, uses int) []*ast.Term {
	c.more = uses
	defer func() { c.more = 0 }()
	return c.Of(t, r, m)
}

// each makes a value for every combination of what the parts may be.
func (c *Constants) each(parts []*ast.Term, r *ast.Rule, m *ast.Module, value func([]*ast.Term) *ast.Term) []*ast.Term {
	choices := [][]*ast.Term{{}}
	for _, p := range parts {
		values := c.Of(p, r, m)
		if len(values)*len(choices) > maxAlternatives {
			values = []*ast.Term{Unknown}
		}
		if len(values) == 1 { // as is nearly always the case: a list may be long
			for i := range choices {
				choices[i] = append(choices[i], values[0])
			}
			continue
		}
		var next [][]*ast.Term
		for _, begun := range choices {
			for _, v := range values {
				next = append(next, append(slices.Clone(begun), v))
			}
		}
		choices = next
	}
	all := make([]*ast.Term, 0, len(choices))
	for _, x := range choices {
		all = append(all, value(x))
	}
	return all
}

// variable returns the possible values of v: what r binds it to, or a rule of the package.
func (c *Constants) variable(v ast.Var, r *ast.Rule, m *ast.Module) []*ast.Term {
	none := []*ast.Term{Unknown}
	if i := slices.IndexFunc(r.Head.Args, func(t *ast.Term) bool { return t.Equal(ast.NewTerm(v)) }); i >= 0 {
		if given := c.given[r]; i < len(given) {
			return given[i : i+1]
		}
		return none
	}
	bound, elements, uses := binding(v, r)
	switch {
	case bound == nil && uses > 0 && declared(v, r):
		return none
	case bound == nil:
		values := c.rule(m.Package.Path.Append(ast.StringTerm(string(v))))
		if values == nil || len(values) > 1 && uses > c.more {
			return none // a condition may choose among them
		}
		return values
	case !elements:
		return c.Of(bound, r, m)
	case uses > 1+c.more:
		return none
	}
	var all []*ast.Term
	for _, x := range c.Of(bound, r, m) {
		all = append(all, ElementsOf(x)...)
	}
	if len(all) == 0 || len(all) > maxAlternatives {
		return none
	}
	return all
}

// function returns the function of the policy that operator names in m, if it is one rule
// without a condition and each argument has a name. Otherwise it returns nil.
func (c *Constants) function(operator ast.Ref, m *ast.Module) *ast.Rule {
	if len(operator) == 0 {
		return nil
	}
	path := operator
	if head, ok := operator[0].Value.(ast.Var); ok && len(operator) == 1 {
		path = m.Package.Path.Append(ast.StringTerm(string(head)))
	} else if ok && !operator[0].Equal(ast.DefaultRootDocument) {
		for _, i := range m.Imports {
			if p, isRef := i.Path.Value.(ast.Ref); isRef && i.Name().Equal(head) {
				path = p.Concat(operator[1:])
			}
		}
	}
	rules := c.rules[path.String()]
	if len(rules) != 1 {
		return nil
	}
	f := rules[0]
	named := !slices.ContainsFunc(f.Head.Args, func(t *ast.Term) bool { _, ok := t.Value.(ast.Var); return !ok })
	if len(f.Head.Args) == 0 || !named || !Unconditional(f) || f.Else != nil || f.Module == nil ||
		f.Head.RuleKind() != ast.SingleValue {
		return nil
	}
	return f
}

// apply returns the value of f for operands, if it is one.
func (c *Constants) apply(f *ast.Rule, operands []*ast.Term) *ast.Term {
	if c.busy[f] || len(operands) != len(f.Head.Args) {
		return Unknown
	}
	c.busy[f], c.given[f] = true, operands
	defer func() { c.busy[f] = false; delete(c.given, f) }()
	if values := c.Of(f.Head.Value, f, f.Module); len(values) == 1 {
		return values[0]
	}
	return Unknown
}

// declared reports whether v is r's own variable, whatever it is bound to.
func declared(v ast.Var, r *ast.Rule) bool {
	found := false
	for _, e := range r.Body {
		if d, ok := e.Terms.(*ast.SomeDecl); ok {
			found = found || mentionsVar(d, v)
		} else if e.IsAssignment() {
			found = found || mentionsVar(e.Operand(0), v)
		}
	}
	return found
}

func mentionsVar(x any, v ast.Var) bool {
	found := false
	ast.WalkVars(x, func(w ast.Var) bool { found = found || w.Equal(v); return found })
	return found
}

// binding returns the term that the body of r binds to v, or whose elements v goes through,
// and how many expressions of the body mention v.
func binding(v ast.Var, r *ast.Rule) (bound *ast.Term, elements bool, uses int) {
	for _, e := range r.Body {
		if !mentionsVar(e, v) {
			continue
		}
		uses++
		if bound != nil || e.Negated || len(e.With) > 0 {
			continue
		}
		if d, ok := e.Terms.(*ast.SomeDecl); ok && len(d.Symbols) == 1 {
			if member, ok := d.Symbols[0].Value.(ast.Call); ok && member[len(member)-2].Equal(ast.NewTerm(v)) {
				bound, elements = member[len(member)-1], true
			}
			continue
		}
		if !e.IsAssignment() && !e.IsEquality() || len(e.Operands()) != 2 {
			continue
		}
		for n, t := range e.Operands() {
			if t.Equal(ast.NewTerm(v)) && bound == nil {
				bound = e.Operand(1 - n)
			}
		}
	}
	return bound, elements, uses
}

// ElementsOf returns the elements of a list, set or object.
func ElementsOf(t *ast.Term) []*ast.Term {
	var all []*ast.Term
	switch v := t.Value.(type) {
	case *ast.Array:
		v.Foreach(func(x *ast.Term) { all = append(all, x) })
	case ast.Set:
		all = v.Slice()
	case ast.Object:
		v.Foreach(func(_, x *ast.Term) { all = append(all, x) })
	default:
		return []*ast.Term{Unknown}
	}
	return all
}

// reference returns what a path leads to: a rule of this or another package, and literals
// below it.
func (c *Constants) reference(ref ast.Ref, r *ast.Rule, m *ast.Module) []*ast.Term {
	none := []*ast.Term{Unknown}
	if ref[0].Equal(ast.InputRootDocument) || len(ref) == 0 {
		return none
	}
	var here []*ast.Term
	rest := ref[1:]
	if ref[0].Equal(ast.DefaultRootDocument) {
		here, rest = c.below(ref)
	} else if v, ok := ref[0].Value.(ast.Var); ok {
		if here = c.variable(v, r, m); len(here) == 1 && here[0] == Unknown {
			for _, i := range m.Imports {
				if path, ok := i.Path.Value.(ast.Ref); ok && i.Name().Equal(v) && !declared(v, r) {
					here, rest = c.below(path.Concat(ref[1:]))
				}
			}
		}
	}
	for _, step := range rest {
		var next []*ast.Term
		for _, x := range here {
			next = append(next, c.step(x, step, r, m)...)
		}
		here = next
	}
	if len(here) == 0 || len(here) > maxAlternatives {
		return none
	}
	return here
}

// step returns the values below x, one name of a path further.
func (c *Constants) step(x, name *ast.Term, r *ast.Rule, m *ast.Module) []*ast.Term {
	var all []*ast.Term
	for _, key := range c.Of(name, r, m) {
		if !Known(key) || !Known(x) {
			return []*ast.Term{Unknown}
		}
		switch v := x.Value.(type) {
		case ast.Object:
			if value := v.Get(key); value != nil {
				all = append(all, value)
			}
		case *ast.Array:
			if value := v.Get(key); value != nil {
				all = append(all, value)
			}
		}
	}
	return all
}

// below returns the values of the rules at the beginning of a path below data, and the rest
// of the path.
func (c *Constants) below(ref ast.Ref) (values []*ast.Term, rest ast.Ref) {
	for n := len(ref); n > 1; n-- {
		if values := c.rule(ref[:n]); values != nil {
			return values, ref[n:]
		}
	}
	return nil, nil
}

// rule returns the values that the rules at path may have, or nil if there is no rule.
func (c *Constants) rule(path ast.Ref) []*ast.Term {
	if !path.IsGround() {
		return nil
	}
	var all []*ast.Term
	for _, r := range c.rules[path.String()] {
		if r.Head.RuleKind() != ast.SingleValue || len(r.Head.Args) > 0 || c.busy[r] || r.Module == nil {
			return []*ast.Term{Unknown}
		}
		c.busy[r] = true
		for x := r; x != nil; x = x.Else {
			all = append(all, c.Of(x.Head.Value, x, r.Module)...)
		}
		c.busy[r] = false
	}
	if len(all) > maxAlternatives {
		return []*ast.Term{Unknown}
	}
	return all
}

// folded lists functions whose result depends only on their arguments, and is no larger
// than they are.
var folded = []string{
	"object.union", "object.union_n", "object.remove", "object.filter", "object.get", "object.keys", "array.concat",
	"array.slice", "array.reverse", "array.flatten", "concat", "sprintf", "format_int",
	"lower", "upper", "trim", "trim_left", "trim_right", "trim_prefix", "trim_suffix", "trim_space", "split",
	"substring", "strings.reverse", "replace",
	"and", "or", "union", "intersection", "minus", "plus", "to_number", "json.unmarshal", "count", "abs", "round",
	"ceil", "floor",
}

// Call returns the result of a built-in function, or nil if that is undefined.
func Call(name string, operands []*ast.Term) (result *ast.Term, err error) {
	f := topdown.GetBuiltin(name)
	if f == nil {
		return nil, nil
	}
	err = f(topdown.BuiltinContext{Context: context.Background(), Cancel: topdown.NewCancel()}, operands,
		func(t *ast.Term) error { result = t; return nil })
	return result, err
}
