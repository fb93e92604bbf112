package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// groups lists the groups of commands, in the order in which people meet them.
func groups() []*cobra.Group {
	return []*cobra.Group{
		{ID: "begin", Title: "Begin:"},
		{ID: "policy", Title: "Write a policy and see what it does:"},
		{ID: "run", Title: "Run the service and watch it:"},
		{ID: "more", Title: "More:"},
	}
}

// groupOf names the group of each command; a command that is not listed is in none.
var groupOf = map[string]string{
	"init": "begin", "demo": "begin", "doctor": "begin",
	"validate": "policy", "test": "policy", "explain": "policy", "eval": "policy", "matrix": "policy",
	"playground": "policy", "replay": "policy", "migrate": "policy",
	"serve": "run", "console": "run", "issuers": "run", "revoke": "run", "health": "run",
	"conformance": "more", "schema": "more", "version": "more", "completion": "more", "help": "more",
}

// usageText is what --help prints below the description: how to call the command, examples,
// and its flags, with those that give up a protection listed separately.
func usageText(c *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage:\n  %s\n", c.UseLine())
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "  %s COMMAND\n", c.CommandPath())
	}
	if c.HasExample() {
		fmt.Fprintf(&b, "\nExamples:\n%s\n", c.Example)
	}
	list := func(title, group string) {
		lines := ""
		for _, below := range c.Commands() {
			if below.GroupID == group && (below.IsAvailableCommand() || below.Name() == "help") {
				lines += fmt.Sprintf("  %-*s %s\n", below.NamePadding(), below.Name(), below.Short)
			}
		}
		if lines != "" {
			fmt.Fprintf(&b, "\n%s\n%s", title, lines)
		}
	}
	for _, g := range c.Groups() {
		list(g.Title, g.ID)
	}
	list("Commands:", "")
	plain, insecure := apart(c.LocalFlags())
	if plain.HasAvailableFlags() {
		fmt.Fprintf(&b, "\nFlags:\n%s", plain.FlagUsages())
	}
	if insecure.HasAvailableFlags() {
		fmt.Fprintf(&b, "\nInsecure flags (each gives up a protection):\n%s", insecure.FlagUsages())
	}
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "\n%s COMMAND --help says more about one.\n", c.CommandPath())
	}
	return b.String()
}

// apart separates the flags that give up a protection from the others. Each is a copy for
// printing: a switch is shown as --json and not as --json[=true|false].
func apart(all *pflag.FlagSet) (plain, insecure *pflag.FlagSet) {
	plain, insecure = pflag.NewFlagSet("", pflag.ContinueOnError), pflag.NewFlagSet("", pflag.ContinueOnError)
	all.VisitAll(func(f *pflag.Flag) {
		if f.Value.Type() == "bool" {
			shown := *f
			shown.Value = struct{ pflag.Value }{f.Value}
			f = &shown
		}
		if strings.HasPrefix(f.Name, "insecure-") {
			insecure.AddFlag(f)
		} else {
			plain.AddFlag(f)
		}
	})
	return plain, insecure
}
