package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/files"
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

func (f *configFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.file, "config", "c", "", "configuration file (STEPWARD_CONFIG)")
	cmd.Flags().BoolVar(&f.insecure, "insecure-plaintext-listener", false, "permit a Check listener off loopback without TLS")
	cmd.Flags().BoolVar(&f.network, "insecure-policy-network", false, "permit policies of opa-envoy-plugin to call other hosts")
	cmd.Flags().BoolVar(&f.bundles, "insecure-bundles", false, "permit bundles and decision logs off loopback without TLS")
	cmd.Flags().BoolVar(&f.nobody, "insecure-no-issuers", false, "permit issuers: [], where nobody can sign in")
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
		return config.Config{}, errors.New("no configuration; name one with -c FILE")
	}
	o := f.options(listen, admin)
	o.Look = look
	return config.Load(file, o)
}

// options are what the flags say about a configuration.
func (f *configFlags) options(listen, admin string) config.Options {
	return config.Options{Getenv: os.Getenv, InsecurePlaintextListener: f.insecure, InsecurePolicyNetwork: f.network, InsecureBundles: f.bundles, InsecureNoIssuers: f.nobody, Listen: listen, Admin: admin}
}
