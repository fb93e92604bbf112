package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stepward/stepward/pkg/finding/visible"
)

// commands lists all commands, in the order in which people meet them.
func commands() []*cobra.Command {
	return []*cobra.Command{
		newInitCommand(), newServeCommand(), newValidateCommand(), newExplainCommand(), newTestCommand(),
		newConsoleCommand(), newConformanceCommand(), newDemoCommand(), newMatrixCommand(), newEvalCommand(),
		newReplayCommand(), newPlaygroundCommand(), newMigrateCommand(), newDoctorCommand(), newIssuersCommand(),
		newRevokeCommand(), newHealthCommand(), newSchemaCommand(), newVersionCommand(),
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
	root.SetOut(visible.NewWriter(os.Stdout)) // text from clients is shown, but cannot control the terminal
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

// finish makes errors of c and of its subcommands internal ones, unless they say whose
// fault they are. A command that only has subcommands shows its help, and takes no
// arguments.
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

// noArguments refuses arguments, and suggests commands with a similar name.
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

// readFile reads a file, or standard input for "-".
func readFile(cmd *cobra.Command, name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(cmd.InOrStdin())
	}
	return os.ReadFile(name)
}
