package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"time"

	"github.com/spf13/cobra"

	"github.com/stepward/stepward/cmd/stepward/internal/output"
	"github.com/stepward/stepward/envoy"
	"github.com/stepward/stepward/pkg/run/conformance"
)

// conformanceFlags choose what runs where.
type conformanceFlags struct {
	envoy   bool
	address string
	fixture string
	write   string
	path    string
	filter  string
	asJSON  bool
	verbose bool
}

func newConformanceCommand() *cobra.Command {
	var f conformanceFlags
	cmd := &cobra.Command{
		Use:   "conformance [--envoy | --grpc ADDRESS --fixture DIR]",
		Short: "Check what clients and upstreams rely on",
		Long: `Runs the conformance cases: what a client sends, what the client and the upstream
must see, and the clause behind it.

With --envoy each case goes through a real Envoy with the bundled configuration, a
Stepward and an upstream, all started for it. With --grpc the cases go to a
Stepward that runs elsewhere. It must serve the fixture whose keys sign the cases'
tokens: write it with --write-fixture, and serve it there. Without either the
cases run in process.

A case that a way cannot bring about counts as not reachable, not as passed.
Exits with 1 when a case fails.`,
		Example: `  stepward conformance --envoy
  stepward conformance --envoy --run '^browser-' -v

  stepward conformance --write-fixture fixture
  stepward serve -c fixture/stepward.yaml &
  stepward conformance --grpc 127.0.0.1:9191 --fixture fixture`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	cmd.Flags().BoolVar(&f.envoy, "envoy", false, "go through a real Envoy")
	cmd.Flags().StringVar(&f.address, "grpc", "", "go to the Stepward at this address")
	cmd.Flags().StringVar(&f.fixture, "fixture", "", "folder with the fixture that it serves")
	cmd.Flags().StringVar(&f.write, "write-fixture", "", "write the fixture into this folder, and stop")
	cmd.Flags().StringVar(&f.path, "envoy-path", "", "Envoy to run (ENVOY_PATH)")
	cmd.Flags().StringVar(&f.filter, "run", "", "run only cases whose id matches this regular expression")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "also print cases that pass")
	cmd.MarkFlagsMutuallyExclusive("envoy", "grpc", "write-fixture")
	cmd.MarkFlagsRequiredTogether("grpc", "fixture")
	return cmd
}

func (f *conformanceFlags) run(cmd *cobra.Command) error {
	suite, err := conformance.Load()
	if err != nil {
		return err
	}
	if f.write != "" {
		if err := conformance.WriteFixture(suite, f.write); err != nil {
			return usage(err)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "wrote %s; serve it with\n  stepward serve -c %s\n", f.write,
			output.Quoted(filepath.Join(f.write, "stepward.yaml")))
		return nil
	}
	filter, err := regexp.Compile(f.filter)
	if err != nil {
		return usage(fmt.Errorf("--run: %w", err))
	}
	rig, err := f.rig(suite)
	if err != nil {
		return usage(err)
	}
	defer rig.Close()
	driver, err := f.driver(cmd, rig)
	if err != nil {
		return usage(err)
	}
	defer driver.Close()
	out := cmd.OutOrStdout()
	report := conformance.Run(cmd.Context(), driver, suite, filter, func(r conformance.Result) {
		switch {
		case f.asJSON:
		case len(r.Problems) > 0:
			fmt.Fprintf(out, "FAIL  %s  %s (%s)\n", r.ID, r.Title, r.Clause)
			for _, p := range r.Problems {
				fmt.Fprintf(out, "      %s\n", p)
			}
		case f.verbose && r.Unreachable != "":
			fmt.Fprintf(out, "----  %s  %s\n", r.ID, r.Unreachable)
		case f.verbose:
			fmt.Fprintf(out, "pass  %s  %s\n", r.ID, r.Title)
		}
	})
	if f.asJSON {
		if err := output.JSON(out, report); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(out, "%s: %d passed, %d failed, %d not reachable this way\n", report.Driver, report.Passed,
			report.Failed, report.Unreachable)
	}
	switch {
	case cmd.Context().Err() != nil:
		return errors.New("interrupted")
	case report.Failed > 0:
		return found()
	case report.Passed == 0:
		return usage(errors.New("no case matches"))
	}
	return nil
}

func (f *conformanceFlags) rig(suite conformance.Suite) (*conformance.Rig, error) {
	if f.address != "" {
		return conformance.OpenFixture(suite, f.fixture)
	}
	return conformance.NewRig(suite)
}

func (f *conformanceFlags) driver(cmd *cobra.Command, rig *conformance.Rig) (conformance.Driver, error) {
	switch {
	case f.envoy:
		path, err := envoy.Get(cmd.Context(), f.path, cmd.ErrOrStderr())
		if err != nil {
			return nil, err
		}
		return conformance.ThroughEnvoy(rig, path)
	case f.address != "":
		if err := f.reach(cmd); err != nil {
			return nil, err
		}
		return conformance.OverGRPC(rig, f.address), nil
	}
	return conformance.InProcess(rig), nil
}

// reach reports a missing service once, instead of in every case.
func (f *conformanceFlags) reach(cmd *cobra.Command) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), 10*time.Second)
	defer cancel()
	if err := conformance.Reach(ctx, f.address); err != nil {
		return fmt.Errorf("no Stepward answers at %s: %w\nserve the fixture there: stepward serve -c %s --listen %s",
			f.address, err, output.Quoted(filepath.Join(f.fixture, "stepward.yaml")), f.address)
	}
	return nil
}
