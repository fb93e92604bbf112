package rego

import (
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/stepward/stepward/pkg/engine/memo"
	"github.com/stepward/stepward/pkg/engine/rego/syntax"
)

// shape gathers in what inputs differ for the compiled rules: the features by which a memo
// tells requests apart.
//
// Every reference to the input counts. Where it stands in an expression that compares a
// text with constants, the outcome of the comparison is the feature; anywhere else it is
// the whole member. What cannot be written as a feature leaves the policy without a memo.
type shape struct {
	prefix   string // of our identity headers
	document map[string]any
	modules  map[string]*ast.Module
	shipped  func(matcher) bool // the functions of the library are the library's

	among  map[string]comparison
	begins map[string]comparison
	whole  map[string][]string
	tables map[string][]any // route tables, by their references
	depth  bool
	caller bool
	opaque bool // something that no feature can say
}

// comparison is a member of the input and the texts that rules compare with it.
type comparison struct {
	path  []string
	texts map[string]bool
}

// features returns in what inputs differ for the program, or false where it cannot be said.
func (p *Program) features() ([]memo.Feature, bool) {
	s := p.shape()
	if s.opaque {
		return nil, false
	}
	return s.features()
}

// shape takes in all that the rules look at.
func (p *Program) shape() *shape {
	s := &shape{
		prefix: p.opt.HeaderPrefix, document: p.document, modules: p.compiler.Modules, shipped: p.shipped,
		among: map[string]comparison{}, begins: map[string]comparison{}, whole: map[string][]string{},
		tables: map[string][]any{},
	}
	for _, r := range p.reached() {
		s.rule(r)
	}
	return s
}

// reached lists the rules of the packages that decide, and all that those depend on.
func (p *Program) reached() []*ast.Rule {
	seen := map[*ast.Rule]bool{}
	var all []*ast.Rule
	var reach func(r *ast.Rule)
	reach = func(r *ast.Rule) {
		if seen[r] {
			return
		}
		seen[r] = true
		all = append(all, r)
		for dep := range p.compiler.Graph.Dependencies(r) {
			if d, ok := dep.(*ast.Rule); ok {
				reach(d)
			}
		}
	}
	for _, m := range p.compiler.Modules {
		if syntax.IsEntry(m.Package.Path) {
			for _, r := range m.Rules {
				reach(r)
			}
		}
	}
	return all
}

// rule takes in everything that r looks at.
func (s *shape) rule(r *ast.Rule) {
	l := &look{shape: s, around: bodies(r), stands: map[ast.Var]ast.Ref{}, used: map[ast.Var]int{}}
	l.definitions(r)
	l.visit = ast.NewGenericVisitor(l.see)
	l.visit.Walk(r)
	l.settle(r)
}

// look is one rule while it is looked at.
type look struct {
	*shape
	around map[*ast.Expr]ast.Body
	visit  *ast.GenericVisitor
	// stands has the variables that stand for a member of the input or of data. The
	// compiler makes them of what is handed to a function.
	stands map[ast.Var]ast.Ref
	used   map[ast.Var]int // how often each was understood
}

// definitions finds the variables that are set once, to a reference.
func (l *look) definitions(r *ast.Rule) {
	times := map[ast.Var]int{}
	ast.WalkExprs(r, func(e *ast.Expr) bool {
		if v, ref := definition(e); ref != nil {
			times[v]++
			l.stands[v] = ref
		}
		return false
	})
	for v, n := range times {
		if n > 1 {
			delete(l.stands, v)
		}
	}
}

// definition returns e as a variable and the reference that it is set to, or nil.
func definition(e *ast.Expr) (ast.Var, ast.Ref) {
	if !e.IsEquality() || e.Negated || len(e.With) > 0 {
		return "", nil
	}
	v, isVar := e.Operand(0).Value.(ast.Var)
	ref, isRef := e.Operand(1).Value.(ast.Ref)
	if !isVar || !isRef || len(ref) < 2 || !ref.IsGround() ||
		!ref.HasPrefix(ast.InputRootRef) && !ref.HasPrefix(ast.DefaultRootRef) {
		return "", nil
	}
	return v, ref
}

