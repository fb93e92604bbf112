package rego

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/stepward/stepward/pkg/engine/rego/syntax"
	"github.com/stepward/stepward/pkg/finding"
)

// dataRead is a place in data that a rule reads.
type dataRead struct {
	ref ast.Ref
	loc *ast.Location
	// looks says whether the rule looks for members in the value.
	looks bool
	// negated says whether the read is below a not.
	negated bool
}

// name returns the name of the member of data, or an empty string if it is computed.
func (d dataRead) name() string {
	s, _ := d.ref[1].Value.(ast.String)
	return string(s)
}

// entryRulesOf returns the compiled rules that decide: copies of the policy's rules, and
// rules of route packages.
func entryRulesOf(c *ast.Compiler) []*ast.Rule {
	var list []*ast.Rule
	for _, file := range slices.Sorted(maps.Keys(c.Modules)) {
		m := c.Modules[file]
		if !syntax.IsEntry(m.Package.Path) {
			continue
		}
		for _, r := range m.Rules {
			if slices.Contains(syntax.EntryRules, string(r.Head.Ref()[0].Value.(ast.Var))) {
				list = append(list, r)
			}
		}
	}
	return list
}

// reached returns the rules that decide and all that they lead to, including functions, in
// order of position.
func reached(c *ast.Compiler) []*ast.Rule {
	seen := map[*ast.Rule]bool{}
	var list []*ast.Rule
	var visit func(r *ast.Rule)
	visit = func(r *ast.Rule) {
		if seen[r] {
			return
		}
		seen[r] = true
		list = append(list, r)
		if r.Else != nil {
			visit(r.Else)
		}
		for dep := range c.Graph.Dependencies(r) {
			if d, ok := dep.(*ast.Rule); ok {
				visit(d)
			}
		}
	}
	for _, r := range entryRulesOf(c) {
		visit(r)
	}
	slices.SortFunc(list, func(a, b *ast.Rule) int { return a.Location.Compare(b.Location) })
	return list
}

// dataReads returns the places in data that rules read, without the places that rules make.
func dataReads(c *ast.Compiler, rules []*ast.Rule) []dataRead {
	var list []dataRead
	for _, r := range rules {
		collections, negated := collectionsOf(r), negatedOf(r)
		ast.WalkTerms(r, func(t *ast.Term) bool {
			ref, ok := t.Value.(ast.Ref)
			if !ok || len(ref) < 2 || !ref[0].Equal(ast.DefaultRootDocument) ||
				len(c.GetRulesDynamicWithOpts(ref, ast.RulesOptions{IncludeHiddenModules: true})) > 0 {
				return false
			}
			loc := t.Location
			if loc == nil || loc.Row == 0 {
				loc = r.Location
			}
			list = append(list, dataRead{ref: ref, loc: loc, looks: collections[t] || !ref.IsGround(),
				negated: negated[t]})
			return false
		})
	}
	return list
}

// collectionsOf returns the terms of r after an `in`. The compiler first gives a reference
// in a call a name.
func collectionsOf(r *ast.Rule) map[*ast.Term]bool {
	found, named := map[*ast.Term]bool{}, map[ast.Var]bool{}
	ast.WalkExprs(r, func(e *ast.Expr) bool {
		if e.IsCall() && strings.HasPrefix(e.Operator().String(), "internal.member_") {
			last := e.Operands()[len(e.Operands())-1]
			found[last] = true
			if v, ok := last.Value.(ast.Var); ok {
				named[v] = true
			}
		}
		return false
	})
	ast.WalkExprs(r, func(e *ast.Expr) bool {
		if e.IsEquality() {
			if v, ok := e.Operand(0).Value.(ast.Var); ok && named[v] {
				found[e.Operand(1)] = true
			}
		}
		return false
	})
	return found
}

// negatedOf returns the terms of r below a `not`, where a missing value makes a rule hold.
func negatedOf(r *ast.Rule) map[*ast.Term]bool {
	found := map[*ast.Term]bool{}
	add := func(t *ast.Term) bool { found[t] = true; return false }
	ast.WalkExprs(r, func(e *ast.Expr) bool {
		if n, ok := e.Terms.(*ast.Not); ok {
			ast.WalkTerms(n.Body, add)
		} else if e.Negated {
			ast.WalkTerms(e, add)
		}
		return false
	})
	return found
}

