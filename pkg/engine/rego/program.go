package rego

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage"

	"github.com/stepward/stepward/pkg/engine/memo"
	"github.com/stepward/stepward/pkg/engine/rego/syntax"
	"github.com/stepward/stepward/pkg/engine/watchdog"
	"github.com/stepward/stepward/pkg/policy"
)

// Program is a policy that is checked and compiled. [Load] prepares one to decide, and
// package analysis takes one apart. The two never share a Program, because OPA rewrites
// parts of it during partial evaluation.
type Program struct {
	opt       Options
	traits    policy.Traits
	compiler  *ast.Compiler
	store     storage.Store
	packages  map[string][]string // the entry rules of each package that decides, by its path
	members   []member
	arguments map[string]*ast.Term // the original library arguments, by the rules that replaced them
	copies    string               // begins the names of the copies of entry rules that look into whole tables
	document  map[string]any       // the content of data
	shipped   func(matcher) bool   // whether a function is the library's own
	unindexed bool                 // rules ask which data is unknown: OPA's index would read data ahead of them
}

// program assembles the compiled program. It is called once, if nothing wrong was found.
func (l *loader) program(c *ast.Compiler, document map[string]any, revision string) *Program {
	p := &Program{
		opt:      l.opt,
		traits:   policy.Traits{Revision: revision, RequestHeaders: slices.Sorted(maps.Keys(l.headers))},
		compiler: c, store: newStore(document, l.unknown), packages: l.packages, members: l.members,
		document: document, shipped: (&tables{loader: l, modules: maps.Clone(c.Modules)}).shipped,
		arguments: l.arguments, copies: hiddenPrefix, unindexed: l.asked && len(l.unknown) > 0,
	}
	if l.narrowed {
		p.copies = wholePrefix
	}
	return p
}

// prepare makes one query for the policy and one for each package that a route may add.
func (p *Program) prepare(ctx context.Context) (*Policy, error) {
	p.enter()
	made := &Policy{
		opt: p.opt, traits: p.traits, members: p.members, unindexed: p.unindexed,
		routes: map[string]rego.PreparedEvalQuery{}, watch: watchdog.New(p.opt.Timeout, p.opt.MaxAbandoned),
		overrides: overridesInput(p.compiler),
	}
	if p.opt.MemoSize > 0 {
		if f, ok := p.features(); ok {
			made.memo = memo.New(f, p.opt.MemoSize)
		}
	}
	made.known, made.mentioned = mentions(p.compiler, "json", "form")
	for path, rules := range p.packages {
		query, err := prepareQuery(ctx, p.compiler, p.store, path, rules)
		if err != nil {
			return nil, fmt.Errorf("rego: %w", err)
		}
		if path == syntax.PolicyPackage.String() {
			made.base = query
		} else {
			made.routes[path[len(syntax.RoutePackage.String())+1:]] = query
		}
	}
	return made, nil
}

// Traits returns what the policy states about itself.
func (p *Program) Traits() policy.Traits { return p.traits }

// Compiler returns the compiled modules. Nobody may change them.
func (p *Program) Compiler() *ast.Compiler { return p.compiler }

// Has reports whether package stepward.policy has the entry rule called name.
func (p *Program) Has(name string) bool {
	return slices.Contains(p.packages[syntax.PolicyPackage.String()], name)
}

// Members returns the reference to the members of the entry rule called name, require or
// deny. Each is an object of "rule", a number for [Program.Rule], and "value".
func (p *Program) Members(name string) string {
	return syntax.PolicyPackage.String() + "." + p.copies + name
}

// Rule returns the name and place of the rule with a number that [Program.Members] has.
func (p *Program) Rule(number int) (name string, ok bool) {
	if number < 0 || number >= len(p.members) {
		return "", false
	}
	return p.members[number].id, true
}

// Argument returns the original argument of a library call that the rule at ref replaced.
// It returns nil if there is no such rule at ref.
func (p *Program) Argument(ref ast.Ref) *ast.Term { return p.arguments[ref.String()] }

// ArgumentRule returns the compiled rule at ref if it replaced an argument, and nil
// otherwise.
func (p *Program) ArgumentRule(ref ast.Ref) *ast.Rule {
	if !ref.HasPrefix(argumentsRef) {
		return nil
	}
	for _, r := range p.compiler.GetRulesExact(ref) {
		return r
	}
	return nil
}

// Query returns a query of the program, under the rules by which it was compiled.
func (p *Program) Query(options ...func(*rego.Rego)) *rego.Rego {
	return rego.New(append([]func(*rego.Rego){
		rego.Compiler(p.compiler), rego.Store(p.store), rego.Capabilities(capabilities()),
	}, options...)...)
}