// settle takes in whole what the variables stand for that were used in another way too.
func (l *look) settle(r *ast.Rule) {
	seen := map[ast.Var]int{}
	ast.WalkTerms(r, func(t *ast.Term) bool {
		if v, ok := t.Value.(ast.Var); ok {
			seen[v]++
		}
		return false
	})
	for v, ref := range l.stands {
		if seen[v] != l.used[v]+1 {
			l.reference(ref)
		}
	}
}

// see takes in x, a part of the rule, and reports whether that is all of it.
func (l *look) see(x any) bool {
	switch x := x.(type) {
	case *ast.Expr:
		return l.expr(x)
	case *ast.Term:
		if ref, ok := x.Value.(ast.Ref); ok {
			l.reference(ref)
			for _, t := range ref[1:] {
				l.visit.Walk(t)
			}
			return true
		}
		l.opaque = l.opaque || x.Equal(ast.InputRootDocument)
	}
	return false
}

func (l *look) expr(e *ast.Expr) bool {
	if len(e.With) > 0 {
		l.opaque = true
	}
	if v, ref := definition(e); ref != nil && l.stands[v].Equal(ref) {
		return true // settle sees to it
	}
	if !e.IsCall() {
		return false
	}
	seen := l.expression(e)
	for n, t := range e.Operands() {
		if !seen.has(n) {
			l.visit.Walk(t)
		} else if v, ok := t.Value.(ast.Var); ok {
			l.used[v]++
		}
	}
	return true
}

// ref returns the reference that t is or stands for, or nil.
func (l *look) ref(t *ast.Term) ast.Ref {
	switch v := t.Value.(type) {
	case ast.Ref:
		return v
	case ast.Var:
		return l.stands[v]
	}
	return nil
}

// bodies returns the body that each expression of r stands in; nil for one that stands in
// two.
func bodies(r *ast.Rule) map[*ast.Expr]ast.Body {
	around := map[*ast.Expr]ast.Body{}
	ast.WalkBodies(r, func(b ast.Body) bool {
		for _, e := range b {
			if _, twice := around[e]; twice {
				around[e] = nil
			} else {
				around[e] = b
			}
		}
		return false
	})
	return around
}

// reference takes in a member that is looked at in a way that is not understood.
func (s *shape) reference(ref ast.Ref) {
	if !ref[0].Equal(ast.InputRootDocument) {
		return
	}
	path, _ := memberPath(ref)
	if len(path) > 0 && path[0] == "token" {
		s.caller = true
		return
	}
	s.whole[strings.Join(path, "\x00")] = path
}

// memberPath returns where ref leads in the input, up to the first name that is computed,
// and whether that is the end of it. The places in a list count as names.
func memberPath(ref ast.Ref) (path []string, constant bool) {
	for _, t := range ref[1:] {
		switch v := t.Value.(type) {
		case ast.String:
			path = append(path, string(v))
		case ast.Number:
			if len(path) != 2 || path[1] != "segments" {
				return path, false
			}
			path = append(path, v.String())
		default:
			return path, false
		}
	}
	return path, true
}

// understood says which of the first two operands of an expression need no further look.
type understood [2]bool

func (u understood) has(n int) bool { return n < len(u) && u[n] }

// expression understands e where it compares members of the input with constants.
func (l *look) expression(e *ast.Expr) understood {
	operands := e.Operands()
	if len(operands) < 2 {
		return understood{}
	}
	switch first, second := operands[0], operands[1]; e.Operator().String() {
	case ast.Equality.Name, ast.Equal.Name, ast.NotEqual.Name:
		if l.compared(first, second, l.among) {
			return understood{true, false}
		}
		return understood{false, l.compared(second, first, l.among)}
	case ast.Member.Name:
		return understood{l.compared(first, second, l.among), false}
	case ast.StartsWith.Name:
		return understood{l.compared(first, second, l.begins), false}
	case ast.Count.Name:
		counted := l.ref(first).String() == "input.request.segments"
		l.depth = l.depth || counted
		return understood{counted, false}
	}
	return understood{false, l.matched(e)}
}

