package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/stepward/stepward/cmd/stepward/internal/output"
	"github.com/stepward/stepward/pkg/engine/opaenvoy"
	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/pkg/rollout/bundle"
)

func newMigrateCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "migrate", Short: "Read the configuration of another service and write ours"}
	cmd.AddCommand(newMigrateOPAEnvoyCommand())
	return cmd
}

// migrateFlags say what to migrate, and where to.
type migrateFlags struct {
	out      string
	policies []string
	force    bool
}

func newMigrateOPAEnvoyCommand() *cobra.Command {
	var f migrateFlags
	cmd := &cobra.Command{
		Use:   "opa-envoy CONFIG",
		Short: "Write a stepward.yaml from the configuration of OPA with opa-envoy-plugin",
		Long: `Reads the configuration file of an OPA that runs opa-envoy-plugin, in YAML or JSON, and
prints a stepward.yaml under which the same policy decides on the same port. What has no
counterpart is listed in comments at its end, and on standard error, each with a hint.
File names are relative to the file that -o writes; on standard output, to this folder.

Bundles, discovery, decision logs and status continue to use the same file, which stays
as it is: stepward.yaml names it in bundles.config_file. If the policy is in files
instead, OPA takes them from its command line; name them with --policy. Then:

  stepward validate -c stepward.yaml
  stepward serve -c stepward.yaml`,
		Example: `  stepward migrate opa-envoy opa.yaml --policy policy.rego -o stepward.yaml`,
		Args:    cobra.ExactArgs(1),
		RunE:    f.run,
	}
	cmd.Flags().StringVarP(&f.out, "output", "o", "", "file to write, instead of standard output")
	cmd.Flags().StringArrayVar(&f.policies, "policy", nil,
		"file or folder that OPA was given; more than once for more "+
			"(default policies, or none where there are bundles)")
	cmd.Flags().BoolVar(&f.force, "force", false, "overwrite the file")
	return cmd
}

func (f *migrateFlags) run(cmd *cobra.Command, args []string) error {
	text, err := readFile(cmd, args[0])
	if err != nil {
		return usage(err)
	}
	written, notes, err := opaenvoy.Migration{
		Name: args[0], Text: text, Policies: f.policies, Refusals: refusedBundles,
		Seen: func(name string) string { return opaenvoy.SeenFrom(f.out, name) },
	}.Migrate()
	if list := (finding.List)(nil); errors.As(err, &list) {
		return usage(fmt.Errorf("the configuration of OPA is refused:\n%w", list))
	}
	if err != nil {
		return usage(fmt.Errorf("%s: %w", args[0], err))
	}
	for _, n := range notes {
		fmt.Fprintln(cmd.ErrOrStderr(), n)
	}
	return f.write(cmd, written)
}

// refusedBundles returns the settings that OPA's plugins would refuse here.
func refusedBundles(name string, text []byte) (list finding.List) {
	_, err := bundle.Parse(name, text, bundle.ParseOptions{})
	errors.As(err, &list)
	return list
}

func (f *migrateFlags) write(cmd *cobra.Command, text []byte) error {
	if f.out == "" {
		_, err := cmd.OutOrStdout().Write(text)
		return err
	}
	if _, err := os.Lstat(f.out); err == nil && !f.force {
		return usage(fmt.Errorf("%s already exists; --force overwrites it", f.out))
	}
	if err := os.MkdirAll(filepath.Dir(f.out), 0o755); err != nil {
		return usage(err)
	}
	if err := os.WriteFile(f.out, text, 0o644); err != nil {
		return usage(err)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "wrote %s; next:\n  stepward validate -c %s\n", f.out, output.Quoted(f.out))
	return nil
}
