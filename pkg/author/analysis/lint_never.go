package analysis

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/stepward/stepward/pkg/engine/rego/syntax"
	"github.com/stepward/stepward/pkg/finding"
)

// comparisons finds comparisons in r that never hold. given says which of its parameters
// are members of the input.
func (l *linter) comparisons(r *ast.Rule, given map[ast.Var]syntax.Field) {
	key := fmt.Sprint(r.Location, given)
	if l.compared[key] || r.Module == nil {
		return
	}
	l.compared[key] = true
	c := comparer{linter: l, r: r, env: syntax.FieldsIn(r, given), negated: negatedExprs(r)}
	ast.WalkExprs(r, func(e *ast.Expr) bool {
		if d, ok := e.Terms.(*ast.SomeDecl); ok && len(d.Symbols) == 1 {
			return false // it names elements
		}
		if e.IsCall() {
			c.call(e.Operator(), e.Operands(), c.negated[e])
		}
		return false
	})
	ast.WalkTerms(r, func(t *ast.Term) bool {
		if call, ok := t.Value.(ast.Call); ok {
			if operator, ok := call[0].Value.(ast.Ref); ok {
				c.call(operator, call[1:], false)
			}
		}
		return false
	})
}

// negatedExprs returns the expressions of r that are below a not.
func negatedExprs(r *ast.Rule) map[*ast.Expr]bool {
	found := map[*ast.Expr]bool{}
	ast.WalkExprs(r, func(e *ast.Expr) bool {
		if n, ok := e.Terms.(*ast.Not); ok {
			ast.WalkExprs(n.Body, func(inner *ast.Expr) bool {
				found[inner] = !found[inner]
				return false
			})
		}
		if e.Negated {
			found[e] = true
		}
		return false
	})
	return found
}

// comparer examines the comparisons of one rule.
type comparer struct {
	*linter
	r       *ast.Rule
	env     map[ast.Var]syntax.Field
	negated map[*ast.Expr]bool
}

var startsAndEnds = map[string]part{"startswith": start, "endswith": end, "contains": inside}

func (c comparer) call(operator ast.Ref, operands []*ast.Term, negated bool) {
	name := operator.String()
	switch {
	case len(operands) == 2 && (name == "equal" || name == "eq" || name == "neq" || name == "assign"):
		for n, t := range operands {
			c.equals(t, operands[1-n], negated != (name == "neq"))
		}
	case name == "internal.member_2":
		c.member(operands[0], operands[1], negated)
	case startsAndEnds[name] != "" && len(operands) == 2:
		c.compare(operands[0], operands[1], startsAndEnds[name], negated)
	case name == "regex.match" && len(operands) == 2:
		c.matches(operands[1], operands[0], pieces, negated)
	case name == "glob.match" && len(operands) == 3:
		c.matches(operands[2], operands[0], func(glob string) map[string]part {
			i := strings.IndexAny(glob, `*?[{\`)
			if i < 0 {
				return map[string]part{glob: entire}
			}
			return map[string]part{glob[:i]: start}
		}, negated)
	default:
		c.follow(operator, operands)
	}
}

// follow examines a function, knowing the arguments of the call.
func (c comparer) follow(operator ast.Ref, operands []*ast.Term) {
	was := c.m
	c.m = c.r.Module
	called := c.called(operator)
	c.linter.m = was
	for _, f := range called {
		given := map[ast.Var]syntax.Field{}
		for n, a := range f.Head.Args {
			if v, ok := a.Value.(ast.Var); ok && n < len(operands) {
				if p, ok := syntax.FieldOf(operands[n], c.env); ok {
					given[v] = p
				}
			}
		}
		if len(given) > 0 {
			c.comparisons(f, given)
		}
	}
}

// equals examines a comparison of a member with a text, or of a list of members with a list
// of texts.
func (c comparer) equals(t, with *ast.Term, negated bool) {
	if list, ok := with.Value.(*ast.Array); ok {
		if p, ok := syntax.FieldOf(t, c.env); ok {
			list.Foreach(func(x *ast.Term) { c.judge(p.Below("*"), x, x, entire, negated) })
		}
		return
	}
	c.compare(t, with, entire, negated)
}

// member examines `t in collection`. Either of the two may be a member of the input.
func (c comparer) member(t, collection *ast.Term, negated bool) {
	if p, ok := syntax.FieldOf(collection, c.env); ok {
		if c.typeOf(p.Names) == "string" {
			c.tell(p, t, collection, "holds", never{why: "it is a text, and no list",
				hint: fmt.Sprintf("write contains(%s, %s), or compare it", p, t)}, negated)
			return
		}
		c.judge(p.Below("*"), t, t, entire, negated)
	}
	p, ok := syntax.FieldOf(t, c.env)
	if !ok {
		return
	}
	for _, known := range c.values(collection) {
		for _, x := range syntax.ElementsOf(known) {
			at := x
			if x.Location == nil || x.Location.File != c.r.Location.File {
				at = collection
			}
			c.judge(p, x, at, entire, negated)
		}
	}
}

func (c comparer) compare(t, with *ast.Term, at part, negated bool) {
	if p, ok := syntax.FieldOf(t, c.env); ok {
		c.judge(p, with, with, at, negated)
	}
}

// values returns the possible values of t, as far as the text of the policy says.
func (c comparer) values(t *ast.Term) []*ast.Term {
	return c.constants.OfUsed(t, c.r, c.r.Module, 9) // a comparison does not choose
}

// judge warns about a text that p never equals, at the position of shown.
func (c comparer) judge(p syntax.Field, with, shown *ast.Term, at part, negated bool) {
	for _, v := range c.values(with) {
		n := c.ofType(p, v.Value)
		if s, ok := v.Value.(ast.String); ok && n.why == "" {
			n = c.why(p, string(s), at)
		}
		if n.why != "" {
			c.tell(p, v, shown, string(at), n, negated)
		}
	}
}

// matches does what judge does, for a pattern: each of its pieces must be there.
func (c comparer) matches(t, pattern *ast.Term, pieces func(string) map[string]part, negated bool) {
	p, ok := syntax.FieldOf(t, c.env)
	if !ok {
		return
	}
	for _, v := range c.values(pattern) {
		s, ok := v.Value.(ast.String)
		if !ok {
			continue
		}
		found := pieces(string(s))
		for _, piece := range slices.Sorted(maps.Keys(found)) {
			if n := c.why(p, piece, found[piece]); n.why != "" {
				n.fix = ""
				c.tell(p, v, pattern, "matches", n, negated)
				break
			}
		}
	}
}

func (c comparer) tell(p syntax.Field, v, shown *ast.Term, verb string, n never, negated bool) {
	message := fmt.Sprintf("%s never %s %s: %s", p, verb, v, n.why)
	if verb == string(entire) {
		message = fmt.Sprintf("%s is never %s: %s", p, v, n.why)
	}
	if n.hardly {
		message = strings.Replace(message, " never ", " hardly ever ", 1)
	} else if negated {
		message += "; so this always holds"
	}
	f := c.warn(shown.Location, "enum", message, n.hint)
	if n.fix != "" && shown.Location != nil && string(shown.Location.Text) == v.String() {
		f.Fix = &finding.Fix{Old: v.String(), New: fmt.Sprintf("%q", n.fix)}
	}
}
