package main

import (
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/stepward/stepward/cmd/stepward/internal/output"
	"github.com/stepward/stepward/pkg/run/control"
	"github.com/stepward/stepward/pkg/run/doctor"
)

func newIssuersCommand() *cobra.Command {
	var f controlled
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "issuers -c FILE",
		Short: "See how the issuers of a running service stand",
		Long: `Prints for each issuer of a service that runs on this machine whether its tokens can
be verified, with which keys, when they were fetched, what the last fetch came to, and
what the issuer does not say that it can. It asks at the control socket and calls no
issuer; stepward doctor --issuers does.

Exits with 0 when tokens of every issuer can be verified, and with 1 when not.`,
		Example: `  stepward issuers -c stepward.yaml
  stepward issuers --control unix:///run/stepward-control.sock --json`,
		Args: f.only,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := f.client()
			if err != nil {
				return err
			}
			list, err := client.Issuers(cmd.Context())
			if err != nil {
				return err
			}
			return printIssuers(cmd.OutOrStdout(), list, asJSON)
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// printIssuers prints the state of issuers. If an issuer's tokens cannot be verified, that
// is a finding.
func printIssuers(out io.Writer, list []control.Issuer, asJSON bool) error {
	if asJSON {
		if err := output.JSON(out, list); err != nil {
			return err
		}
	}
	p := &output.Painter{Out: out, Colour: output.Coloured(os.Stdout)}
	well := true
	for _, i := range list {
		well = well && i.Usable
		if !asJSON {
			p.Symptom(symptomOf(i))
		}
	}
	if !well {
		return found()
	}
	return nil
}

// symptomOf describes the state of an issuer as a doctor does.
func symptomOf(i control.Issuer) doctor.Symptom {
	s := doctor.Symptom{Name: i.Name, Grade: "ok", Detail: i.State}
	switch {
	case !i.Usable:
		s.Grade = "fail"
	case i.Error != "" || len(i.Warnings) > 0:
		s.Grade = "warn"
	}
	for _, more := range slices.Concat(i.Skipped, i.Warnings) {
		s.Detail += "\n" + more
	}
	return s
}
