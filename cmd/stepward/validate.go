package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/rego"
	"github.com/stepward/stepward/pkg/server"
)

// finding is one of the configuration's or of the policy's.
type finding struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

func newValidateCommand() *cobra.Command {
	var flags configFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "validate -c FILE",
		Short: "Check a configuration and its policy",
		Long: `Reads the configuration and the policy that it names exactly as serve does, and
prints everything that is wrong with them as file:line:column, with a hint. It
asks no identity provider.

Exits with 0 when serve would start, and with 1 when it would not.`,
		Example: `  stepward validate -c stepward.yaml
  stepward validate -c stepward.yaml --json | jq .findings`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if flags.file == "" {
				flags.file = os.Getenv("STEPWARD_CONFIG")
			}
			if flags.file == "" {
				return usage(errors.New("no configuration; name one with -c FILE"))
			}
			findings, revision, err := validate(cmd, flags)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if asJSON {
				e := json.NewEncoder(out)
				e.SetIndent("", "  ")
				if err := e.Encode(map[string]any{"valid": len(findings) == 0, "policy_revision": revision, "findings": findings}); err != nil {
					return err
				}
			} else {
				for _, f := range findings {
					fmt.Fprintln(out, config.Finding{File: f.File, Line: f.Line, Column: f.Column, Message: f.Message, Hint: f.Hint})
				}
				if len(findings) == 0 {
					fmt.Fprintf(out, "%s is valid; policy revision %s\n", flags.file, revision)
				}
			}
			if len(findings) > 0 {
				return found()
			}
			return nil
		},
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// validate lists what keeps serve from starting. An error is for a file that
// cannot be read at all.
func validate(cmd *cobra.Command, flags configFlags) ([]finding, string, error) {
	findings := []finding{}
	c, err := config.Load(flags.file, config.Options{Getenv: os.Getenv, InsecurePlaintextListener: flags.insecure})
	var ofConfig config.Findings
	if errors.As(err, &ofConfig) {
		for _, f := range ofConfig {
			findings = append(findings, finding{f.File, f.Line, f.Column, "config", f.Message, f.Hint})
		}
		return findings, "", nil
	}
	if err != nil {
		return nil, "", usage(err)
	}
	snapshot, err := server.NewSnapshot(cmd.Context(), c, server.SnapshotOptions{})
	var ofPolicy rego.Findings
	switch {
	case errors.As(err, &ofPolicy):
		for _, f := range ofPolicy {
			findings = append(findings, finding(f))
		}
		return findings, "", nil
	case err != nil:
		return append(findings, finding{File: flags.file, Line: 1, Column: 1, Code: "config", Message: err.Error()}), "", nil
	}
	return findings, snapshot.Authorizer.Policy.Revision(), nil
}
