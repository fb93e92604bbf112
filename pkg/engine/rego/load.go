package rego

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage"

	"github.com/stepward/stepward/pkg/engine/rego/syntax"
	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/stepup"
)

// DefaultTimeout is how long an evaluation may take by default.
const DefaultTimeout = 50 * time.Millisecond

// defaultAbandoned is how many evaluations may still run after their time is up. OPA looks
// for cancellation between expressions, and one expression can be a regular expression that
// takes seconds.
const defaultAbandoned = 64

// hiddenPrefix begins the names of the copies of entry rules that are evaluated.
// wholePrefix begins the names of further copies that look into whole tables, for partial
// evaluation, which cannot follow an index.
const (
	hiddenPrefix = "__stepward_"
	wholePrefix  = "__stepward_whole_"
)

// Options say how a policy is loaded.
type Options struct {
	Ladder       stepup.Ladder
	HeaderPrefix string        // of our identity headers; empty means x-stepward-
	Timeout      time.Duration // 0 means DefaultTimeout
	// MaxAbandoned is how many evaluations may still run after their time is up before no
	// more begin; 0 means 64. One rule on one route may have a sixteenth of them, and one
	// rule on all routes half of what the other rules have left.
	MaxAbandoned int64
	Revision     string // of the bundles; empty means one made from the sources
	// Unknown lists members of data that are too old to be believed, and the time of each
	// if that is known. They are removed, and data.stepward.unknown says so. A rule that
	// still reads one ends in an error.
	Unknown map[string]time.Time
	// FoldPathCase says that paths are in lower case. Texts that are compared with them
	// must be, too.
	FoldPathCase bool
	// MemoSize is how many results are remembered in each of two generations. With 0, which
	// is what the service has, each request is evaluated.
	MemoSize int
	// Optional lists members of data that may be missing. A missing one is unknown.
	Optional []string
}

