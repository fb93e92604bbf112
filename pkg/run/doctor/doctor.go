// Package doctor checks whether a service could run here: whether its configuration and
// policy load, its addresses are free, nobody else may read its keys, and its issuers are
// exactly the configured ones.
package doctor

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/run/server"
	"github.com/stepward/stepward/pkg/run/snapshot"
)

// Symptom is the result of one check by the doctor.
type Symptom struct {
	Name   string `json:"name"`
	Grade  string `json:"grade"` // ok, warn or fail
	Detail string `json:"detail,omitempty"`
	Hint   string `json:"hint,omitempty"`
}

// Failed reports whether one of the symptoms keeps a service from running well.
func Failed(list []Symptom) bool {
	for _, s := range list {
		if s.Grade == "fail" {
			return true
		}
	}
	return false
}

// Refused is the symptom of a configuration that does not load.
func Refused(err error) []Symptom {
	return []Symptom{{"configuration", "fail", err.Error(), "stepward validate says more"}}
}

// Examine checks everything that c needs on this machine, and talks to every issuer.
func Examine(ctx context.Context, c config.Config) []Symptom {
	list := configured(c)
	s, err := snapshot.New(ctx, c, snapshot.Options{Observe: snapshot.Unobserved})
	if err != nil {
		return append(list, Symptom{"policy and keys", "fail", err.Error(), "stepward validate says more"})
	}
	revision := s.Authorizer.Policy.Traits().Revision
	list = append(list, Symptom{Name: "policy", Grade: "ok", Detail: "revision " + revision})
	for _, a := range []struct{ name, address string }{{"listen", c.Listen}, {"admin", c.Admin},
		{"control", c.Control}} {
		if a.address != "" {
			list = append(list, listen(a.name, a.address))
		}
	}
	if c.TLS.KeyFile != "" {
		list = append(list, secret("tls.key_file", c.TLS.KeyFile))
	}
	return append(list, issuers(ctx, c)...)
}

// ExamineIssuers talks to every issuer, and checks nothing else.
func ExamineIssuers(ctx context.Context, c config.Config) []Symptom {
	return append(configured(c), issuers(ctx, c)...)
}

func configured(c config.Config) []Symptom {
	return []Symptom{{Name: "configuration", Grade: "ok", Detail: strings.Join(c.Sources, " ")}}
}

// listen tries to open an address, as a service would.
func listen(name, address string) Symptom {
	l, err := server.Listen(address, 0o600)
	if err != nil {
		return Symptom{name, "fail", err.Error(),
			"does another Stepward run here? choose another address, or stop it"}
	}
	l.Close()
	return Symptom{Name: name, Grade: "ok", Detail: address + " is free"}
}

// secret warns about a private key that others may read.
func secret(name, file string) Symptom {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return Symptom{name, "fail", err.Error(), ""}
	case info.Mode().Perm()&0o077 != 0:
		return Symptom{name, "warn", fmt.Sprintf("%s may be read by others (%s)", file, info.Mode().Perm()),
			"chmod 600"}
	}
	return Symptom{Name: name, Grade: "ok", Detail: "only its owner may read it"}
}

// issuers talks to every issuer, as a service would. An optional issuer does not keep a
// service from running.
func issuers(ctx context.Context, c config.Config) []Symptom {
	var list []Symptom
	for _, i := range c.Issuers {
		for _, p := range snapshot.Examine(ctx, c, i) {
			s := Symptom{Name: i.Name + ": " + p.Name, Grade: p.Grade, Detail: p.Detail, Hint: p.Hint}
			if i.Optional && s.Grade == "fail" {
				s.Grade = "warn"
			}
			list = append(list, s)
		}
	}
	return list
}
