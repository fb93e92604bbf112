package pkg_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"
)

// oldest are the oldest versions that we may be built with. A row that is raised says why.
var oldest = []struct {
	module, version, why string
}{
	{"go", "v1.26.10", "net/http (CVE-2026-97054), and a certificate authority that is no longer trusted"},
	{"github.com/open-policy-agent/opa", "v1.22.4", "1.22.3 mends the type checker for with; 1.22.4 follows net/http"},
	{"github.com/klauspost/compress", "v1.20.3", "GHSA-fpmh-frq8-7rj8"},
	{"github.com/lestrrat-go/jwx/v2", "v2.1.7", "the last of its line: docs/decisions/0001"},
	{"google.golang.org/grpc", "v1.82.1", "GO-2026-6061, and CVE-2026-33186 before it"},
	{"golang.org/x/net", "v0.60.0", "GO-2026-6612"},
}

// TestNoModuleIsTooOld holds every module of the repository to the list. Those that only
// tests use count too: what they run is run on somebody's machine.
func TestNoModuleIsTooOld(t *testing.T) {
	for _, name := range []string{
		"../go.mod", "../envoy/validate/go.mod", "../envoy/validate/egctl/go.mod", "../envoy/validate/helm/go.mod",
		"../pkg/internal/release/go.mod",
	} {
		found := versions(t, name)
		for _, row := range oldest {
			version, used := found[row.module]
			switch {
			case used && semver.Compare(version, row.version) < 0:
				t.Errorf("%s: %s %s is older than %s: %s", name, row.module, version, row.version, row.why)
			case !used && name == "../go.mod":
				t.Errorf("%s does not name %s: take the row away, or say where it went", name, row.module)
			}
		}
	}
}

// TestImageHasTheToolchain shows that the image and the release are made by the Go that
// go.mod names.
func TestImageHasTheToolchain(t *testing.T) {
	text, err := os.ReadFile("../envoy/image/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	goVersion := strings.TrimPrefix(versions(t, "../go.mod")["go"], "v")
	if !strings.Contains(string(text), "\nFROM golang:"+goVersion+" AS build\n") {
		t.Errorf("the Dockerfile does not build with Go %s", goVersion)
	}
}

// versions reads a go.mod: the version of each module, and that of Go itself, which the
// toolchain line may raise.
func versions(t *testing.T, name string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.FromSlash(name))
	if err != nil {
		t.Fatal(err)
	}
	f, err := modfile.Parse(name, text, nil)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	if f.Toolchain != nil {
		all["go"] = "v" + strings.TrimPrefix(f.Toolchain.Name, "go")
	}
	for _, r := range f.Require {
		all[r.Mod.Path] = r.Mod.Version
	}
	return all
}
