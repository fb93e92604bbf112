package rego

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/stepward/stepward/pkg/engine/rego/syntax"
)

// A call with an undefined argument is undefined, whatever the function would make of it:
// `risk.at_least(data.risk, input.token.subject, 50)` would be silent for a caller without
// a subject, although the library takes a missing subject for risky. So when a policy calls
// a library function, null replaces an argument that is missing, or that comes from data
// which cannot be believed. The function is then always called, and decides what is risky.
//
// An argument that may be undefined moves to its own rule, which is null otherwise. The
// library itself stays unchanged.

// argumentsPackage holds these rules, in the module argumentsFile.
const (
	argumentsPackage = "__stepward.arguments"
	argumentsFile    = "__arguments.rego"
)

var (
	argumentsRef = ast.MustParseRef("data." + argumentsPackage) // copied into a policy: the compiler writes to terms
)

// withArguments makes c define every argument of library functions. modules are the modules
// that c will compile.
func (l *loader) withArguments(c *ast.Compiler, modules map[string]*ast.Module, document map[string]any) *ast.Compiler {
	modules[argumentsFile] = &ast.Module{
		Package: &ast.Package{Path: argumentsRef.Copy(), Location: ast.NewLocation(nil, argumentsFile, 1, 1)}}
	return c.WithStageAfterID(ast.StageRemoveImports, ast.CompilerStageDefinition{Name: "StepwardArguments",
		MetricName: "compile_stage_stepward_arguments", Stage: func(c *ast.Compiler) *ast.Error {
			a := arguments{loader: l, compiler: c, document: document, names: map[string]ast.Ref{}}
			for _, file := range slices.Sorted(maps.Keys(c.Modules)) {
				if m := c.Modules[file]; !m.Package.Path.HasPrefix(syntax.LibraryPackage) && file != argumentsFile {
					for _, r := range m.Rules {
						a.rule(r)
					}
				}
			}
			return nil
		}})
}

// arguments rewrites calls.
type arguments struct {
	loader   *loader
	compiler *ast.Compiler
	document map[string]any
	names    map[string]ast.Ref // of existing rules, by what they stand for
}

// rule rewrites the calls in r, inner ones first.
func (a *arguments) rule(r *ast.Rule) {
	type call struct {
		operator ast.Value
		operands []*ast.Term
	}
	var calls []call
	ast.WalkExprs(r, func(e *ast.Expr) bool {
		if e.IsCall() {
			calls = append(calls, call{e.Operator(), e.Operands()})
		}
		return false
	})
	ast.WalkTerms(r, func(t *ast.Term) bool {
		if c, ok := t.Value.(ast.Call); ok {
			calls = append(calls, call{c[0].Value, c[1:]})
		}
		return false
	})
	for _, c := range slices.Backward(calls) {
		if f, ok := c.operator.(ast.Ref); !ok || !f.HasPrefix(syntax.LibraryPackage) {
			continue
		}
		f := c.operator.(ast.Ref)
		for n, t := range c.operands {
			switch parameter := a.parameter(f, n); {
			case slices.Contains(whole, parameter) && !syntax.IsTest(r.Location.File) && !a.isWhole(t):
				a.loader.add(syntax.At(t.Location, "library_argument",
					fmt.Sprintf("%s is given %s as its %s", f[1:], t,
						parameter),
					"give it input.request, input.source or input as a whole: "+
						"what may be undefined has no method and no path"))
			case a.mayBeUndefined(t):
				a.replace(r, t)
			}
		}
	}
}

// whole lists library parameters that take a whole part of the input, which is always
// there.
var whole = []string{"request", "source", "input_document"}

// isWhole reports whether t is a part of the input that is always there, or may be one by
// another name.
func (a *arguments) isWhole(t *ast.Term) bool {
	switch v := t.Value.(type) {
	case ast.Ref:
		return slices.Contains(syntax.AlwaysThere, v.String())
	case ast.Var:
		return true
	case ast.Call:
		return v[0].Value.(ast.Ref)[0].Equal(ast.DefaultRootDocument)
	}
	return false
}

// parameter returns the name of the n-th parameter of a library function, or an empty
// string.
func (a *arguments) parameter(f ast.Ref, n int) string {
	for _, m := range a.compiler.Modules {
		if !m.Package.Path.HasPrefix(syntax.LibraryPackage) || !f.HasPrefix(m.Package.Path) {
			continue
		}
		for _, r := range m.Rules {
			if len(f) != len(m.Package.Path)+1 || !f[len(f)-1].Equal(ast.StringTerm(string(r.Head.Name))) ||
				n >= len(r.Head.Args) {
				continue
			}
			if v, ok := r.Head.Args[n].Value.(ast.Var); ok && !strings.HasPrefix(string(v), "$") {
				return string(v)
			}
		}
	}
	return ""
}

// mayBeUndefined reports whether an argument can be undefined even though its variables are
// not.
func (a *arguments) mayBeUndefined(t *ast.Term) bool {
	switch v := t.Value.(type) {
	case ast.Ref:
		switch {
		case v[0].Equal(ast.InputRootDocument):
			return !slices.Contains(syntax.AlwaysThere, v.String())
		case v[0].Equal(ast.DefaultRootDocument):
			return !a.provided(v)
		}
		return true
	case ast.Call:
		return true
	case *ast.Array, ast.Set, ast.Object:
		found := false
		ast.WalkTerms(t, func(x *ast.Term) bool {
			switch x.Value.(type) {
			case ast.Ref, ast.Call:
				found = true
			case *ast.ArrayComprehension, *ast.SetComprehension, *ast.ObjectComprehension:
				return true
			}
			return found
		})
		return found
	}
	return false
}

