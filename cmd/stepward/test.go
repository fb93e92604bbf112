package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/pkg/run/snapshot"
	"github.com/stepward/stepward/policies"
)

// testFlags are what to test and how to tell.
type testFlags struct {
	config  configFlags
	filter  string
	asJSON  bool
	verbose bool
	minimum float64
	junit   string
	watch   bool
}

func newTestCommand() *cobra.Command {
	var f testFlags
	cmd := &cobra.Command{
		Use:   "test [PATH...]",
		Short: "Run the tests of a policy",
		Long: `Runs every rule named test_… in the Rego files at the paths, with the library of
stepward.lib packages beside them, under the rules by which serve loads a policy.
Without a path it tests the shipped policy and library.

A test says what a caller would be answered, with the built-in function
stepward.answer, which only tests have:

  test_payments_need_a_second_factor if {
      a := stepward.answer({"path": "/payments/7", "as": "browser"})
      a.result == "redirect"
      a.level == "mfa"
  }

A scenario has path and any of method, as (browser, page, api, grpc), host, headers,
body, route, address, principal and token. The token's members are claims, taken as
verified; level stands for what proves one, auth_age and age for how long ago the user
authenticated and the token was issued. The answer has result, reason, status, rule,
held, required, missing, level, acr_values, max_age, scope, headers and more.

Without a path it is the policy of -c FILE that is tested, else the shipped one.
Levels and issuers are those of -c FILE, else of a stepward.yaml beside or above the
first path, else password, mfa and phishing-resistant of one issuer.

Exits with 1 when a test fails or the coverage is too low, and with 2 when the policy
does not load.`,
		Example: `  stepward test policies/
  stepward test policies/ --run payments -v
  stepward test policies/ --watch
  stepward test policies/ --coverage-min 90 --junit report.xml`,
		RunE: func(cmd *cobra.Command, paths []string) error {
			paths, err := f.config.besides(paths)
			if err != nil {
				return err
			}
			if f.watch {
				return f.follow(cmd, paths)
			}
			return f.run(cmd, paths)
		},
	}
	f.config.addDeciding(cmd)
	cmd.Flags().StringVar(&f.filter, "run", "", "run only tests whose package.name matches this regular expression")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "print tests that pass, too, and the coverage of each file")
	cmd.Flags().Float64Var(&f.minimum, "coverage-min", 0, "fail below this coverage, in percent")
	cmd.Flags().StringVar(&f.junit, "junit", "", "write a JUnit report to this file")
	cmd.Flags().BoolVar(&f.watch, "watch", false, "run again whenever a file changes, until Ctrl-C")
	return cmd
}

func (f *testFlags) run(cmd *cobra.Command, paths []string) error {
	if _, err := regexp.Compile(f.filter); err != nil {
		return usage(fmt.Errorf("--run: %w", err))
	}
	config := f.config // each run looks for it anew
	c, file, err := config.rehearsal(paths)
	if err != nil {
		return err
	}
	if len(paths) == 0 && file != "" {
		if err := needsFiles(c, c.Policy.Paths); err != nil {
			return err
		}
		paths = c.Policy.Paths
	}
	load, err := loadOptions(c)
	if err != nil {
		return usage(err)
	}
	sources, library, err := testSources(paths)
	if err != nil {
		return usage(err)
	}
	options := rego.TestOptions{Filter: f.filter, Library: library, Answer: answerer(c), Load: load}
	if c.Policy.Compat != "" {
		compat, err := snapshot.Compat(patient(c).Policy, load)
		if err != nil {
			return usage(err)
		}
		options.Compat, options.Library = &compat, nil
	}
	report, err := rego.Test(cmd.Context(), sources, options)
	if list := (finding.List)(nil); errors.As(err, &list) {
		return usage(fmt.Errorf("the policy does not compile:\n%w", err))
	}
	if err != nil {
		return err
	}
	if err := f.tell(cmd, report); err != nil {
		return err
	}
	if report.Refused != nil {
		return usage(fmt.Errorf("the policy is refused, so no scenario was played:\n%w", report.Refused))
	}
	switch {
	case len(report.Results) == 0:
		return usage(errors.New("no tests found; a test is a rule named test_…"))
	case report.Failed() > 0:
		return found()
	case report.Coverage < f.minimum:
		fmt.Fprintf(cmd.ErrOrStderr(), "coverage %.1f %% is below %.1f %%\n", report.Coverage, f.minimum)
		return found()
	}
	return nil
}

func (f *testFlags) tell(cmd *cobra.Command, report rego.TestReport) error {
	if f.junit != "" {
		text, err := junit(report)
		if err != nil {
			return err
		}
		if err := os.WriteFile(f.junit, text, 0o644); err != nil {
			return usage(err)
		}
	}
	if f.asJSON {
		e := json.NewEncoder(cmd.OutOrStdout())
		e.SetIndent("", "  ")
		return e.Encode(report)
	}
	printTests(cmd.OutOrStdout(), report, f.verbose)
	return nil
}

