// Package tester runs the tests of a policy, its rules named test_…, with OPA's own tester.
//
// [Run] compiles them under the same rules as for serving, so that a test calls exactly
// what is enforced. Tests may call the library, but it is neither tested nor counted in the
// coverage. scenario.go holds the built-in function stepward.answer, which tells a test
// what answer a caller would get.
package tester

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/cover"
	"github.com/open-policy-agent/opa/v1/storage"
	opatester "github.com/open-policy-agent/opa/v1/tester"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/engine/opaenvoy"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/engine/rego/syntax"
)

// Options choose the tests that [Run] runs.
type Options struct {
	Filter  string        // regular expression on package.name; empty runs all
	Timeout time.Duration // of one test; 0 means 5 s
	Library []rego.Source // may be called, but is neither tested nor counted in the coverage
	// Answer plays a scenario against the tested policy. The built-in function
	// stepward.answer, which only tests have, returns its result. nil leaves tests without
	// that function.
	Answer func(ctx context.Context, p authz.Policy, scenario any) (any, error)
	Load   rego.Options // of the policy for scenarios
	// OPAEnvoy says how to load a policy for opa-envoy-plugin; nil if it is not one.
	OPAEnvoy *opaenvoy.Options
}

// Result is the outcome of one test rule.
type Result struct {
	Name     string        `json:"name"` // package.rule
	File     string        `json:"file"`
	Line     int           `json:"line"`
	Passed   bool          `json:"passed"`
	Skipped  bool          `json:"skipped,omitempty"` // named todo_test_…
	Error    string        `json:"error,omitempty"`
	Output   string        `json:"output,omitempty"` // of print
	Duration time.Duration `json:"duration_ns"`
}

// Report holds the results of a test run.
type Report struct {
	Results  []Result           `json:"results"`
	Coverage float64            `json:"coverage"` // percent of the lines of rules
	Files    map[string]float64 `json:"files"`    // coverage of each file, in percent
	// Refused says why the policy does not load, if a test asked for a scenario.
	Refused error  `json:"-"`
	Error   string `json:"error,omitempty"` // Refused in words
}

// Failed counts the tests that did not pass.
func (r Report) Failed() int {
	n := 0
	for _, t := range r.Results {
		if !t.Passed && !t.Skipped {
			n++
		}
	}
	return n
}

// Run runs the test rules among sources. A [finding.List] as the error means that the
// sources do not compile.
func Run(ctx context.Context, sources []rego.Source, opt Options) (Report, error) {
	tests, err := opt.parse(sources)
	if err != nil {
		return Report{}, err
	}
	coverage := cover.New()
	answers, refused := opt.builtin(ctx, sources, coverage)
	var declared []*ast.Builtin
	for _, b := range answers {
		declared = append(declared, b.Decl)
	}
	compiler := tests.Compiler(declared)
	if compiler.Compile(tests.Modules); compiler.Failed() {
		return Report{}, syntax.Findings(compiler.Errors, "").Tidy()
	}
	txn, err := tests.Store.NewTransaction(ctx, storage.WriteParams)
	if err != nil {
		return Report{}, fmt.Errorf("tester: %w", err)
	}
	defer tests.Store.Abort(ctx, txn)
	results, err := opatester.NewRunner().SetCompiler(tests.Compiler(declared)).AddCustomBuiltins(answers).
		SetStore(tests.Store).SetModules(tests.Modules).CapturePrintOutput(true).RaiseBuiltinErrors(tests.Strict).
		SetTimeout(cmp.Or(opt.Timeout, 5*time.Second)).SetCoverageQueryTracer(coverage).Filter(opt.Filter).
		RunTests(ctx, txn)
	if err != nil {
		return Report{}, fmt.Errorf("tester: %w", err)
	}
	report := Report{Files: map[string]float64{}}
	for r := range results {
		report.Results = append(report.Results, resultOf(r))
	}
	if refused.told.Load() {
		report.Refused, report.Error = refused.err, refused.err.Error()
	}
	report.count(coverage.Report(tests.Modules), tests)
	return report, ctx.Err()
}

// parse reads sources with their tests, as the engine of the policy does.
func (o Options) parse(sources []rego.Source) (*rego.Tests, error) {
	if o.OPAEnvoy != nil {
		return opaenvoy.ParseTests(sources, *o.OPAEnvoy)
	}
	return rego.ParseTests(sources, o.Library, o.Load)
}

func resultOf(r *opatester.Result) Result {
	t := Result{
		Name: r.Package[len("data."):] + "." + r.Name, File: r.Location.File, Line: r.Location.Row,
		Passed: !r.Fail && r.Error == nil && !r.Skip, Skipped: r.Skip, Output: string(r.Output),
		Duration: r.Duration,
	}
	if r.Error != nil {
		t.Error = r.Error.Error()
	}
	return t
}

// count takes the coverage of the tested files, which are neither tests nor the library.
func (r *Report) count(covered cover.Report, tests *rego.Tests) {
	lines, all := 0, 0
	for name, f := range covered.Files {
		if !tests.Counted(name) {
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
