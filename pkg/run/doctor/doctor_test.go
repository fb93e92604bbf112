package doctor_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/run/doctor"
	"github.com/stepward/stepward/pkg/run/rehearsal"
)

// grades returns those of the symptoms, by name.
func grades(list []doctor.Symptom) map[string]string {
	all := map[string]string{}
	for _, s := range list {
		all[s.Name] = s.Grade
	}
	return all
}

// healthy returns a configuration that can be served here. Its one issuer is optional, as it is
// nowhere.
func healthy(t *testing.T) config.Config {
	t.Helper()
	c, err := rehearsal.Default()
	if err != nil {
		t.Fatal(err)
	}
	c.Listen, c.Admin = "127.0.0.1:0", "127.0.0.1:0"
	c.Control = "unix://" + filepath.Join(t.TempDir(), "s")
	c.Issuers[0].Issuer, c.Issuers[0].Optional = "http://127.0.0.1:1", true
	return c
}

func TestExamine(t *testing.T) {
	list := doctor.Examine(t.Context(), healthy(t))
	got := grades(list)
	for _, name := range []string{"configuration", "policy", "listen", "admin", "control"} {
		if got[name] != "ok" {
			t.Errorf("%s is %q: %+v", name, got[name], list)
		}
	}
	if doctor.Failed(list) || len(got) < 6 {
		t.Errorf("%+v", list)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, c := range map[string]struct {
		change  func(*config.Config)
		symptom string
	}{
		"a taken port": {func(c *config.Config) { c.Listen = taken.Addr().String() }, "listen"},
		"a policy that is not": {func(c *config.Config) {
			c.Policy.Default, c.Policy.Paths = false,
				[]string{"missing"}
		}, "policy and keys"},
		"an issuer that is not": {func(c *config.Config) { c.Issuers[0].Optional = false }, "corp: discovery"},
	} {
		x := healthy(t)
		c.change(&x)
		if list := doctor.Examine(t.Context(), x); grades(list)[c.symptom] != "fail" || !doctor.Failed(list) {
			t.Errorf("%s: %+v", name, list)
		}
	}
}

func TestExamineIssuers(t *testing.T) {
	list := doctor.ExamineIssuers(t.Context(), healthy(t))
	if got := grades(list); got["policy"] != "" || got["listen"] != "" || got["configuration"] != "ok" || doctor.Failed(
		list) {
		t.Errorf("%+v", list)
	}
	if list := doctor.Refused(errors.New("no")); !doctor.Failed(list) || list[0].Detail != "no" {
		t.Errorf("%+v", list)
	}
}

// A private key is for its owner's eyes.
func TestSecret(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key.pem")
	for mode, want := range map[os.FileMode]string{0o600: "ok", 0o400: "ok", 0o640: "warn", 0o604: "warn"} {
		os.Remove(key)
		if err := os.WriteFile(key, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(key, mode); err != nil {
			t.Fatal(err)
		}
		if s := doctor.Secret("tls.key_file", key); s.Grade != want {
			t.Errorf("%o: %+v; want %s", mode, s, want)
		}
	}
	if s := doctor.Secret("tls.key_file", key+"x"); s.Grade != "fail" || !strings.Contains(s.Detail, "no such file") {
		t.Errorf("%+v", s)
	}
}
