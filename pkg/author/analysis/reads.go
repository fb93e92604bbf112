package analysis

import (
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/engine/rego/syntax"

	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Reads lists the members of the input that the policy looks at, each as the names that
// lead to it, such as ["request", "body", "json"], sorted. It follows parts of the input
// into rules and functions. A computed name ends the list of names.
func (a *Analysis) Reads() [][]string {
	r := reader{
		program:  a.program,
		compiler: a.program.Compiler(),
		seen:     map[string]bool{},
		found:    map[string][]string{},
	}
	for _, m := range r.compiler.Modules {
		for _, rule := range m.Rules {
			if syntax.IsEntry(m.Package.Path) &&
				slices.Contains(syntax.EntryRules, string(rule.Head.Ref()[0].Value.(ast.Var))) {
				r.rule(rule, nil)
			}
		}
	}
	all := make([][]string, 0, len(r.found))
	for _, path := range r.found {
		all = append(all, path)
	}
	slices.SortFunc(all, slices.Compare[[]string])
	return all
}

// reader collects what rules look at.
type reader struct {
	program  *rego.Program
	compiler *ast.Compiler
	seen     map[string]bool // rules, with what their arguments stand for
	found    map[string][]string
}

// rule examines a rule. bound says which of its variables are parts of the input.
func (r *reader) rule(rule *ast.Rule, bound map[ast.Var][]string) {
	key := fmt.Sprint(rule.Location, rule.Head.Name, bound)
	if r.seen[key] {
		return
	}
	r.seen[key] = true
	known := map[ast.Var][]string{}
	maps.Copy(known, bound)
	r.aliases(rule, known)
	ast.WalkRefs(rule, func(ref ast.Ref) bool {
		if path, ok := inputPath(ref, known); ok {
			r.found[strings.Join(path, "\x00")] = path
		}
		return false
	})
	ast.WalkExprs(rule, func(e *ast.Expr) bool {
		if e.IsCall() {
			r.call(e, known)
		}
		return false
	})
	for dep := range r.compiler.Graph.Dependencies(rule) {
		if d, ok := dep.(*ast.Rule); ok && len(d.Head.Args) == 0 {
			r.rule(d, nil)
		}
	}
}

// aliases adds variables that stand for parts of the input: the compiler makes them from
// arguments.
func (r *reader) aliases(rule *ast.Rule, known map[ast.Var][]string) {
	ast.WalkExprs(rule, func(e *ast.Expr) bool {
		if !e.IsEquality() {
			return false
		}
		for n, t := range e.Operands() {
			v, isVar := e.Operand(1 - n).Value.(ast.Var)
			ref, isRef := t.Value.(ast.Ref)
			if !isVar || !isRef {
				continue
			}
			if path, ok := inputPath(ref, known); ok {
				known[v] = path
			}
		}
		return false
	})
}

// call follows parts of the input into a function.
func (r *reader) call(e *ast.Expr, known map[ast.Var][]string) {
	for _, f := range r.compiler.GetRulesExact(e.Operator()) {
		bound := map[ast.Var][]string{}
		for n, a := range f.Head.Args {
			param, ok := a.Value.(ast.Var)
			if !ok || n >= len(e.Operands()) {
				continue
			}
			switch x := e.Operand(n).Value.(type) {
			case ast.Ref:
				if path, ok := r.path(x, known); ok {
					bound[param] = path
				}
			case ast.Var:
				if path, ok := known[x]; ok {
					bound[param] = path
				} else if x.Equal(ast.InputRootDocument.Value) {
					bound[param] = []string{}
				}
			}
		}
		r.rule(f, bound)
	}
}

// path returns where ref leads in the input, directly or through a rule that replaced an
// argument.
func (r *reader) path(ref ast.Ref, known map[ast.Var][]string) ([]string, bool) {
	rule := r.program.ArgumentRule(ref)
	if rule == nil {
		return inputPath(ref, known)
	}
	named := map[ast.Var][]string{}
	r.aliases(rule, named)
	switch v := rule.Head.Value.Value.(type) {
	case ast.Ref:
		return inputPath(v, named)
	case ast.Var:
		path, ok := named[v]
		return path, ok
	}
	return nil, false
}

// inputPath returns where ref leads in the input, up to the first computed name.
func inputPath(ref ast.Ref, known map[ast.Var][]string) ([]string, bool) {
	var path []string
	if !ref[0].Equal(ast.InputRootDocument) {
		v, ok := ref[0].Value.(ast.Var)
		if !ok || known[v] == nil {
			return nil, false
		}
		path = slices.Clone(known[v])
	}
	for _, t := range ref[1:] {
		name, literal := t.Value.(ast.String)
		if !literal {
			break
		}
		path = append(path, string(name))
	}
	return append([]string{}, path...), true
}
