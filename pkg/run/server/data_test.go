package server_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/internal/testbundles"
	"github.com/stepward/stepward/pkg/run/server"
)

// Data that nobody writes any more becomes unknown, and what it decided becomes stricter.
func TestDataAges(t *testing.T) {
	t.Parallel()
	files := variant("a")
	files["stepward.yaml"] = strings.Replace(files["stepward.yaml"], "[policy]", "[policy, risk.json]", 1) +
		"data: { max_age: { risk: 10s } }\n"
	files["policy/policy.rego"] = `package stepward.policy

import rego.v2

import data.stepward.lib.risk

require contains {"level": "anonymous"} if not data.stepward.unknown.risk

require contains {"level": "mfa"} if risk.at_least(data.risk, "alice", 50)

require contains {"level": "mfa"} if data.stepward.unknown.risk

metadata["unknown"] := object.keys(data.stepward.unknown)
`
	files["risk.json"] = `{"risk": {"alice": {"score": 1}}}`
	f := serveFolder(t, files, server.Options{})
	allowed := func() bool { return f.check(t, "/x", nil).GetStatus().GetCode() == 0 }
	if !allowed() {
		t.Fatal("refused while the score is known")
	}
	revision := f.Revision()
	eventually(t, "it is too old", func() bool { return !allowed() })
	if f.Revision() != revision+"~risk" {
		t.Errorf("%s and %s", revision, f.Revision())
	}
	if _, body := page(t, f.running, "/readyz?verbose"); !strings.Contains(body, "unknown: too old") {
		t.Errorf("%s", body)
	}
	if _, body := page(t, f.running, "/metrics"); !strings.Contains(
		body, `stepward_source_failing{kind="data",source="risk"} 1`) {
		t.Error("no metric")
	}
	write(t, f.dir, map[string]string{"risk.json": files["risk.json"]})
	eventually(t, "it is fresh again", allowed)
}

// aging returns bundled("a") with data that is believed for a while, and a server of it.
func aging(t testing.TB, maxAge, more string) (*testbundles.Server, map[string]string) {
	t.Helper()
	pack := bundled("a")
	pack["lists/data.json"] = `{"blocked": ["alice"]}`
	s := testbundles.New()
	s.Put("authz.tar.gz", testbundles.Pack(pack))
	files := fromBundles(strings.Replace(opaConfig(s, "persistence_directory: kept\n"), polled, polled+more, 1))
	files["stepward.yaml"] += "data: { max_age: { lists: " + maxAge + " } }\n"
	return s, files
}

// Data becomes too old even while files are broken, or half changed: it is removed from the
// policy in force.
func TestDataAgesWhileFilesAreBroken(t *testing.T) {
	t.Parallel()
	files := variant("a")
	files["stepward.yaml"] = strings.Replace(files["stepward.yaml"], "[policy]", "[policy, risk.json]", 1) +
		"data: { max_age: { risk: 10s } }\n"
	files["policy/policy.rego"] = "package stepward.policy\n\nimport rego.v2\n\nrequire contains {\"level\": \"anonymous\"} if not data.stepward.unknown.risk\n"
	files["risk.json"] = `{"risk": {"alice": {"score": 1}}}`
	f := serveFolder(t, files, server.Options{})
	allowed := func() bool { return f.check(t, "/x", nil).GetStatus().GetCode() == 0 }
	if !allowed() {
		t.Fatal("refused while the score is known")
	}
	write(t, f.dir, map[string]string{"policy/other.rego": "this is no policy"})
	eventually(t, "it is too old", func() bool { return !allowed() })
}

// Data that was kept on disk is not believed before its server has said that it is still
// the same, however often the service starts.
func TestKeptDataHasNoAge(t *testing.T) {
	t.Parallel()
	s, files := aging(t, "10m", ", persist: true")
	f := serveFolder(t, files, server.Options{})
	kept := filepath.Join(f.dir, "kept", "bundles", "authz", "bundle.tar.gz")
	eventually(t, "it is on disk", func() bool { _, err := os.Stat(kept); return err == nil })
	eventually(t, "believed", func() bool { return f.Revision() == "rev-a" })
	f.stop()
	s.Close()
	again := serveDir(t, f.dir, server.Options{})
	eventually(t, "the server was asked in vain", func() bool {
		_, body := page(t, again.running, "/readyz?verbose")
		return strings.Contains(body, "the last attempt failed")
	})
	time.Sleep(time.Second) // clock: several looks at the age, or fewer on a busy machine
	if again.serves(t) != "a" || again.Revision() != "rev-a~lists" {
		t.Errorf("%s", again.Revision())
	}
}

// A bundle that comes and is refused does not make the data of the one before it fresh.
func TestRefusedBundleConfirmsNothing(t *testing.T) {
	t.Parallel()
	s, files := aging(t, "3s", "")
	defer s.Close()
	f := serveFolder(t, files, server.Options{})
	eventually(t, "believed", func() bool { return f.Revision() == "rev-a" })
	time.Sleep(4 * time.Second) // clock: it would be too old by now
	eventually(t, "believed, since the server says that it is the same", func() bool { return f.Revision() == "rev-a" })
	s.Put("authz.tar.gz", badBundles(t)["an unknown level"])
	eventually(t, "it is too old", func() bool { return f.Revision() == "rev-a~lists" })
}
