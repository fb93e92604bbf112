package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"time"

	"github.com/spf13/cobra"

	"github.com/stepward/stepward/cmd/stepward/internal/output"
	"github.com/stepward/stepward/pkg/author/tester"
	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/run/rehearsal"
)

// testFlags say what to test and how to report it.
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
verified; level stands for whatever proves that level, auth_age and age for how long ago
the user authenticated and the token was issued. The answer has result, reason, status,
rule, held, required, missing, level, acr_values, max_age, scope, headers and more.

Without a path it tests the policy of -c FILE, or the shipped one if there is none.
Levels and issuers come from -c FILE, otherwise from a stepward.yaml beside or above the
first path, otherwise they are password, mfa and phishing-resistant of one issuer.

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
	cmd.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "also print tests that pass, and the coverage of each file")
	cmd.Flags().Float64Var(&f.minimum, "coverage-min", 0, "fail below this coverage, in percent")
	cmd.Flags().StringVar(&f.junit, "junit", "", "write a JUnit report to this file")
	cmd.Flags().BoolVar(&f.watch, "watch", false, "run again whenever a file changes, until Ctrl-C")
	return cmd
}

func (f *testFlags) run(cmd *cobra.Command, paths []string) error {
	if _, err := regexp.Compile(f.filter); err != nil {
		return usage(fmt.Errorf("--run: %w", err))
	}
	c, _, err := f.config.rehearsal(paths)
	if err != nil {
		return err
	}
	if len(paths) == 0 && f.config.file != "" {
		if err := rehearsal.NeedsFiles(c, c.Policy.Paths); err != nil {
			return err
		}
		paths = c.Policy.Paths
	}
	report, err := rehearsal.Test(cmd.Context(), c, paths, f.filter)
	if err != nil {
		return err
	}
	if err := f.tell(cmd, report); err != nil {
		return err
	}
	switch {
	case report.Refused != nil:
		return usage(fmt.Errorf("the policy is refused, so no scenario was played:\n%w", report.Refused))
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

func (f *testFlags) tell(cmd *cobra.Command, report tester.Report) error {
	if f.junit != "" {
		text, err := report.JUnit()
		if err != nil {
			return err
		}
		if err := os.WriteFile(f.junit, text, 0o644); err != nil {
			return usage(err)
		}
	}
	if f.asJSON {
		return output.JSON(cmd.OutOrStdout(), report)
	}
	report.Print(cmd.OutOrStdout(), f.verbose)
	return nil
}

// follow runs the tests now, and again after each change.
func (f *testFlags) follow(cmd *cobra.Command, paths []string) error {
	if len(paths) == 0 {
		return usage(errors.New("--watch needs a path"))
	}
	var seen uint64
	for {
		if now := files.Stamp(paths); now != seen {
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
