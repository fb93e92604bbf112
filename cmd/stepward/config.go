package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/pkg/run/rehearsal"
)

// configFlags are the flags of commands that read a configuration.
type configFlags struct {
	file     string
	listen   string // replaces the configured address
	admin    string // likewise
	insecure bool
	network  bool
	bundles  bool // permit bundles without TLS
	nobody   bool // permit an empty list of issuers
}

// add adds the flags of commands that serve nothing, fetch no bundle and run no policy for
// opa-envoy-plugin: settings that would be insecure elsewhere do no harm here. So commands
// that ask a running service permit whatever that service was permitted.
func (f *configFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.file, "config", "c", "", "configuration file (STEPWARD_CONFIG)")
	f.insecure, f.bundles, f.nobody = true, true, true
}

// addDeciding adds the flags of commands that also run policies for opa-envoy-plugin.
func (f *configFlags) addDeciding(cmd *cobra.Command) {
	f.add(cmd)
	cmd.Flags().BoolVar(&f.network, "insecure-policy-network", false,
		"permit policies of opa-envoy-plugin to call other hosts")
}

// addServing adds the flags of commands that serve, or say what serve would do.
func (f *configFlags) addServing(cmd *cobra.Command) {
	f.addDeciding(cmd)
	cmd.Flags().BoolVar(&f.insecure, "insecure-plaintext-listener", false,
		"permit a Check listener off loopback without TLS")
	cmd.Flags().BoolVar(&f.bundles, "insecure-bundles", false,
		"permit bundles and decision logs off loopback without TLS")
	cmd.Flags().BoolVar(&f.nobody, "insecure-no-issuers", false, "permit issuers: [], where nobody can sign in")
}

// isConfiguration reports whether an argument names a configuration, by its name.
func isConfiguration(name string) bool {
	return filepath.Ext(name) == ".yaml" || filepath.Ext(name) == ".yml"
}

// only takes the one argument of a command that works on a configuration alone.
func (f *configFlags) only(cmd *cobra.Command, args []string) error {
	if len(args) == 1 && isConfiguration(args[0]) {
		return f.take(args[0])
	}
	if len(args) > 1 && isConfiguration(args[0]) {
		args = args[1:]
	}
	return noArguments(cmd, args)
}

// take makes name the configuration, unless -c names another one.
func (f *configFlags) take(name string) error {
	if f.file != "" && f.file != name {
		return usage(fmt.Errorf("two configurations, %s with -c and %s: name one", f.file, name))
	}
	f.file = name
	return nil
}

// besides takes a configuration from arguments that otherwise are paths of a policy, if it
// is the only argument or is named like a configuration. It returns the paths.
func (f *configFlags) besides(args []string) (paths []string, err error) {
	for _, name := range args {
		switch base := filepath.Base(name); {
		case len(args) == 1 && f.file == "" && isConfiguration(name), base == "stepward.yaml", base == "stepward.yml":
			if err := f.take(name); err != nil {
				return nil, err
			}
		default:
			paths = append(paths, name)
		}
	}
	return paths, nil
}

// load reads the configuration that the flags name.
func (f *configFlags) load() (config.Config, error) {
	c, err := f.read(nil)
	return c, unusable(err)
}

// unusable blames an error of package config on what the user wrote.
func unusable(err error) error {
	if list := (finding.List)(nil); errors.As(err, &list) {
		return usage(fmt.Errorf("the configuration is refused:\n%w", err))
	}
	if err != nil {
		return usage(err)
	}
	return nil
}

// read does what load does, and returns the errors of package config unchanged. A nil look
// means a new one.
func (f *configFlags) read(look *files.Look) (config.Config, error) {
	file := f.name()
	if file == "" {
		return config.Config{}, noConfiguration("")
	}
	return config.Load(file, config.Options{
		Getenv: os.Getenv, Look: look, InsecurePlaintextListener: f.insecure, InsecurePolicyNetwork: f.network,
		InsecureBundles: f.bundles, InsecureNoIssuers: f.nobody, Listen: f.listen, Admin: f.admin,
	})
}

// name returns the file that the flags or the environment name, or nothing.
func (f *configFlags) name() string { return cmp.Or(f.file, os.Getenv("STEPWARD_CONFIG")) }

// rehearsal reads the configuration that the flags name, or otherwise a stepward.yaml next
// to or above the first of the paths, or otherwise the built-in one. It also returns its
// file, which is empty for the built-in one.
func (f *configFlags) rehearsal(paths []string) (c config.Config, file string, err error) {
	played := *f
	played.insecure, played.nobody = true, true // nothing is served
	if played.name() == "" && len(paths) > 0 {
		played.file = rehearsal.Beside(paths[0])
	}
	if played.name() == "" {
		c, err = rehearsal.Default()
		return c, "", err
	}
	c, err = played.load()
	return c, played.name(), err
}

// noConfiguration says that neither a configuration was named nor anything else that would
// do.
func noConfiguration(or string) error {
	for _, name := range []string{"stepward.yaml", "stepward.yml"} {
		if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
			return fmt.Errorf("no configuration; here is one: add -c %s%s", name, or)
		}
	}
	return fmt.Errorf("no configuration; name one with -c FILE%s (stepward init writes one to start from)", or)
}
