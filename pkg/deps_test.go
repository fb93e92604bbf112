// Package pkg_test holds rules about the packages that no compiler checks.
package pkg_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/stepward/stepward/"

// level orders the packages: an import goes down, never up and never sideways
// but where a row of sideways says why.
var level = map[string]int{
	"pkg/finding": 0, "pkg/visible": 0, "pkg/files": 0, "pkg/strictjson": 0, "pkg/token": 0,
	"pkg/strictyaml": 1, // says what finding knows of slips
	"pkg/request":    1, "pkg/outbound": 1, "pkg/revocation": 1,
	"pkg/stepup": 2, "pkg/credential": 2, "pkg/proxy": 2, "pkg/keyset": 2, "pkg/introspection": 2, "pkg/statuslist": 2,
	"pkg/policy": 3,
	"pkg/authz":  4, "pkg/jwt": 4, "pkg/rego": 4,
	"pkg/decisionlog": 5,
	"pkg/extauthz":    5, "pkg/admin": 5, "pkg/explain": 5,
	"pkg/divergence": 6, "pkg/bundle": 6, "pkg/telemetry": 7, "pkg/shadow": 7, "pkg/control": 7, "pkg/replay": 7,
	"pkg/config": 6, "policies": 0, "envoy": 0, "pkg/internal/testidp": 5, "pkg/internal/testbundles": 0, "pkg/internal/realidp": 0, "pkg/internal/mutants": 0, "pkg/internal/golden": 0, "pkg/internal/wait": 0, "pkg/internal/gates": 0, "examples": 0,
	"pkg/server": 8, "pkg/scenario": 8, "pkg/matrix": 5,
	"pkg/conformance": 9,
	"pkg/playground":  9, // plays scenarios, makes matrices and shows what the control socket tells
	"pkg/demo":        10,
	"cmd/stepward":    11,
}

// forbidden says who must not import what, and why.
var forbidden = []struct {
	what    string   // an import path, or the beginning of one
	allowed []string // the doors
	why     string
}{
	{"github.com/lestrrat-go/jwx", []string{"pkg/jwt", "pkg/keyset", "pkg/internal/testidp"}, "jwx/v2 is no longer maintained: a move to its successor must be a change of these packages"},
	{"github.com/open-policy-agent/opa", []string{"pkg/rego", "pkg/bundle", "pkg/internal/testbundles"}, "the contract with a policy does not depend on the engine"},
	{"github.com/envoyproxy/go-control-plane", []string{"pkg/extauthz", "pkg/conformance", "envoy", "pkg/server", "pkg/proxy"}, "the spine answers in HTTP terms; only the edge speaks Envoy's"},
	{"go.uber.org/zap", []string{"pkg/telemetry", "pkg/server", "pkg/demo", "pkg/conformance", "cmd/stepward"}, "mechanisms return errors; they do not log"},
	{"google.golang.org/grpc", []string{"pkg/extauthz", "pkg/server", "pkg/conformance", "cmd/stepward", "pkg/telemetry"}, "one edge speaks gRPC; telemetry measures it"},
	{"go.opentelemetry.io", []string{"pkg/telemetry", "pkg/bundle"}, "stages leave times in the record; what is made of them is decided in one place"},
	{"github.com/santhosh-tekuri/jsonschema", []string{"pkg/rego"}, "data is held against schemas where it is loaded, and nowhere else"},
	{"github.com/chromedp", nil, "a browser drives tests, and nothing that is shipped"},
	{"github.com/spf13/cobra", []string{"cmd/stepward"}, "commands live in cmd"},
	{"github.com/prometheus", []string{"pkg/telemetry", "pkg/admin", "pkg/server", "pkg/bundle"}, "metrics are made of records, not by stages"},
	{"math/rand", nil, "chance that matters is crypto/rand, through a field"},
}

// pureOf lists packages that import nothing but the standard library and what
// is named.
var pureOf = map[string][]string{
	"pkg/token":      nil,
	"pkg/strictjson": nil,
	"pkg/request":    {"pkg/strictjson"},
	"pkg/stepup":     {"pkg/token"},
	"pkg/credential": {"pkg/request", "pkg/token"},
	"pkg/authz":      {"pkg/credential", "pkg/policy", "pkg/request", "pkg/stepup", "pkg/token"},
}

func TestImportsGoDown(t *testing.T) {
	for pkg, imports := range imports(t) {
		own, known := level[pkg]
		if !known {
			t.Errorf("%s has no level: give it one in this file", pkg)
			continue
		}
		for _, path := range imports {
			dep, ours := strings.CutPrefix(path, module)
			if !ours {
				continue
			}
			if of, ok := level[dep]; !ok || of >= own {
				t.Errorf("%s must not import %s: imports go down (%d → %d)", pkg, dep, own, of)
			}
		}
	}
}

func TestDoors(t *testing.T) {
	for pkg, imports := range imports(t) {
		for _, rule := range forbidden {
			if slices.Contains(rule.allowed, pkg) {
				continue
			}
			for _, path := range imports {
				if strings.HasPrefix(path, rule.what) {
					t.Errorf("%s must not import %s: %s", pkg, path, rule.why)
				}
			}
		}
		allowed, pure := pureOf[pkg]
		for _, path := range imports {
			if pure && strings.Contains(path, ".") && !slices.Contains(allowed, strings.TrimPrefix(path, module)) {
				t.Errorf("%s must not import %s: it is kept free of everything but %q", pkg, path, allowed)
			}
		}
	}
}

func TestEveryPackageHasOneComment(t *testing.T) {
	comments := map[string]int{}
	walk(t, func(pkg, file string) {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		if f.Doc != nil && strings.HasPrefix(f.Doc.Text(), "Package ") || f.Doc != nil && f.Name.Name == "main" {
			n = 1
		}
		comments[pkg] += n
	})
	for pkg, n := range comments {
		if n != 1 {
			t.Errorf("%s has %d package comments", pkg, n)
		}
	}
}

// imports lists the direct imports of each package's own files, tests left out.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	walk(t, func(pkg, file string) {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range f.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			all[pkg] = append(all[pkg], path)
		}
	})
	if len(all) < 10 {
		t.Fatalf("only %d packages found", len(all))
	}
	return all
}

// walk visits every Go file that is not a test, with its package's folder.
func walk(t *testing.T, visit func(pkg, file string)) {
	t.Helper()
	for _, root := range []string{"../cmd", "../pkg", "../policies", "../envoy"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() && d.Name() == "testdata" {
				return errOrSkip(err)
			}
			if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
				visit(strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), "../"), path)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func errOrSkip(err error) error {
	if err != nil {
		return err
	}
	return filepath.SkipDir
}
