package main

import (
	"github.com/spf13/cobra"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/policy"
)

func newSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema [config | input | result]",
		Short: "Print a JSON Schema, for editors",
		Long: `Prints the JSON Schema (2020-12) of stepward.yaml, for editors that complete and
check it. A first line such as this binds it in most of them:

  # yaml-language-server: $schema=stepward.schema.json

input is the schema of what a policy reads; references are checked against it when the
policy is loaded. result is the schema of what the entry rules yield.`,
		Example: `  stepward schema > stepward.schema.json
  stepward schema input > input.schema.json`,
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"config", "input", "result"},
		RunE: func(cmd *cobra.Command, args []string) error {
			which := "config"
			if len(args) == 1 {
				which = args[0]
			}
			_, err := cmd.OutOrStdout().Write(map[string][]byte{"config": config.Schema, "input": policy.InputSchema,
				"result": policy.ResultSchema}[which])
			return err
		},
	}
}