// provided reports whether ref is an existing place in data that no rule makes.
func (a *arguments) provided(ref ast.Ref) bool {
	var here any = a.document
	for _, t := range ref[1:] {
		o, isObject := here.(map[string]any)
		name, isText := t.Value.(ast.String)
		if !isObject || !isText {
			return false
		}
		here = o[string(name)]
	}
	return len(ref) > 1 && here != nil && !ref[1].Equal(ast.StringTerm("stepward"))
}

// replace replaces t, in r, with a rule that is t or null.
func (a *arguments) replace(r *ast.Rule, t *ast.Term) {
	if ref, ok := t.Value.(ast.Ref); ok && ref[0].Equal(ast.DefaultRootDocument) && len(ref) > 1 {
		if name, ok := ref[1].Value.(ast.String); ok {
			if _, unknown := a.loader.unknown[string(name)]; unknown {
				// If a test replaces the input with a value, it is that value.
				a.put(t, nil, ast.NewTerm(ref.Copy()))
				return
			}
		}
	}
	vars := a.variables(t)
	for _, v := range vars {
		if !boundElsewhere(r, t, v) {
			return // it looks for values: there may be none, and then no call is made
		}
	}
	a.put(t, vars, ast.NewTerm(t.Value))
}

// variables returns the free variables of t, sorted.
func (a *arguments) variables(t *ast.Term) []ast.Var {
	visitor := ast.NewVarVisitor().WithParams(ast.VarVisitorParams{SkipRefCallHead: true, SkipClosures: false})
	visitor.Walk(t)
	own := map[ast.Var]bool{}
	ast.WalkClosures(t, func(x any) bool {
		inner := ast.NewVarVisitor().WithParams(ast.VarVisitorParams{SkipRefCallHead: true})
		inner.Walk(x)
		for v := range inner.Vars() {
			own[v] = true
		}
		return false
	})
	var list []ast.Var
	for v := range visitor.Vars() {
		if !ast.RootDocumentNames.Contains(ast.NewTerm(v)) && !own[v] {
			list = append(list, v)
		}
	}
	slices.Sort(list)
	return list
}

// boundElsewhere reports whether v is an argument of r, or occurs in r outside t and
// outside a declaration that binds nothing.
func boundElsewhere(r *ast.Rule, t *ast.Term, v ast.Var) bool {
	if v.IsWildcard() || v.IsGenerated() {
		return false
	}
	count := func(x any) int {
		n := 0
		ast.WalkVars(x, func(y ast.Var) bool {
			if y == v {
				n++
			}
			return false
		})
		return n
	}
	declared := 0
	ast.WalkExprs(r, func(e *ast.Expr) bool {
		if d, ok := e.Terms.(*ast.SomeDecl); ok && len(d.Symbols) > 0 {
			for _, s := range d.Symbols {
				if _, plain := s.Value.(ast.Var); plain {
					declared += count(s)
				}
			}
		}
		return false
	})
	return count(r) > count(t)+declared
}

// put makes a rule that is value or null, and replaces t with a reference to it.
func (a *arguments) put(t *ast.Term, vars []ast.Var, value *ast.Term) {
	key := fmt.Sprint(vars, value)
	ref, there := a.names[key]
	if !there {
		name := ast.Var(fmt.Sprintf("a%d", len(a.names)))
		ref = append(argumentsRef.Copy(), ast.StringTerm(string(name)))
		a.names[key] = ref
		a.loader.arguments[ref.String()] = value.Copy()
		a.define(name, vars, value, t.Location)
	}
	if len(vars) == 0 {
		t.Value = ref
		return
	}
	call := ast.Call{ast.NewTerm(ref).SetLocation(t.Location)}
	for _, v := range vars {
		call = append(call, ast.NewTerm(v).SetLocation(t.Location))
	}
	t.Value = call
}

// define adds the rule `name(vars) := value else := null`. Data that cannot be believed is
// read only if a test puts a value in its place.
func (a *arguments) define(name ast.Var, vars []ast.Var, value *ast.Term, loc *ast.Location) {
	m := a.compiler.Modules[argumentsFile]
	make := func(value *ast.Term) *ast.Rule {
		head := ast.NewHead(name)
		head.Reference, head.Value, head.Location, head.Assign = ast.Ref{ast.NewTerm(name).SetLocation(loc)},
			value.SetLocation(loc), loc, true
		for _, v := range vars {
			head.Args = append(head.Args, ast.NewTerm(v).SetLocation(loc))
		}
		return &ast.Rule{Head: head, Body: ast.NewBody(ast.NewExpr(ast.BooleanTerm(true).SetLocation(loc)).SetLocation(
			loc)), Location: loc, Module: m}
	}
	r := make(value)
	r.Else = make(ast.NullTerm())
	if ref, ok := value.Value.(ast.Ref); ok && ref[0].Equal(ast.DefaultRootDocument) && len(ref) > 1 {
		if n, ok := ref[1].Value.(ast.String); ok {
			if _, unknown := a.loader.unknown[string(n)]; unknown {
				r.Body = ast.NewBody(unknownExpr(string(n), loc))
			}
		}
	}
	m.Rules = append(m.Rules, r)
}

// unknownExpr returns an expression that holds if data.NAME is not unknown.
func unknownExpr(name string, loc *ast.Location) *ast.Expr {
	asked := ast.NewExpr(ast.NewTerm(ast.Ref{ast.DefaultRootDocument.Copy(), ast.StringTerm("stepward"),
		ast.StringTerm("unknown"), ast.StringTerm(name)}).SetLocation(loc)).SetLocation(loc)
	asked.Negated = true
	return asked
}