// WithDefaults returns o with defaults for the options that are not set.
func (o Options) WithDefaults() Options {
	if o.HeaderPrefix == "" {
		o.HeaderPrefix = "x-stepward-"
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.MaxAbandoned == 0 {
		o.MaxAbandoned = defaultAbandoned
	}
	return o
}

// Load makes a policy of sources. If anything is wrong with them, the error is a
// [finding.List] of everything that is.
func Load(ctx context.Context, sources []Source, opt Options) (*Policy, error) {
	p, err := Compile(sources, opt)
	if err != nil {
		return nil, err
	}
	return p.prepare(ctx)
}

// Compile checks and compiles sources. If anything is wrong with them, the error is a
// [finding.List] of everything that is.
func Compile(sources []Source, opt Options) (*Program, error) {
	if large := TooLarge(sources); large != nil {
		return nil, large
	}
	l := newLoader(opt)
	modules, document := l.parse(sources, false)
	l.constants = syntax.NewConstants(modules)
	for _, name := range slices.Sorted(maps.Keys(modules)) {
		l.checkModule(modules[name])
		l.checkCalls(modules[name])
		l.checkHeaderNames(modules[name])
	}
	l.checkOrigin(sources, modules)
	l.checkNames(sources, modules)
	l.checkTests(sources)
	l.forget(document, sources)
	written := maps.Clone(modules)
	if len(l.found) == 0 {
		l.copyEntryRules(modules, document)
	}
	if !slices.Contains(l.packages[syntax.PolicyPackage.String()], syntax.Require) && len(l.found) == 0 {
		l.add(finding.Finding{File: firstName(sources), Line: 1, Column: 1, Code: "no_require",
			Message: "no rule `require` in package stepward.policy",
			Hint: "a request that no rule covers is refused: " +
				"begin with `require contains {\"level\": \"authenticated\"}`"})
		l.nearMisses(sources, modules)
	}
	if len(l.found) > 0 {
		return nil, l.found.Tidy()
	}
	known := l.newSchemas(sources, document)
	compiler := l.withArguments(newCompiler(known), modules, document)
	if compiler.Compile(modules); compiler.Failed() {
		return nil, syntax.Findings(compiler.Errors, "").Tidy()
	}
	l.checkAnonymous(compiler)
	l.checkReached(compiler, sources, written)
	l.checkData(compiler, document, sources)
	if known.check(compiler); len(l.found) > 0 {
		return nil, l.found.Tidy()
	}
	return l.program(compiler, document, named(opt, sources)), nil
}

func firstName(sources []Source) string {
	if len(sources) == 0 {
		return "policy"
	}
	return sources[0].Name
}

// loader collects what is found on the way.
type loader struct {
	opt      Options
	found    finding.List
	headers  map[string]bool     // request headers that rules set
	packages map[string][]string // entry rules of each package, by its path
	texts    map[string][]byte   // of modules, by their names
	narrowed bool                // whether there are copies under wholePrefix
	members  []member
	// constants holds the values that the text of the policy settles.
	constants *syntax.Constants
	// arguments holds the library arguments that may be undefined, by the rules that
	// replace them.
	arguments map[string]*ast.Term
	unknown   map[string]unknownData // members of data that cannot be believed
	asked     bool                   // whether a rule asks data.stepward.unknown
}

func newLoader(opt Options) *loader {
	return &loader{opt: opt.WithDefaults(), headers: map[string]bool{}, packages: map[string][]string{},
		texts: map[string][]byte{}, arguments: map[string]*ast.Term{}}
}

// member is an entry rule whose elements name the rule that they come from.
type member struct {
	rule       *ast.Rule
	id         string
	readsToken bool
	labels     map[string]any // of the rule's METADATA
}

// memberAt returns the index in members of the entry rule at loc, or -1. A copy of a rule
// keeps its location.
func memberAt(members []member, loc *ast.Location) int {
	return slices.IndexFunc(members, func(m member) bool { return m.rule.Location.Equal(loc) })
}

func (l *loader) add(f finding.Finding) { l.found = append(l.found, f) }

// parse reads the Rego files of sources, including tests only if they are wanted, and
// merges the data files.
func (l *loader) parse(sources []Source, tests bool) (map[string]*ast.Module, map[string]any) {
	document, found := data(sources)
	permitted := capabilities()
	l.found = append(l.found, found...)
	modules := map[string]*ast.Module{}
	for _, s := range sources {
		if !syntax.IsRego(s.Name) || !tests && syntax.IsTest(s.Name) {
			continue
		}
		m, err := s.Module(permitted)
		if err != nil {
			l.found = append(l.found, syntax.Findings(err, s.Name)...)
			continue
		}
		modules[s.Name], l.texts[s.Name] = m, s.Text
	}
	return modules, document
}

func newCompiler(known *schemas) *ast.Compiler {
	schemas := ast.NewSchemaSet()
	known.forCompiler(schemas)
	var schema any
	if err := json.Unmarshal(policy.InputSchema, &schema); err == nil { // embedded; a test decodes it
		schemas.Put(ast.SchemaRootRef, schema)
	}
	return ast.NewCompiler().WithCapabilities(capabilities()).WithSchemas(schemas).WithStrict(
		true).WithUseTypeCheckAnnotations(true)
}

// copyEntryRules gives each require and deny rule a copy under a hidden name, whose elements
// are wrapped with the number of the rule. The query reads the copies. A rule that reads
// `require` itself still sees what its author wrote.
func (l *loader) copyEntryRules(modules map[string]*ast.Module, document map[string]any) {
	t := &tables{loader: l, document: document, modules: modules}
	var whole []func()
	for _, file := range slices.Sorted(maps.Keys(modules)) {
		m := modules[file]
		if !syntax.IsEntry(m.Package.Path) {
			continue
		}
		path := m.Package.Path.String()
		for _, r := range slices.Clone(m.Rules) {
			name := string(r.Head.Ref()[0].Value.(ast.Var))
			if !slices.Contains(syntax.EntryRules, name) {
				continue
			}
			if !slices.Contains(l.packages[path], name) {
				l.packages[path] = append(l.packages[path], name)
			}
			if name != syntax.Require && name != syntax.Deny {
				continue
			}
			number := l.member(r, m)
			evaluated := t.narrowed(r, m)
			if evaluated == nil {
				evaluated = r.Copy()
			}
			m.Rules = append(m.Rules, wrap(evaluated, m, hiddenPrefix, number))
			whole = append(whole, func() { m.Rules = append(m.Rules, wrap(r.Copy(), m, wholePrefix, number)) })
		}
	}
	candidates, err := t.module()
	if err != nil {
		l.found = append(l.found, syntax.Findings(err, "tables")...)
	}
	if l.narrowed = candidates != nil; l.narrowed {
		modules[tablesPackage] = candidates
		for _, add := range whole {
			add()
		}
	}
}

// member adds an entry rule to the list of rules with elements, and returns its number.
func (l *loader) member(r *ast.Rule, m *ast.Module) int {
	id := fmt.Sprintf("%s.%s (%s:%d)", m.Package.Path[1:].String(), r.Head.Name, filepath.Base(r.Location.File),
		r.Location.Row)
	l.members = append(l.members, member{rule: r, id: id, labels: labels(r)})
	return len(l.members) - 1
}

// wrap gives c, a copy of an entry rule, a hidden name, and adds the number of the rule to
// its elements.
func wrap(c *ast.Rule, m *ast.Module, prefix string, number int) *ast.Rule {
	c.Module = m
	hidden := ast.Var(prefix + string(c.Head.Name))
	c.Head.Name, c.Head.Reference = hidden, ast.Ref{ast.NewTerm(hidden)}
	c.Head.Key = ast.ObjectTerm([2]*ast.Term{ast.StringTerm("rule"), ast.IntNumberTerm(number)},
		[2]*ast.Term{ast.StringTerm("value"), c.Head.Key}).SetLocation(c.Head.Key.Location)
	return c
}

// named returns the revision of a policy. It changes if data is removed.
func named(opt Options, sources []Source) string {
	name := opt.Revision
	if name == "" {
		name = Revision(sources)
	}
	if len(opt.Unknown) > 0 {
		name += "~" + strings.Join(slices.Sorted(maps.Keys(opt.Unknown)), "~")
	}
	return name
}

// labels returns the labels in the METADATA above r; the innermost wins.
func labels(r *ast.Rule) map[string]any {
	var all map[string]any
	for _, a := range r.Annotations {
		if all == nil && len(a.Labels) > 0 {
			all = map[string]any{}
		}
		maps.Copy(all, a.Labels)
	}
	return all
}

// prepareQuery binds the entry rules that the package has. It uses comprehensions because a
// rule that holds for nothing must be empty, not undefined.
func prepareQuery(ctx context.Context, c *ast.Compiler, store storage.Store, path string, rules []string) (
	rego.PreparedEvalQuery, error) {
	query := "result := {"
	for i, name := range rules {
		if i > 0 {
			query += ", "
		}
		if name == syntax.Require || name == syntax.Deny {
			query += fmt.Sprintf("%q: [m | some m in %s.%s%s]", name, path, hiddenPrefix, name)
		} else {
			query += fmt.Sprintf("%q: {k: v | some k, v in %s.%s}", name, path, name)
		}
	}
	return rego.New(
		rego.Query(query+"}"), rego.Compiler(c), rego.Store(store), rego.StrictBuiltinErrors(true),
		rego.Capabilities(capabilities()), enters(),
	).PrepareForEval(ctx)
}
