package main

import (
	"encoding/json"
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func newVersionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			info := buildInfo()
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(info)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "stepward %s\ncommit %s\n%s\n", info["version"], info["commit"], info["go"])
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func version() string { return buildInfo()["version"] }

// buildInfo is what the go command recorded in the binary.
func buildInfo() map[string]string {
	out := map[string]string{"version": "devel", "commit": "unknown", "go": "unknown"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return out
	}
	out["go"] = info.GoVersion
	if v := info.Main.Version; v != "" && v != "(devel)" {
		out["version"] = v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			out["commit"] = s.Value
		}
	}
	return out
}