// compared takes in that the member of the input that is one operand is compared with the
// texts in the other, and reports whether it is so.
func (l *look) compared(operand, constants *ast.Term, with map[string]comparison) bool {
	ref := l.ref(operand)
	if !ref.HasPrefix(ast.InputRootRef) {
		return false
	}
	path, constant := memberPath(ref)
	texts, known := l.texts(constants)
	if !constant || !known {
		return false
	}
	if _, isText := memo.NewAmong(path, l.prefix, nil); !isText {
		return false
	}
	name := strings.Join(path, "\x00")
	if with[name].texts == nil {
		with[name] = comparison{path, map[string]bool{}}
	}
	for _, text := range texts {
		with[name].texts[text] = true
	}
	return true
}

// texts returns the texts in a constant: itself, or the members of a list or set, also of
// one in data. A constant of another type is equal to no text and begins none.
func (l *look) texts(t *ast.Term) (texts []string, known bool) {
	each := func(x *ast.Term) {
		switch v := x.Value.(type) {
		case ast.String:
			texts = append(texts, string(v))
		case ast.Number, ast.Boolean, ast.Null:
		default:
			known = false
		}
	}
	known = true
	switch v := t.Value.(type) {
	case ast.Set:
		v.Foreach(each)
	case *ast.Array:
		v.Foreach(each)
	case ast.Ref, ast.Var:
		list, ok := l.table(l.ref(t))
		for _, x := range list {
			text, isText := x.(string)
			if !isText {
				return nil, false
			}
			texts = append(texts, text)
		}
		known = ok
	default:
		each(t)
	}
	return texts, known
}

// table returns the list at a place in data, unless rules have a part in what is there.
func (s *shape) table(ref ast.Ref) ([]any, bool) {
	if !ref.HasPrefix(ast.DefaultRootRef) || len(ref) < 2 || !ref.IsGround() {
		return nil, false
	}
	return listInData(ref, s.modules, s.document)
}

// matched reports whether e is routes.matches(entry, input.request), where entry stands for
// the entries of a list in data. It takes in which of them match.
func (l *look) matched(e *ast.Expr) bool {
	routes := matchers[0]
	operands := e.Operands()
	if e.Operator().String() != routes.pkg+"."+routes.function || len(operands) != 2 || !l.shipped(routes) ||
		l.ref(operands[1]).String() != "input.request" {
		return false
	}
	table := entriesOf(operands[0], l.around[e])
	list, ok := l.table(table)
	if !ok {
		return false
	}
	if _, plain := memo.NewRoutes(list); !plain {
		return false
	}
	l.tables[table.String()] = list
	return true
}

// entriesOf returns the list whose entries the variable stands for in b, or nil.
func entriesOf(entry *ast.Term, b ast.Body) ast.Ref {
	for _, e := range b {
		if !e.IsEquality() || e.Negated || len(e.With) > 0 {
			continue
		}
		for n, t := range e.Operands() {
			ref, isRef := t.Value.(ast.Ref)
			if isRef && e.Operand(1-n).Equal(entry) && len(ref) > 2 && ref[:len(ref)-1].IsGround() {
				return ref[:len(ref)-1]
			}
		}
	}
	return nil
}

// features writes down what was taken in, in one order.
func (s *shape) features() ([]memo.Feature, bool) {
	var all []memo.Feature
	if s.caller {
		all = append(all, memo.Caller{})
	}
	if s.depth {
		all = append(all, memo.Depth{})
	}
	for _, name := range slices.Sorted(maps.Keys(s.whole)) {
		f, ok := memo.NewWhole(s.whole[name], s.prefix)
		if !ok {
			return nil, false
		}
		all = append(all, f)
	}
	for _, name := range slices.Sorted(maps.Keys(s.among)) {
		c := s.among[name]
		f, ok := memo.NewAmong(c.path, s.prefix, slices.Sorted(maps.Keys(c.texts)))
		if !ok {
			return nil, false
		}
		all = append(all, f)
	}
	for _, name := range slices.Sorted(maps.Keys(s.begins)) {
		c := s.begins[name]
		f, ok := memo.NewBegins(c.path, s.prefix, slices.Sorted(maps.Keys(c.texts)))
		if !ok {
			return nil, false
		}
		all = append(all, f)
	}
	for _, name := range slices.Sorted(maps.Keys(s.tables)) {
		f, ok := memo.NewRoutes(s.tables[name])
		if !ok {
			return nil, false
		}
		all = append(all, f)
	}
	return all, true
}
