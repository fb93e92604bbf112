package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/pkg/server"
)

func newValidateCommand() *cobra.Command {
	var flags configFlags
	var asJSON, online bool
	cmd := &cobra.Command{
		Use:   "validate -c FILE",
		Short: "Check a configuration and its policy",
		Long: `Reads the configuration and the policy that it names exactly as serve does, and
prints everything that is wrong with them as file:line:column, with a hint. It
asks no identity provider, unless with --online: then what the configuration needs is
held against what each issuer says of itself.

Exits with 0 when serve would start, and with 1 when it would not.`,
		Example: `  stepward validate -c stepward.yaml
  stepward validate -c stepward.yaml --online
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
			warnings := []string{}
			if online && len(findings) == 0 {
				if findings, warnings, err = compare(cmd, flags); err != nil {
					return err
				}
			}
			out := cmd.OutOrStdout()
			if asJSON {
				e := json.NewEncoder(out)
				e.SetIndent("", "  ")
				if err := e.Encode(map[string]any{"valid": len(findings) == 0, "policy_revision": revision, "findings": findings, "warnings": warnings}); err != nil {
					return err
				}
			} else {
				for _, f := range findings {
					fmt.Fprintln(out, f)
				}
				for _, w := range warnings {
					fmt.Fprintln(out, "warning:", w)
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
	cmd.Flags().BoolVar(&online, "online", false, "ask the issuers, too")
	return cmd
}

// validate lists what keeps serve from starting. An error is for a file that
// cannot be read at all.
func validate(cmd *cobra.Command, flags configFlags) (finding.List, string, error) {
	var list finding.List
	c, err := config.Load(flags.file, config.Options{Getenv: os.Getenv, InsecurePlaintextListener: flags.insecure})
	switch {
	case errors.As(err, &list):
		return list, "", nil
	case err != nil:
		return nil, "", usage(err)
	}
	snapshot, err := server.NewSnapshot(cmd.Context(), c, server.SnapshotOptions{})
	switch {
	case errors.As(err, &list):
		return list, "", nil
	case err != nil:
		return finding.List{{File: flags.file, Line: 1, Column: 1, Code: "config", Message: err.Error()}}, "", nil
	}
	return finding.List{}, snapshot.Authorizer.Policy.Revision(), nil
}

// compare asks each issuer whether it is what the configuration takes it for. What
// keeps its tokens from being accepted is a finding, the rest a warning.
func compare(cmd *cobra.Command, flags configFlags) (finding.List, []string, error) {
	c, err := flags.read("", "")
	if err != nil {
		return nil, nil, err
	}
	list, warnings := finding.List{}, []string{}
	for n, i := range c.Issuers {
		for _, p := range server.Examine(cmd.Context(), c, i) {
			text := fmt.Sprintf("issuer %s: %s: %s", i.Name, p.Name, p.Detail)
			switch {
			case p.Grade == "fail" && !i.Optional:
				list = append(list, finding.Finding{File: flags.file, Line: 1, Column: 1, Code: "issuer", Path: fmt.Sprintf("issuers[%d]", n), Message: text, Hint: p.Hint})
			case p.Grade != "ok":
				warnings = append(warnings, text)
			}
		}
	}
	return list, warnings, nil
}
