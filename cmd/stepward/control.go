package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/stepward/stepward/pkg/run/control"
)

// controlled holds the flags of commands that ask a running service: where it is, or the
// configuration that says so.
type controlled struct {
	configFlags
	address string
}

func (f *controlled) add(cmd *cobra.Command) {
	f.configFlags.add(cmd)
	f.addAddress(cmd)
}

func (f *controlled) addAddress(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.address, "control", "",
		"control socket of the service, as unix:///path, instead of the configured one")
}

// client returns a client of the socket that the flag names, or otherwise of the one in the
// configuration.
func (f controlled) client() (*control.Client, error) {
	address := f.address
	if address == "" {
		c, err := f.load()
		if err != nil {
			return nil, err
		}
		if address = c.Control; address == "" {
			return nil, usage(errors.New("the configuration names no control socket; " +
				"add `control: unix:///run/stepward-control.sock`, or pass --control"))
		}
	}
	client, err := control.NewClient(address)
	if err != nil {
		return nil, usage(err)
	}
	return client, nil
}
