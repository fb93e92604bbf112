package analysis

import (
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/engine/rego/syntax"

	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/pkg/policy"
)

// LintOptions say under what terms a policy is linted.
type LintOptions struct {
	rego.Options
	// KeepsACR is set if an issuer's refreshed tokens keep their acr for as long as the
	// session lasts, as Keycloak's do. A level without an age is then proven forever.
	KeepsACR bool
	// Issuers and IssuerNames come from the configuration; if they are empty, nothing is
	// known about issuers.
	Issuers, IssuerNames []string
	// Allow is request.allow from the configuration.
	Allow []string
}

// LintUnder returns the options for a policy that is loaded with o under the configuration
// c.
func LintUnder(c config.Config, o rego.Options) LintOptions {
	opt := LintOptions{Options: o, Allow: c.Request.Allow}
	for _, i := range c.Issuers {
		opt.KeepsACR = opt.KeepsACR || i.Profile == "keycloak"
		opt.Issuers, opt.IssuerNames = append(opt.Issuers, i.Issuer), append(opt.IssuerNames, i.Name)
	}
	return opt
}

// Lint looks for rules that compile but do not mean what they say. Its findings are
// warnings and notes, each with a position, and some with a fix. It leaves to [rego.Load]
// what that refuses.
func Lint(sources []rego.Source, opt LintOptions) finding.List {
	modules := rego.Parse(sources, opt.Options)
	l := &linter{opt: opt, functions: map[string][]*ast.Rule{}, constants: syntax.NewConstants(modules),
		compared: map[string]bool{}}
	var schema any
	if err := json.Unmarshal(policy.InputSchema, &schema); err == nil { // embedded; a test decodes it
		l.schema, _ = schema.(map[string]any)
	}
	names := slices.Sorted(maps.Keys(modules))
	for _, name := range names {
		for _, r := range modules[name].Rules {
			if len(r.Head.Args) > 0 {
				key := modules[name].Package.Path.String() + "." + r.Head.Name.String()
				l.functions[key] = append(l.functions[key], r)
			}
		}
	}
	for _, name := range names {
		l.module(modules[name])
	}
	l.unused(sources)
	return l.found.Tidy()
}

// linter collects findings.
type linter struct {
	opt       LintOptions
	schema    map[string]any
	functions map[string][]*ast.Rule
	constants *syntax.Constants
	compared  map[string]bool // rules, with the values of their parameters
	found     finding.List

	m       *ast.Module
	r       *ast.Rule
	negated map[*ast.Expr]bool // expressions of its body that are below a not
}

func (l *linter) warn(loc *ast.Location, code, message, hint string) *finding.Finding {
	f := syntax.At(loc, code, message, hint)
	f.Severity = finding.Warning
	l.found = append(l.found, f)
	return &l.found[len(l.found)-1]
}

func (l *linter) module(m *ast.Module) {
	l.m = m
	l.bodyState(m)
	for _, r := range m.Rules {
		for x := r; x != nil; x = x.Else {
			l.r = x
			l.body(x.Body)
			l.calls(x)
			l.comparisons(x, nil)
			l.locals(x)
		}
		if syntax.IsEntry(m.Package.Path) && len(r.Head.Ref()) == 1 {
			if r.Head.Name == syntax.Require {
				l.requirement(m, r)
			}
		}
	}
}

// body looks at every expression, including those inside comprehensions and every.
func (l *linter) body(body ast.Body) {
	l.negated = map[*ast.Expr]bool{}
	ast.WalkExprs(body, func(e *ast.Expr) bool {
		if n, ok := e.Terms.(*ast.Not); ok {
			ast.WalkExprs(n.Body, func(inner *ast.Expr) bool {
				l.negated[inner] = !l.negated[inner]
				return false
			})
		}
		return false
	})
	ast.WalkExprs(body, func(e *ast.Expr) bool {
		if e.IsCall() {
			l.expression(e)
		}
		return false
	})
}

var orders = map[string]bool{"lt": true, "lte": true, "gt": true, "gte": true}

// expression looks at a comparison.
func (l *linter) expression(e *ast.Expr) {
	operands := e.Operands()
	if len(operands) != 2 {
		return
	}
	operator := e.Operator().String()
	l.unsafeMethods(e, operands)
	for n, t := range operands {
		other := operands[1-n]
		switch {
		case orders[operator] && raw(t):
			l.compareTypes(e, t, other)
		case orders[operator] && l.isLevel(t):
			l.warn(e.Location, "level_order",
				fmt.Sprintf("compares a level's name by the alphabet: %s",
					e.Location.Text),
				"ask whether `\"mfa\" in input.token.levels`, which has every level that is proven, "+
					"or require the level")
			return
		}
		if operator == "neq" && !l.negated[e] && raw(t) {
			f := l.warn(e.Location, "silent_inequality", fmt.Sprintf("does not hold where %s is missing", t),
				"write `not … == …`, which also holds for what is not there")
			f.Fix = &finding.Fix{Old: string(e.Location.Text),
				New: fmt.Sprintf("not %s == %s", operands[0].Location.Text, operands[1].Location.Text)}
		}
		if l.negated[e] && clientHeader(t) && (l.enters(syntax.Require) || l.enters(syntax.Deny)) {
			l.warn(e.Location, "client_header",
				fmt.Sprintf("a client that sends the header %s escapes this rule", t),
				"believe a header only where the proxy in front removes what clients send under its name; "+
					"a client certificate or the token proves more")
		}
	}
}

