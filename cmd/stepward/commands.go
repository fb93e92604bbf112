package main

import "github.com/spf13/cobra"

// commands lists what there is, in the order in which people meet it.
func commands() []*cobra.Command {
	return []*cobra.Command{
		newInitCommand(), newServeCommand(), newValidateCommand(), newExplainCommand(), newTestCommand(),
		newConsoleCommand(),
		newConformanceCommand(), newDemoCommand(),
		newMatrixCommand(), newEvalCommand(), newReplayCommand(), newPlaygroundCommand(), newMigrateCommand(),
		newDoctorCommand(), newIssuersCommand(), newRevokeCommand(), newHealthCommand(), newSchemaCommand(),
		newVersionCommand(),
	}
}
