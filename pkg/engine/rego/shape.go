package rego

import (
	"fmt"
	"maps"
	"slices"

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
	l := &look{shape: s, around: bodies(r), stands: map[ast.Var]ast.Ref{}, used: map[ast.Var]int{},
		lists: map[*ast.Expr]map[ast.Var]ast.Ref{}}
	l.definitions(r)
	l.visit = ast.NewGenericVisitor(l.see)
	l.visit.Walk(r)
	l.settle(r)
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
	s.whole[nameOf(path)] = path
}

// nameOf names a path like no other: a name in it may hold any character.
func nameOf(path []string) string { return fmt.Sprintf("%q", path) }

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

// features writes down what was taken in, in one order.
func (s *shape) features() ([]memo.Feature, bool) {
	all, sayable := []memo.Feature{}, true
	add := func(f memo.Feature, ok bool) { all, sayable = append(all, f), sayable && ok }
	if s.caller {
		add(memo.Caller{}, true)
	}
	if s.depth {
		add(memo.Depth{}, true)
	}
	for _, name := range slices.Sorted(maps.Keys(s.whole)) {
		add(memo.NewWhole(s.whole[name], s.prefix))
	}
	for _, name := range slices.Sorted(maps.Keys(s.among)) {
		c := s.among[name]
		add(memo.NewAmong(c.path, s.prefix, slices.Sorted(maps.Keys(c.texts))))
	}
	for _, name := range slices.Sorted(maps.Keys(s.begins)) {
		c := s.begins[name]
		add(memo.NewBegins(c.path, s.prefix, slices.Sorted(maps.Keys(c.texts))))
	}
	for _, name := range slices.Sorted(maps.Keys(s.tables)) {
		add(memo.NewRoutes(s.tables[name]))
	}
	return all, sayable
}
