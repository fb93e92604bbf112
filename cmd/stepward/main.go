// Command stepward is step-up authentication at the load balancer: the service
// that Envoy asks, and the tools to write, check and try its policies.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/stepward/stepward/pkg/finding/visible"
	"github.com/stepward/stepward/pkg/run/control"
)

// Exit codes of every command.
const (
	exitFine     = 0
	exitFound    = 1 // a check that ran found something: a finding, a failed test, an unexpected answer
	exitUsage    = 2 // usage or configuration
	exitInternal = 3
)

// exitError is an error with the code to exit with. Its text has been shown
// already when it is empty.
type exitError struct {
	code int
	err  error
}

func (e exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e exitError) Unwrap() error { return e.err }

// found ends a command that has shown what it found.
func found() error { return exitError{code: exitFound} }

// usage is an error of what the user wrote.
func usage(err error) error { return exitError{code: exitUsage, err: err} }

func main() { os.Exit(run()) }

func run() int {
	// The first signal ends ctx and with it the command, in good order; a second
	// one ends the process.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() { <-ctx.Done(); stop() }()
	err := newRootCommand().ExecuteContext(ctx)
	if err == nil {
		return exitFine
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(visible.NewWriter(os.Stderr), "stepward: "+text)
	}
	var exit exitError
	if errors.As(err, &exit) {
		return exit.code
	}
	return exitUsage // cobra's own: an unknown command, flags or arguments that do not fit
}

// internalUnless makes an error of a command that ran an internal one, unless it
// says what it is.
func internalUnless(command func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		err := command(cmd, args)
		var exit exitError
		switch {
		case err == nil || errors.As(err, &exit):
			return err
		case errors.Is(err, control.ErrUnreachable), errors.Is(err, control.ErrRefused):
			return usage(err)
		}
		return exitError{code: exitInternal, err: err}
	}
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "stepward",
		Short: "Step-up authentication at the load balancer",
		Long: `Stepward answers Envoy's ext_authz calls: it validates the token, asks a Rego
policy what strength of authentication the request requires, and lets it through,
sends the browser to log in again, or challenges the API client (RFC 9470).

Wherever a command takes -c FILE, the file may stand as an argument as well:
stepward validate stepward.yaml. STEPWARD_CONFIG names one for all commands.

Exit codes: 0 fine, 1 a check found something, 2 usage or configuration,
3 internal.`,
		Example: `  stepward demo                     watch a step-up happen behind a real Envoy
  stepward validate -c stepward.yaml
  stepward explain -c stepward.yaml POST https://app.example.com/payments
  stepward serve -c stepward.yaml`,
		SilenceUsage: true, SilenceErrors: true, SuggestionsMinimumDistance: 2, Args: noArguments, RunE: showHelp,
	}
	root.SetOut(visible.NewWriter(os.Stdout)) // what a client or a provider has written is shown, and commands nothing
	root.SetErr(visible.NewWriter(os.Stderr))
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w\nsee %s --help", err, cmd.CommandPath())
	})
	root.SetUsageFunc(func(c *cobra.Command) error {
		_, err := fmt.Fprint(c.OutOrStderr(), usageText(c))
		return err
	})
	root.AddGroup(groups()...)
	root.AddCommand(commands()...)
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpCmd()
	for _, c := range root.Commands() {
		c.GroupID = groupOf[c.Name()]
		finish(c)
	}
	return root
}

// finish makes errors of c and of the commands below it internal ones, unless they say
// what they are. A command that only has others shows its help, and takes no arguments.
func finish(c *cobra.Command) {
	if !c.Runnable() {
		c.SuggestionsMinimumDistance, c.Args, c.RunE = 2, noArguments, showHelp
	}
	if c.RunE != nil {
		c.RunE = internalUnless(c.RunE)
	}
	for _, below := range c.Commands() {
		finish(below)
	}
}

func showHelp(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// noArguments refuses arguments, and names commands that are spelt nearly so.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if !cmd.HasAvailableSubCommands() {
		return fmt.Errorf("unexpected %q\nsee %s --help", args[0], cmd.CommandPath())
	}
	hint := ""
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return fmt.Errorf("unknown command %q%s\nsee %s --help", args[0], hint, cmd.CommandPath())
}
