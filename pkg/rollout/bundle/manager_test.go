package bundle_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stepward/stepward/pkg/internal/testbundles"
	"github.com/stepward/stepward/pkg/rollout/bundle"
)

// pack returns a bundle of that revision; more replaces or adds files.
func pack(revision string, more map[string]string) map[string]string {
	files := map[string]string{".manifest": strings.Replace(manifest, "r1", revision, 1), "policy.rego": usesLibrary}
	for name, text := range more {
		files[name] = text
	}
	return files
}

// configured returns OPA's configuration for one bundle of s, fetched again every second. more
// are members of the bundle, and below is what stands beside bundles.
func configured(s *testbundles.Server, more, below string) string {
	return `services: { control: { url: "` + s.URL + `" } }
bundles: { authz: { service: control, resource: bundles/authz.tar.gz, polling: { min_delay_seconds: 1, max_delay_seconds: 1 }` + more + ` } }
` + below
}

// now says how the only bundle of m stands.
func now(m *bundle.Manager) bundle.Status {
	if list := m.Status(); len(list) == 1 {
		return list[0]
	}
	return bundle.Status{}
}

// A bundle that cannot be accepted leaves the last good one in force, and is reported; an
// acceptable one takes over.
func TestLastGood(t *testing.T) {
	t.Parallel()
	s := testbundles.New()
	defer s.Close()
	s.Put("authz.tar.gz", testbundles.Pack(pack("r1", nil)))
	got := &sets{}
	m, _ := start(t, settings(t, configured(s, "", "")), got)
	eventually(t, "r1", func() bool { set, _ := got.last(); return set.Revision() == "r1" && now(m).Revision == "r1" })
	first := now(m)
	if first.Activated.IsZero() || first.Confirmed.IsZero() || first.Error != "" {
		t.Errorf("%+v", first)
	}
	for name, b := range map[string][]byte{
		"no archive":      []byte("<html>"),
		"no Rego":         testbundles.Pack(pack("r2", map[string]string{"policy.rego": "package"})),
		"outside of root": testbundles.Pack(pack("r2", map[string]string{"elsewhere/data.json": `{"x": 1}`})),
	} {
		s.Put("authz.tar.gz", b)
		eventually(t, name+" is told of", func() bool { return now(m).Error != "" })
		if set, _ := got.last(); set.Revision() != "r1" || now(m).Revision != "r1" {
			t.Errorf("%s: %q is in force", name, set.Revision())
		}
		again := pack("r1", map[string]string{"risk/data.json": `{"after": "` + name + `"}`})
		s.Put("authz.tar.gz", testbundles.Pack(again))
		eventually(t, "good again after "+name, func() bool { return now(m).Error == "" })
	}
	s.Bundles(testbundles.Failing)
	eventually(t, "the server's trouble is told of", func() bool { return now(m).Error != "" })
	s.Bundles("")
	s.Put("authz.tar.gz", testbundles.Pack(pack("r2", nil)))
	eventually(t, "r2", func() bool { set, _ := got.last(); return set.Revision() == "r2" && now(m).Error == "" })
}

