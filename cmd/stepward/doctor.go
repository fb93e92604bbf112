package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/run/server"
	"github.com/stepward/stepward/pkg/run/snapshot"
)

// symptom is one thing that the doctor has looked at.
type symptom struct {
	Name   string `json:"name"`
	Grade  string `json:"grade"` // ok, warn or fail
	Detail string `json:"detail,omitempty"`
	Hint   string `json:"hint,omitempty"`
}

func newDoctorCommand() *cobra.Command {
	var flags configFlags
	var asJSON, issuers bool
	cmd := &cobra.Command{
		Use:   "doctor -c FILE",
		Short: "See whether the service can run here",
		Long: `Looks at what serve would need on this machine: configuration and policy, free
addresses, files and who may read them, and every issuer, to which it talks: whether
it can be reached and is exactly the one that is configured, which of its keys can be
used, whether algorithms and levels are those that it has, how far the clocks differ,
and what it supports.

Exits with 0 when serve would run well, and with 1 when something is wrong.`,
		Example: `  stepward doctor -c stepward.yaml
  stepward doctor -c stepward.yaml --issuers
  stepward doctor -c stepward.yaml --json`,
		Args: flags.only,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list := examine(cmd.Context(), flags, issuers)
			if asJSON {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				if err := e.Encode(list); err != nil {
					return err
				}
			} else {
				p := &painter{out: cmd.OutOrStdout(), colour: coloured(os.Stdout)}
				for _, s := range list {
					p.symptom(s)
				}
			}
			for _, s := range list {
				if s.Grade == "fail" {
					return found()
				}
			}
			return nil
		},
	}
	flags.addServing(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&issuers, "issuers", false, "look at the issuers alone, as where serve runs already")
	return cmd
}

func (p *painter) symptom(s symptom) {
	mark := map[string]string{"ok": p.paint(green, "✓"), "warn": p.paint(yellow, "!"),
		"fail": p.paint(red, "✗")}[s.Grade]
	p.printf("%s %-24s %s\n", mark, s.Name, strings.ReplaceAll(s.Detail, "\n", "\n"+strings.Repeat(" ", 27)))
	if s.Hint != "" {
		p.printf("  %-24s %s\n", "", p.paint(dim, s.Hint))
	}
}

func examine(ctx context.Context, flags configFlags, issuersOnly bool) []symptom {
	c, err := flags.read(nil, "", "")
	if err != nil {
		return []symptom{{"configuration", "fail", err.Error(), "stepward validate says more"}}
	}
	list := []symptom{{Name: "configuration", Grade: "ok", Detail: strings.Join(c.Sources, " ")}}
	if issuersOnly {
		return append(list, examineIssuers(ctx, c)...)
	}
	s, err := snapshot.New(ctx, c, snapshot.Options{Observe: snapshot.Unobserved})
	if err != nil {
		return append(list, symptom{"policy and keys", "fail", err.Error(), "stepward validate says more"})
	}
	list = append(list, symptom{Name: "policy", Grade: "ok", Detail: "revision " + s.Authorizer.Policy.Traits().Revision})
	list = append(list, addresses(c)...)
	list = append(list, secrets(c)...)
	return append(list, examineIssuers(ctx, c)...)
}

// addresses tries to open each, as serve would.
func addresses(c config.Config) []symptom {
	var list []symptom
	for _, a := range []struct{ name, address string }{{"listen", c.Listen}, {"admin", c.Admin},
		{"control", c.Control}} {
		if a.address == "" {
			continue
		}
		l, err := server.Listen(a.address, 0o600)
		if err != nil {
			list = append(list, symptom{a.name, "fail", err.Error(),
				"does another Stepward run here? choose another address, or stop it"})
			continue
		}
		l.Close()
		list = append(list, symptom{Name: a.name, Grade: "ok", Detail: a.address + " is free"})
	}
	return list
}

// secrets warns of private keys that others may read.
func secrets(c config.Config) []symptom {
	if c.TLS.KeyFile == "" {
		return nil
	}
	info, err := os.Stat(c.TLS.KeyFile)
	switch {
	case err != nil:
		return []symptom{{"tls.key_file", "fail", err.Error(), ""}}
	case info.Mode().Perm()&0o077 != 0:
		return []symptom{{"tls.key_file", "warn", fmt.Sprintf("%s may be read by others (%s)", c.TLS.KeyFile,
			info.Mode().Perm()), "chmod 600"}}
	}
	return []symptom{{Name: "tls.key_file", Grade: "ok", Detail: "for its owner alone"}}
}

// examineIssuers talks to every issuer, as serve would.
func examineIssuers(ctx context.Context, c config.Config) []symptom {
	var list []symptom
	for _, i := range c.Issuers {
		for _, p := range snapshot.Examine(ctx, c, i) {
			s := symptom{Name: i.Name + ": " + p.Name, Grade: p.Grade, Detail: p.Detail, Hint: p.Hint}
			if i.Optional && s.Grade == "fail" {
				s.Grade = "warn"
			}
			list = append(list, s)
		}
	}
	return list
}
