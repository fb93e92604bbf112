package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/server"
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
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor -c FILE",
		Short: "See whether the service can run here",
		Long: `Looks at what serve would need on this machine: configuration and policy, free
addresses, files and who may read them, the clock, and every issuer's metadata and
keys, which it fetches.

Exits with 0 when serve would run well, and with 1 when something is wrong.`,
		Example: `  stepward doctor -c stepward.yaml
  stepward doctor -c stepward.yaml --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list := examine(cmd.Context(), flags)
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
	flags.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (p *painter) symptom(s symptom) {
	mark := map[string]string{"ok": p.paint(green, "✓"), "warn": p.paint(yellow, "!"), "fail": p.paint(red, "✗")}[s.Grade]
	p.printf("%s %-24s %s\n", mark, s.Name, strings.ReplaceAll(s.Detail, "\n", "\n"+strings.Repeat(" ", 27)))
	if s.Hint != "" {
		p.printf("  %-24s %s\n", "", p.paint(dim, s.Hint))
	}
}

func examine(ctx context.Context, flags configFlags) []symptom {
	c, err := flags.read("", "")
	if err != nil {
		return []symptom{{"configuration", "fail", err.Error(), "stepward validate says more"}}
	}
	list := []symptom{{Name: "configuration", Grade: "ok", Detail: strings.Join(c.Sources, " ")}}
	fetched := map[string]error{}
	s, err := server.NewSnapshot(ctx, c, server.SnapshotOptions{OnRefresh: func(name string, err error) { fetched[name] = err }})
	if err != nil {
		return append(list, symptom{"policy and keys", "fail", err.Error(), "stepward validate says more"})
	}
	list = append(list, symptom{Name: "policy", Grade: "ok", Detail: "revision " + s.Authorizer.Policy.Revision()})
	list = append(list, addresses(c)...)
	list = append(list, secrets(c)...)
	for _, i := range c.Issuers {
		list = append(list, examineIssuer(ctx, i, c)...)
	}
	return list
}

// addresses tries to open each, as serve would.
func addresses(c config.Config) []symptom {
	var list []symptom
	for _, a := range []struct{ name, address string }{{"listen", c.Listen}, {"admin", c.Admin}, {"control", c.Control}} {
		if a.address == "" {
			continue
		}
		l, err := server.Listen(a.address, 0o600)
		if err != nil {
			list = append(list, symptom{a.name, "fail", err.Error(), "does another Stepward run here? choose another address, or stop it"})
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
		return []symptom{{"tls.key_file", "warn", fmt.Sprintf("%s may be read by others (%s)", c.TLS.KeyFile, info.Mode().Perm()), "chmod 600"}}
	}
	return []symptom{{Name: "tls.key_file", Grade: "ok", Detail: "for its owner alone"}}
}

// examineIssuer fetches an issuer's keys as serve would, and compares the clocks.
func examineIssuer(ctx context.Context, i config.Issuer, c config.Config) []symptom {
	name := "issuer " + i.Name
	if i.JWKSFile != "" {
		return []symptom{{Name: name, Grade: "ok", Detail: "keys from " + i.JWKSFile}}
	}
	clock := &clock{}
	failed := make(chan error, 1)
	one := c
	one.Issuers = []config.Issuer{i}
	s, err := server.NewSnapshot(ctx, one, server.SnapshotOptions{
		Client: &http.Client{Transport: clock, Timeout: 10 * time.Second},
		OnRefresh: func(_ string, err error) {
			select {
			case failed <- err:
			default:
			}
		},
	})
	if err != nil {
		return []symptom{{name, "fail", err.Error(), ""}}
	}
	running, cancel := context.WithTimeout(ctx, 15*time.Second)
	done := make(chan struct{})
	go func() { defer close(done); s.Run(running) }()
	select {
	case err = <-failed:
	case <-running.Done():
		err = running.Err()
	}
	cancel()
	<-done
	if err != nil {
		grade := "fail"
		if i.Optional {
			grade = "warn"
		}
		return []symptom{{name, grade, err.Error(), "the name, the network and TLS from this machine; and that issuer is, byte for byte, what the provider calls itself"}}
	}
	list := []symptom{{Name: name, Grade: "ok", Detail: "keys fetched from " + i.Issuer}}
	if off, known := clock.off(); known && off > 10*time.Second {
		list = append(list, symptom{"clock", "fail", fmt.Sprintf("differs from that of %s by %s", i.Name, off.Round(time.Second)), "leeway is for seconds; set the clock by NTP"})
	} else if known {
		list = append(list, symptom{Name: "clock", Grade: "ok", Detail: "as that of " + i.Name})
	}
	return list
}

// clock notes by how much a server's Date differs from ours.
type clock struct {
	server, local time.Time
}

func (c *clock) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := http.DefaultTransport.RoundTrip(r)
	if err == nil {
		if at, err := http.ParseTime(res.Header.Get("Date")); err == nil {
			c.server, c.local = at, time.Now()
		}
	}
	return res, err
}

func (c *clock) off() (time.Duration, bool) {
	if c.server.IsZero() {
		return 0, false
	}
	return c.local.Sub(c.server).Abs(), true
}
