package main

import (
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/stepward/stepward/cmd/stepward/internal/output"
	"github.com/stepward/stepward/pkg/run/doctor"
)

func newDoctorCommand() *cobra.Command {
	var flags configFlags
	var asJSON, issuers bool
	cmd := &cobra.Command{
		Use:   "doctor -c FILE",
		Short: "See whether the service can run here",
		Long: `Looks at what serve would need on this machine: configuration and policy, free
addresses, files and who may read them. It also talks to every issuer: whether it can be
reached and is exactly the one that is configured, which of its keys can be used, whether
algorithms and levels are those that it has, how far the clocks differ, and what it
supports.

Exits with 0 when serve would run well, and with 1 when something is wrong.`,
		Example: `  stepward doctor -c stepward.yaml
  stepward doctor -c stepward.yaml --issuers
  stepward doctor -c stepward.yaml --json`,
		Args: flags.only,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list []doctor.Symptom
			switch c, err := flags.read(nil); {
			case err != nil:
				list = doctor.Refused(err)
			case issuers:
				list = doctor.ExamineIssuers(cmd.Context(), c)
			default:
				list = doctor.Examine(cmd.Context(), c)
			}
			return printSymptoms(cmd.OutOrStdout(), list, asJSON)
		},
	}
	flags.addServing(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&issuers, "issuers", false, "look only at the issuers, as where serve already runs")
	return cmd
}

// printSymptoms prints what the doctor saw. A failure is a finding.
func printSymptoms(out io.Writer, list []doctor.Symptom, asJSON bool) error {
	if asJSON {
		if err := output.JSON(out, list); err != nil {
			return err
		}
	}
	p := &output.Painter{Out: out, Colour: output.Coloured(os.Stdout)}
	for _, s := range list {
		if !asJSON {
			p.Symptom(s)
		}
	}
	if doctor.Failed(list) {
		return found()
	}
	return nil
}