// checkData refuses a rule that reads data that nothing provides: it would be silent
// forever.
func (l *loader) checkData(c *ast.Compiler, document map[string]any, sources []Source) {
	for _, d := range dataReads(c, reached(c)) {
		name := d.name()
		switch _, unknown := l.unknown[name]; {
		case name == "":
			l.add(syntax.At(d.loc, "data_name", fmt.Sprintf("the name of a member of data is computed: %s", d.ref),
				"name it, as in data.tenants[x]: what a rule reads must be provided before it decides"))
		case name == "stepward":
			l.checkUnknown(d, document)
		case unknown:
		case document[name] == nil:
			l.add(syntax.At(d.loc, "data_missing", fmt.Sprintf("data.%s is provided by no file or bundle%s", name,
				finding.DidYouMean(name, slices.Sorted(maps.Keys(document)))),
				fmt.Sprintf("provide it, or name it in policy.optional_data and ask data.stepward.unknown.%s", name)))
		default:
			l.checkPlace(d, document, sources)
		}
	}
}

// checkUnknown checks a rule that asks which data is unknown. If it asks for a name that does
// not exist, it would be silent.
func (l *loader) checkUnknown(d dataRead, document map[string]any) {
	names := d.ref[2:]
	if len(names) == 0 || !names[0].Equal(ast.StringTerm("unknown")) {
		l.add(syntax.At(d.loc, "data_missing", fmt.Sprintf("%s is no rule, and no data", d.ref),
			"data.stepward holds packages of the policy, the library, and unknown"))
		return
	}
	l.asked = true
	if len(names) < 2 {
		return
	}
	name, literal := names[1].Value.(ast.String)
	if _, unknown := l.unknown[string(name)]; !literal || unknown || document[string(name)] != nil {
		return
	}
	l.add(syntax.At(d.loc, "data_missing", fmt.Sprintf("%s asks for data that no file or bundle provides%s", d.ref,
		finding.DidYouMean(string(name), slices.Sorted(maps.Keys(document)))),
		fmt.Sprintf("provide data.%s, or name it in policy.optional_data", string(name))))
}

// checkPlace checks that the data that a rule reads exists, as far as its path is literal.
func (l *loader) checkPlace(d dataRead, document map[string]any, sources []Source) {
	ground := d.ref.GroundPrefix()
	var here any = document
	for n, t := range ground[1:] {
		path := ground[:n+1]
		switch v := here.(type) {
		case map[string]any:
			key, ok := t.Value.(ast.String)
			next, there := v[string(key)]
			if !ok || !there {
				if d.negated || slices.Contains(l.opt.Optional, d.name()) {
					return
				}
				l.add(syntax.At(d.loc, "data_missing",
					fmt.Sprintf("%s is read here, and %s has no such member%s", d.ref,
						path,
						finding.DidYouMean(string(key), slices.Sorted(maps.Keys(v)))),
					"provide it; where it may be missing, read it with object.get and a default that is safe"))
				return
			}
			here = next
		case []any:
			i, err := strconv.Atoi(t.Value.String())
			if err != nil || i < 0 || i >= len(v) {
				l.add(syntax.At(d.loc, "data_missing", fmt.Sprintf("%s is read here, and %s is a list of %d elements",
					d.ref, path, len(v)), "provide it, or look through the list with `some`"))
				return
			}
			here = v[i]
		default:
			l.mistyped(d, path, here, sources)
			return
		}
	}
	if kind := kindOf(here); d.looks && kind != "an object" && kind != "a list" {
		l.mistyped(d, ground, here, sources)
	}
}

// mistyped reports a rule that looks for members in a value that has none.
func (l *loader) mistyped(d dataRead, path ast.Ref, found any, sources []Source) {
	var below []string
	for _, t := range path[2:] {
		below = append(below, strings.Trim(t.Value.String(), `"`))
	}
	l.add(placed(sources, d.name(), below, finding.Finding{
		Code: "data_type", Message: fmt.Sprintf("%s is %s, and the rule at %s:%d looks for members in it", path,
			kindOf(found), d.loc.File, d.loc.Row),
		Hint: "write a list or an object, as the rule expects"}))
}
