package rego

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/cover"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/tester"
)

// TestOptions choose what [Test] runs.
type TestOptions struct {
	Filter  string        // regular expression on package.name; empty runs all
	Timeout time.Duration // of one test; 0 means 5 s
	Library []Source      // may be called, but is not tested and not counted in the coverage
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
	l := &loader{}
	modules, document := l.parse(sources, true)
	library, _ := l.parse(opt.Library, false)
	maps.Copy(modules, library)
	if len(l.found) > 0 {
		return TestReport{}, l.found.Tidy()
	}
	if opt.Timeout == 0 {
		opt.Timeout = 5 * time.Second
	}
	compiler := newCompiler().WithEnablePrintStatements(true)
	if compiler.Compile(modules); compiler.Failed() {
		return TestReport{}, fromOPA(compiler.Errors, "").Tidy()
	}
	store := inmem.NewFromObject(document)
	txn, err := store.NewTransaction(ctx, storage.WriteParams)
	if err != nil {
		return TestReport{}, fmt.Errorf("rego: %w", err)
	}
	defer store.Abort(ctx, txn)
	coverage := cover.New()
	results, err := tester.NewRunner().SetCompiler(newCompiler().WithEnablePrintStatements(true)).SetStore(store).
		SetModules(modules).CapturePrintOutput(true).RaiseBuiltinErrors(true).SetTimeout(opt.Timeout).
		SetCoverageQueryTracer(coverage).Filter(opt.Filter).RunTests(ctx, txn)
	if err != nil {
		return TestReport{}, fmt.Errorf("rego: %w", err)
	}
	report := TestReport{Files: map[string]float64{}}
	for r := range results {
		t := TestResult{
			Name: r.Package[len("data."):] + "." + r.Name, File: r.Location.File, Line: r.Location.Row,
			Passed: !r.Fail && r.Error == nil && !r.Skip, Skipped: r.Skip, Output: string(r.Output), Duration: r.Duration,
		}
		if r.Error != nil {
			t.Error = r.Error.Error()
		}
		report.Results = append(report.Results, t)
	}
	report.count(coverage.Report(modules), library)
	return report, ctx.Err()
}

// count takes the coverage of what is tested: of no test, and of no library.
func (r *TestReport) count(covered cover.Report, library map[string]*ast.Module) {
	lines, all := 0, 0
	for name, f := range covered.Files {
		if library[name] != nil || isTest(name) {
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
