package rego

import (
	"github.com/stepward/stepward/pkg/engine/rego/syntax"

	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/cover"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/tester"
	"github.com/open-policy-agent/opa/v1/types"

	"github.com/stepward/stepward/pkg/policy"
)

// TestOptions choose what [Test] runs.
type TestOptions struct {
	Filter  string        // regular expression on package.name; empty runs all
	Timeout time.Duration // of one test; 0 means 5 s
	Library []Source      // may be called, but is not tested and not counted in the coverage
	// Answer plays a scenario before the policy that is tested: it is what the built-in
	// function stepward.answer returns, which tests have and policies do not. nil leaves
	// tests without it.
	Answer func(ctx context.Context, p Evaluator, scenario any) (any, error)
	Load   Options // of the policy before which scenarios are played
	// Compat says that the policy is one of opa-envoy-plugin; nil that it is not.
	Compat *CompatOptions
}

// Evaluator is a [Policy] or a [CompatPolicy].
type Evaluator interface {
	Evaluate(ctx context.Context, in policy.Input) (policy.Result, error)
	Traits() policy.Traits
}

// TestResult is the outcome of one test rule.
type TestResult struct {
	Name     string        `json:"name"` // package.rule
	File     string        `json:"file"`
	Line     int           `json:"line"`
	Passed   bool          `json:"passed"`
	Skipped  bool          `json:"skipped,omitempty"` // named todo_test_…
	Error    string        `json:"error,omitempty"`
	Output   string        `json:"output,omitempty"` // of print
	Duration time.Duration `json:"duration_ns"`
}

// TestReport is what a run of tests found.
type TestReport struct {
	Results  []TestResult       `json:"results"`
	Coverage float64            `json:"coverage"` // percent of the lines of rules
	Files    map[string]float64 `json:"files"`    // coverage of each file, in percent
	// Refused is why no scenario could be played, where a test asked for one: the policy
	// does not load.
	Refused error  `json:"-"`
	Error   string `json:"error,omitempty"` // Refused in words
}

// Failed counts the tests that did not pass.
func (r TestReport) Failed() int {
	n := 0
	for _, t := range r.Results {
		if !t.Passed && !t.Skipped {
			n++
		}
	}
	return n
}

// Test runs the test rules among sources by OPA's own tester, under the same
// compiler as [Load]: what a test calls is what is enforced. A [finding.List] as the error
// means that the sources do not compile.
func Test(ctx context.Context, sources []Source, opt TestOptions) (TestReport, error) {
	l := newLoader(opt.Load)
	l.compat = opt.Compat
	modules, document := l.parse(sources, true)
	library, _ := l.parse(opt.Library, false)
	maps.Copy(modules, library)
	if opt.Compat == nil {
		l.forget(document, sources)
	}
	if len(l.found) > 0 {
		return TestReport{}, l.found.Tidy()
	}
	if opt.Timeout == 0 {
		opt.Timeout = 5 * time.Second
	}
	coverage := cover.New()
	var refused refusal
	answers, err := opt.builtin(ctx, sources, coverage, &refused)
	if err != nil {
		return TestReport{}, err
	}
	known := l.newSchemas(slices.Concat(sources, opt.Library), document)
	compiler := opt.compiler(answers, l, modules, document, known)
	if compiler.Compile(modules); compiler.Failed() {
		return TestReport{}, syntax.Findings(compiler.Errors, "").Tidy()
	}
	store := newStore(document, l.unknown)
	txn, err := store.NewTransaction(ctx, storage.WriteParams)
	if err != nil {
		return TestReport{}, fmt.Errorf("rego: %w", err)
	}
	defer store.Abort(ctx, txn)
	results, err := tester.NewRunner().SetCompiler(
		opt.compiler(answers, l, modules, document, known)).AddCustomBuiltins(answers).SetStore(store).
		SetModules(modules).CapturePrintOutput(true).RaiseBuiltinErrors(opt.Compat == nil).SetTimeout(opt.Timeout).
		SetCoverageQueryTracer(coverage).Filter(opt.Filter).RunTests(ctx, txn)
	if err != nil {
		return TestReport{}, fmt.Errorf("rego: %w", err)
	}
	report := TestReport{Files: map[string]float64{}}
	for r := range results {
		t := TestResult{
			Name: r.Package[len("data."):] + "." + r.Name, File: r.Location.File, Line: r.Location.Row,
			Passed: !r.Fail && r.Error == nil && !r.Skip, Skipped: r.Skip, Output: string(r.Output),
			Duration: r.Duration,
		}
		if r.Error != nil {
			t.Error = r.Error.Error()
		}
		report.Results = append(report.Results, t)
	}
	if refused.told.Load() {
		report.Refused, report.Error = refused.err, refused.err.Error()
	}
	report.count(coverage.Report(modules), library)
	return report, ctx.Err()
}