func (l *linter) enters(name string) bool {
	return syntax.IsEntry(l.m.Package.Path) && l.r.Head.Name == ast.Var(name)
}

// compareTypes finds order comparisons between two values if one may be of any type. Rego
// orders null < bool < number < string < list, so "5" > 1000.
func (l *linter) compareTypes(e *ast.Expr, t, other *ast.Term) {
	if l.guarded(t) {
		return
	}
	kind := "is_number"
	if _, text := other.Value.(ast.String); text {
		kind = "is_string"
	}
	l.warn(e.Location, "compare_types", fmt.Sprintf(
		"orders %s by type first, if it is not of the type that you mean: \"1\" > 1000", t),
		fmt.Sprintf("ask for `%s(%s)` in the same rule", kind, t))
}

// guarded reports whether the rule asks for the type of t somewhere.
func (l *linter) guarded(t *ast.Term) bool {
	found := false
	ast.WalkExprs(l.r.Body, func(e *ast.Expr) bool {
		if e.IsCall() && !l.negated[e] && strings.HasPrefix(e.Operator().String(), "is_") && len(e.Operands()) == 1 &&
			e.Operands()[0].Equal(t) {
			found = true
		}
		return found
	})
	return found
}

// raw reports whether a client or an issuer writes t, and so chooses its type.
func raw(t *ast.Term) bool {
	ref, ok := t.Value.(ast.Ref)
	if !ok {
		return false
	}
	text := ref.String()
	for _, prefix := range []string{"input.token.claims.", "input.token.claims[", "input.request.body.json",
		"input.route.metadata"} {
		if strings.HasPrefix(text, prefix) {
			return true
		}
	}
	return false
}

// clientHeader reports whether t is a header that a client can set freely.
func clientHeader(t *ast.Term) bool {
	ref, ok := t.Value.(ast.Ref)
	return ok && (strings.HasPrefix(ref.String(), "input.request.headers") || strings.HasPrefix(ref.String(),
		"input.request.header_values"))
}

// isLevel reports whether t is the name of a level, or one of the proven levels.
func (l *linter) isLevel(t *ast.Term) bool {
	switch v := t.Value.(type) {
	case ast.String:
		return v != "" && l.opt.Ladder.Has(string(v))
	case ast.Ref:
		return strings.HasPrefix(v.String(), "input.token.levels")
	}
	return false
}

// calls follows parts of the input into functions, where the compiler does not check them
// against the schema.
func (l *linter) calls(r *ast.Rule) {
	check := func(operator ast.Ref, operands []*ast.Term) {
		for _, f := range l.called(operator) {
			for n, a := range f.Head.Args {
				param, ok := a.Value.(ast.Var)
				if !ok || n >= len(operands) {
					continue
				}
				if ref, ok := operands[n].Value.(ast.Ref); ok && ref[0].Equal(ast.InputRootDocument) {
					l.fields(f, param, ref)
				}
			}
		}
	}
	ast.WalkExprs(r, func(e *ast.Expr) bool {
		if e.IsCall() {
			check(e.Operator(), e.Operands())
		}
		return false
	})
	ast.WalkTerms(r, func(t *ast.Term) bool {
		if c, ok := t.Value.(ast.Call); ok {
			if operator, ok := c[0].Value.(ast.Ref); ok {
				check(operator, c[1:])
			}
		}
		return false
	})
}

// called returns the functions that a name stands for, in this package or an imported one.
func (l *linter) called(operator ast.Ref) []*ast.Rule {
	name := operator.String()
	if own := l.functions[l.m.Package.Path.String()+"."+name]; own != nil {
		return own
	}
	first, rest, found := strings.Cut(name, ".")
	if !found {
		return nil
	}
	for _, i := range l.m.Imports {
		if i.Name().String() == first {
			return l.functions[i.Path.String()+"."+rest]
		}
	}
	return l.functions[name]
}

// fields finds members below param that do not exist where ref leads in the input.
func (l *linter) fields(f *ast.Rule, param ast.Var, ref ast.Ref) {
	node := l.schema
	for _, t := range ref[1:] {
		name, _ := t.Value.(ast.String)
		properties, _ := node["properties"].(map[string]any)
		next, ok := properties[string(name)].(map[string]any)
		if !ok {
			return // the compiler has reported it, or it may hold anything
		}
		node = next
	}
	ast.WalkRefs(f.Body, func(r ast.Ref) bool {
		if !r[0].Equal(ast.NewTerm(param)) {
			return false
		}
		at := node
		for _, t := range r[1:] {
			properties, closed := at["properties"].(map[string]any)
			name, literal := t.Value.(ast.String)
			if !closed || !literal || at["additionalProperties"] != false {
				return false
			}
			next, there := properties[string(name)].(map[string]any)
			if !there {
				known := slices.Sorted(maps.Keys(properties))
				w := l.warn(t.Location, "unknown_field", fmt.Sprintf("%s has no member %q%s, as %s is called with it",
					ref, string(name), finding.DidYouMean(string(name), known), f.Head.Name), "one of "+strings.Join(
					known, ", "))
				if best := finding.Closest(string(name), known); best != "" {
					w.Fix = &finding.Fix{Old: string(name), New: best}
				}
				return false
			}
			at = next
		}
		return false
	})
}