// follow runs the tests now, and again after each change.
func (f *testFlags) follow(cmd *cobra.Command, paths []string) error {
	if len(paths) == 0 {
		return usage(errors.New("--watch needs a path"))
	}
	var seen uint64
	for {
		if now := fingerprint(paths); now != seen {
			seen = now
			if err := f.run(cmd, paths); err != nil && !errors.Is(err, found()) && cmd.Context().Err() == nil {
				fmt.Fprintln(cmd.ErrOrStderr(), "stepward:", err)
			}
			fmt.Fprintln(cmd.OutOrStdout(), "waiting for changes; Ctrl-C ends it")
		}
		select {
		case <-cmd.Context().Done():
			return nil
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// fingerprint changes when a file below the paths does.
func fingerprint(paths []string) uint64 {
	h := fnv.New64a()
	for _, p := range paths {
		// what cannot be read is told by the run
		filepath.WalkDir(p, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return nil
			}
			if info, err := d.Info(); err == nil {
				fmt.Fprintf(h, "%s %d %d\n", name, info.Size(), info.ModTime().UnixNano())
			}
			return nil
		})
	}
	return h.Sum64()
}

// testSources is what to test, and the library beside it: that is tested itself
// only where nothing else is named.
func testSources(paths []string) (own, library []rego.Source, err error) {
	if len(paths) == 0 {
		own, err = snapshot.Sources(nil)
		return own, nil, err
	}
	if own, err = rego.FromPaths(paths); err != nil {
		return nil, nil, err
	}
	library, err = rego.FromFS(policies.Library())
	return own, library, err
}

func printTests(out io.Writer, report rego.TestReport, verbose bool) {
	told := map[string]string{} // which test an error was printed of
	for _, r := range report.Results {
		switch {
		case r.Skipped:
			fmt.Fprintf(out, "skip  %s  %s:%d\n", r.Name, r.File, r.Line)
		case !r.Passed:
			fmt.Fprintf(out, "FAIL  %s  %s:%d\n", r.Name, r.File, r.Line)
			if first := told[unplaced(r.Error)]; report.Refused != nil && strings.HasSuffix(
				r.Error, ": the policy does not load") {
				r.Error = "" // it is told once, at the end
			} else if first != "" && r.Error != "" {
				r.Error = "the same error as " + first
			} else {
				told[unplaced(r.Error)] = r.Name
			}
			for _, line := range []string{r.Error, strings.TrimSpace(r.Output)} {
				if line != "" {
					fmt.Fprintf(out, "      %s\n", strings.ReplaceAll(line, "\n", "\n      "))
				}
			}
		case verbose:
			fmt.Fprintf(out, "pass  %s\n", r.Name)
		}
	}
	if verbose {
		for _, name := range slices.Sorted(maps.Keys(report.Files)) {
			fmt.Fprintf(out, "%5.1f %%  %s\n", report.Files[name], name)
		}
	}
	fmt.Fprintf(out, "%d tests, %d failed, coverage %.1f %%\n", len(report.Results), report.Failed(), report.Coverage)
}

var errorPlace = regexp.MustCompile(`^\S+:\d+: (?:eval_builtin_error: )?`)

// unplaced is an error of a test without the place in it.
func unplaced(text string) string { return errorPlace.ReplaceAllString(text, "") }

// The report that build servers read.
type (
	junitSuites struct {
		XMLName xml.Name     `xml:"testsuites"`
		Suites  []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Time     string      `xml:"time,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		File    string        `xml:"file,attr"`
		Line    int           `xml:"line,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitFailure `xml:"failure"`
		Skipped *struct{}     `xml:"skipped"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

func junit(report rego.TestReport) ([]byte, error) {
	suite := junitSuite{Name: "stepward", Tests: len(report.Results), Failures: report.Failed()}
	var all time.Duration
	for _, r := range report.Results {
		at := strings.LastIndexByte(r.Name, '.')
		c := junitCase{Class: r.Name[:at], Name: r.Name[at+1:], File: r.File, Line: r.Line,
			Time: fmt.Sprintf("%.6f", r.Duration.Seconds())}
		all += r.Duration
		switch {
		case r.Skipped:
			suite.Skipped++
			c.Skipped = &struct{}{}
		case !r.Passed:
			message := r.Error
			if message == "" {
				message = "the test does not hold"
			}
			c.Failure = &junitFailure{Message: message, Text: r.Output}
		}
		suite.Cases = append(suite.Cases, c)
	}
	suite.Time = fmt.Sprintf("%.6f", all.Seconds())
	text, err := xml.MarshalIndent(junitSuites{Suites: []junitSuite{suite}}, "", "  ")
	return append([]byte(xml.Header), append(text, '\n')...), err
}