// compiler is that of [Load] or of [LoadCompat] with what only tests have.
func (o TestOptions) compiler(answers []*tester.Builtin, l *loader, modules map[string]*ast.Module,
	document map[string]any, known *schemas) *ast.Compiler {
	compiler, c := newCompiler(known), capabilities()
	if o.Compat != nil {
		compiler, c = ast.NewCompiler(), compatCapabilities(o.Compat.Network)
	} else {
		compiler = l.withArguments(compiler, modules, document)
	}
	for _, b := range answers {
		c.Builtins = append(c.Builtins, b.Decl)
	}
	return compiler.WithCapabilities(c).WithEnablePrintStatements(true)
}

// load is the policy before which scenarios are played.
func (o TestOptions) load(ctx context.Context, sources []Source, coverage *cover.Cover) (Evaluator, error) {
	if o.Compat != nil {
		p, err := LoadCompat(ctx, sources, *o.Compat)
		if err == nil {
			p.tracer = coverage
		}
		return p, err
	}
	p, err := Load(ctx, append(slices.Clone(sources), o.Library...), o.Load)
	if err == nil {
		p.tracer = coverage
	}
	return p, err
}

// refusal is why a policy does not load, and whether a test came to that.
type refusal struct {
	err  error
	told atomic.Bool
}

// errNotLoaded is why a test is told no answer; the report says what is wrong.
var errNotLoaded = errors.New("the policy does not load")

// answerFunction is the declaration of stepward.answer.
var answerFunction = &rego.Function{
	Name: "stepward.answer", Description: "What the caller of a scenario would be answered.",
	Decl: types.NewFunction(types.Args(types.Named("scenario", types.A)), types.Named("answer", types.A)),
}

// builtin is stepward.answer, before the policy of the sources. Where that does not
// load as a policy, as a library does not, a call of it fails, and refused is why.
func (o TestOptions) builtin(ctx context.Context, sources []Source, coverage *cover.Cover, refused *refusal) (
	[]*tester.Builtin, error) {
	if o.Answer == nil {
		return nil, nil
	}
	p, err := o.load(ctx, sources, coverage)
	refused.err = err
	call := func(b rego.BuiltinContext, operand *ast.Term) (*ast.Term, error) {
		if refused.err != nil {
			refused.told.Store(true)
			return nil, errNotLoaded
		}
		scenario, err := ast.JSON(operand.Value)
		if err != nil {
			return nil, err
		}
		answer, err := o.Answer(b.Context, p, scenario)
		if err != nil {
			return nil, err
		}
		value, err := ast.InterfaceToValue(answer)
		if err != nil {
			return nil, err
		}
		return ast.NewTerm(value), nil
	}
	return []*tester.Builtin{{
		Decl: &ast.Builtin{Name: answerFunction.Name, Description: answerFunction.Description,
			Decl: answerFunction.Decl, Nondeterministic: true},
		Func: rego.Function1(answerFunction, call),
	}}, nil
}

// count takes the coverage of what is tested: of no test, and of no library.
func (r *TestReport) count(covered cover.Report, library map[string]*ast.Module) {
	lines, all := 0, 0
	for name, f := range covered.Files {
		if library[name] != nil || syntax.IsTest(name) || name == argumentsFile {
			continue
		}
		r.Files[name] = f.Coverage
		lines += f.CoveredLines
		all += f.CoveredLines + f.NotCoveredLines
	}
	if all > 0 {
		r.Coverage = 100 * float64(lines) / float64(all)
	}
}
