package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/pkg/rego"
	"github.com/stepward/stepward/pkg/server"
	"github.com/stepward/stepward/policies"
)

func newTestCommand() *cobra.Command {
	var filter string
	var asJSON, verbose bool
	var minimum float64
	cmd := &cobra.Command{
		Use:   "test [PATH...]",
		Short: "Run the tests of a policy",
		Long: `Runs every rule named test_… in the Rego files at the paths, with the library of
stepward.lib packages beside them, under the rules by which serve loads a policy.
Without a path it tests the shipped policy and library.

Exits with 1 when a test fails or the coverage is too low.`,
		Example: `  stepward test policies/
  stepward test policies/ --run payments -v
  stepward test policies/ --coverage-min 90`,
		RunE: func(cmd *cobra.Command, paths []string) error {
			sources, library, err := testSources(paths)
			if err != nil {
				return usage(err)
			}
			report, err := rego.Test(cmd.Context(), sources, rego.TestOptions{Filter: filter, Library: library})
			if list := (finding.List)(nil); errors.As(err, &list) {
				return usage(fmt.Errorf("the policy does not compile:\n%w", err))
			}
			if err != nil {
				return err
			}
			if asJSON {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				if err := e.Encode(report); err != nil {
					return err
				}
			} else {
				printTests(cmd.OutOrStdout(), report, verbose)
			}
			switch {
			case len(report.Results) == 0:
				return usage(errors.New("no tests found; a test is a rule named test_…"))
			case report.Failed() > 0:
				return found()
			case report.Coverage < minimum:
				fmt.Fprintf(cmd.ErrOrStderr(), "coverage %.1f %% is below %.1f %%\n", report.Coverage, minimum)
				return found()
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&filter, "run", "", "run only tests whose package.name matches this regular expression")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "print tests that pass, too")
	cmd.Flags().Float64Var(&minimum, "coverage-min", 0, "fail below this coverage, in percent")
	return cmd
}

// testSources is what to test, and the library beside it: that is tested itself
// only where nothing else is named.
func testSources(paths []string) (own, library []rego.Source, err error) {
	if len(paths) == 0 {
		own, err = server.Sources(nil)
		return own, nil, err
	}
	if own, err = rego.FromPaths(paths); err != nil {
		return nil, nil, err
	}
	library, err = rego.FromFS(policies.Library())
	return own, library, err
}

func printTests(out io.Writer, report rego.TestReport, verbose bool) {
	for _, r := range report.Results {
		switch {
		case r.Skipped:
			fmt.Fprintf(out, "skip  %s  %s:%d\n", r.Name, r.File, r.Line)
		case !r.Passed:
			fmt.Fprintf(out, "FAIL  %s  %s:%d\n", r.Name, r.File, r.Line)
			for _, line := range []string{r.Error, strings.TrimSpace(r.Output)} {
				if line != "" {
					fmt.Fprintf(out, "      %s\n", strings.ReplaceAll(line, "\n", "\n      "))
				}
			}
		case verbose:
			fmt.Fprintf(out, "pass  %s\n", r.Name)
		}
	}
	fmt.Fprintf(out, "%d tests, %d failed, coverage %.1f %%\n", len(report.Results), report.Failed(), report.Coverage)
}
