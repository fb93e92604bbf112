package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/finding"
)

// configFlags are the flags of commands that read a configuration.
type configFlags struct {
	file     string
	insecure bool
	network  bool
	bundles  bool // may come without TLS
	nobody   bool // may be trusted
}

// add is for commands that serve nothing, fetch no bundle and run no policy of
// opa-envoy-plugin: what would be insecure there cannot harm here.
func (f *configFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.file, "config", "c", "", "configuration file (STEPWARD_CONFIG)")
	f.insecure, f.bundles, f.nobody = true, true, true
}

// addDeciding is for commands that run policies of opa-envoy-plugin, too.
func (f *configFlags) addDeciding(cmd *cobra.Command) {
	f.add(cmd)
	cmd.Flags().BoolVar(&f.network, "insecure-policy-network", false,
		"permit policies of opa-envoy-plugin to call other hosts")
}

// addServing is for commands that serve, and those that say what serve would do.
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

// only takes the one argument that a command can have which works on nothing but a
// configuration.
func (f *configFlags) only(cmd *cobra.Command, args []string) error {
	if len(args) == 1 && isConfiguration(args[0]) {
		return f.take(args[0])
	}
	if len(args) > 1 && isConfiguration(args[0]) {
		args = args[1:]
	}
	return noArguments(cmd, args)
}

// take makes name the configuration, unless another one is named with -c.
func (f *configFlags) take(name string) error {
	if f.file != "" && f.file != name {
		return usage(fmt.Errorf("two configurations, %s with -c and %s: name one", f.file, name))
	}
	f.file = name
	return nil
}

// besides takes a configuration from arguments that are else the paths of a policy: it is
// the only one, or has the name that configurations have. The rest are the paths.
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
func (f *configFlags) load(listen, admin string) (config.Config, error) {
	c, err := f.read(nil, listen, admin)
	return c, unusable(err)
}

// unusable is an error of package config as one of what the user wrote.
func unusable(err error) error {
	if list := (finding.List)(nil); errors.As(err, &list) {
		return usage(fmt.Errorf("the configuration is refused:\n%w", err))
	}
	if err != nil {
		return usage(err)
	}
	return nil
}

// read is load with the errors of package config. A look that is nil is one of its own.
func (f *configFlags) read(look *files.Look, listen, admin string) (config.Config, error) {
	file := f.file
	if file == "" {
		file = os.Getenv("STEPWARD_CONFIG")
	}
	if file == "" {
		return config.Config{}, noConfiguration("")
	}
	o := f.options(listen, admin)
	o.Look = look
	return config.Load(file, o)
}

// options are what the flags say about a configuration.
func (f *configFlags) options(listen, admin string) config.Options {
	return config.Options{Getenv: os.Getenv, InsecurePlaintextListener: f.insecure, InsecurePolicyNetwork: f.network,
		InsecureBundles: f.bundles, InsecureNoIssuers: f.nobody, Listen: listen, Admin: admin}
}

// noConfiguration is the error of who named none, or anything else that would do.
func noConfiguration(or string) error {
	for _, name := range []string{"stepward.yaml", "stepward.yml"} {
		if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
			return fmt.Errorf("no configuration; here is one: add -c %s%s", name, or)
		}
	}
	return fmt.Errorf("no configuration; name one with -c FILE%s (stepward init writes one to start from)", or)
}