// A bundle comes into force only with a signature by the key that is configured.
func TestSignatures(t *testing.T) {
	t.Parallel()
	const secret = "0123456789abcdef0123456789abcdef"
	s := testbundles.New()
	defer s.Close()
	sign := func(revision, key, id string) []byte {
		t.Helper()
		b, err := testbundles.Sign(pack(revision, nil), key, "HS256", id)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	s.Put("authz.tar.gz", testbundles.Pack(pack("unsigned", nil)))
	got := &sets{}
	m, _ := start(t, settings(t, configured(s, ", signing: { keyid: main }", "keys: { main: { key: "+secret+
		", algorithm: HS256 } }\n")), got)
	refused := func(name string) {
		t.Helper()
		eventually(t, name+" is told of", func() bool { return now(m).Error != "" })
		if set, n := got.last(); n > 0 && set.Revision() != "good" {
			t.Errorf("%s: %q is in force", name, set.Revision())
		}
	}
	refused("unsigned")
	s.Put("authz.tar.gz", sign("good", secret, "main"))
	eventually(t, "the signed bundle", func() bool {
		set, _ := got.last()
		return set.Revision() == "good" &&
			now(m).Error == ""
	})
	s.Put("authz.tar.gz", sign("forged", strings.ToUpper(secret), "main"))
	refused("of another key")
}

// A bundle that was taken decides after a restart while its server is away. One that was
// refused is not kept.
func TestKeptOnDisk(t *testing.T) {
	t.Parallel()
	s := testbundles.New()
	s.Put("authz.tar.gz", testbundles.Pack(pack("r1", nil)))
	dir := t.TempDir()
	parse := func() bundle.Settings {
		t.Helper()
		o, err := bundle.Parse(filepath.Join(dir, "opa.yaml"),
			[]byte(configured(s, ", persist: true", "persistence_directory: kept\n")), bundle.ParseOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	got := &sets{}
	m, stop := start(t, parse(), got)
	file := filepath.Join(dir, "kept", "bundles", "authz", "bundle.tar.gz")
	eventually(t, "it is on disk", func() bool {
		_, err := os.Stat(file)
		return err == nil &&
			now(m).Revision == "r1"
	})
	kept, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got.mu.Lock()
	got.refuse = iotest.ErrTimeout
	got.mu.Unlock()
	s.Put("authz.tar.gz", testbundles.Pack(pack("r2", nil)))
	eventually(t, "r2 is refused", func() bool { return now(m).Error != "" })
	if after, err := os.ReadFile(file); err != nil || !bytes.Equal(kept, after) {
		t.Errorf("what was refused is kept: %v", err)
	}
	stop()
	s.Close()
	again := &sets{}
	m, _ = start(t, parse(), again)
	eventually(t, "r1 after a restart", func() bool { set, _ := again.last(); return set.Revision() == "r1" })
	if !now(m).Confirmed.IsZero() {
		t.Error("nobody has said that it is still the same")
	}
}

// Discovery is checked as a file is. What it must not say leaves the configuration as it
// was.
func TestDiscovered(t *testing.T) {
	t.Parallel()
	s := testbundles.New()
	defer s.Close()
	s.Put("authz.tar.gz", testbundles.Pack(pack("r1", nil)))
	says := func(more string) {
		s.Put("discovery.tar.gz", testbundles.Pack(
			map[string]string{
				"data.json": `{"discovery": {"bundles": {"authz": {"service": "control", "resource": "bundles/authz.tar.gz", "polling": {"min_delay_seconds": 1, "max_delay_seconds": 1}}}` + more + `}}`}))
	}
	says(`, "caching": {}`)
	got := &sets{}
	m, _ := start(t, settings(t, `services: { control: { url: "`+s.URL+`" } }
discovery: { resource: bundles/discovery.tar.gz, decision: discovery, polling: { min_delay_seconds: 1, max_delay_seconds: 1 } }
`), got)
	told := func(text string) func() bool {
		return func() bool {
			got.mu.Lock()
			defer got.mu.Unlock()
			return strings.Contains(strings.Join(got.lines, "\n"), text)
		}
	}
	eventually(t, "the bundle that discovery names", func() bool { return now(m).Revision == "r1" })
	eventually(t, "what means nothing is told", told("caching"))
	if m.Logging() {
		t.Error("decisions are uploaded, and nobody asked for it")
	}
	for more, want := range map[string]string{
		`, "plugins": {"mine": {}}`:   "plugins.mine: is not built in",
		`, "bundle": {"name": "old"}`: "bundle: is the old form",
		`, "keys": {"k": {"key": "0123456789abcdef0123456789abcdef", "algorithm": "HS256"}}`: "bundles.authz.signing",
	} {
		says(more)
		eventually(t, want, told(want))
	}
	if set, _ := got.last(); set.Revision() != "r1" || now(m).Name != "authz" {
		t.Errorf("%q is in force", set.Revision())
	}
	says(`, "decision_logs": {"service": "control"}`)
	eventually(t, "decisions are uploaded", m.Logging)
}

// What OPA itself does not take is an error of New and of Check, and nothing is left
// running.
func TestNewRefuses(t *testing.T) {
	const services = `services: { c: { url: "https://c.example.com" } }` + "\n"
	for name, text := range map[string]string{
		"no such service": services + "bundles: { a: { service: nowhere } }",
		"no such key": services +
			"keys: { k: { key: x } }\nbundles: { a: { service: c, signing: { keyid: other } } }",
		"polling the wrong way": services +
			"bundles: { a: { service: c, polling: { min_delay_seconds: 9, max_delay_seconds: 1 } } }",
		"no discovery":             services + "discovery: { resource: 7 }",
		"logs to nowhere":          services + "decision_logs: { service: nowhere }",
		"status to nowhere":        services + "status: { service: nowhere }",
		"a service that is no URL": `services: { c: { url: "https://c.example.com", credentials: { bearer: { token: 7 } } } }` + "\nbundles: { a: { service: c } }",
	} {
		s := settings(t, text)
		if err := bundle.Check(s); err == nil || !strings.HasPrefix(err.Error(), "bundle: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	s := settings(t, services+"bundles: { a: { service: c } }")
	if _, err := bundle.New(s, bundle.Options{Rand: iotest.ErrReader(iotest.ErrTimeout)}); err == nil {
		t.Error("an instance has no name")
	}
	m, err := bundle.New(s, bundle.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if len(m.Status()) != 0 || m.Logging() {
		t.Error("a plugin is there before Run")
	}
}
