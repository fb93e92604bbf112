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

// floors are the folders from the ground up. A package stands on the floor of the longest
// folder that holds it, and imports what stands below and its neighbours on the same
// floor. Within one floor Go itself keeps imports from going round.
var floors = [][]string{
	{"policies", "envoy", "examples", "pkg/internal/strictjson", "pkg/finding", "pkg/config/files",
		"pkg/config/address"},
	{"pkg/internal/strictyaml"},
	// the pipeline, and beside it what is configured
	{"pkg/request"}, {"pkg/credential"}, {"pkg/token"}, {"pkg/stepup"}, {"pkg/policy", "pkg/config"},
	{"pkg/response"}, {"pkg/authz"},
	{"pkg/extauthz"},
	{"pkg/trust"},
	{"pkg/engine"},
	{"pkg/author", "pkg/rollout"},
	{"pkg/internal"}, // what tests run against
	{"pkg/run"},
	{"cmd/stepward"},
}

// apart are folders of one floor that do not import each other.
var apart = [][2]string{{"pkg/author", "pkg/rollout"}, {"pkg/policy", "pkg/config"}}

// exceptions are the imports that go up, each with its reason.
var exceptions = map[[2]string]string{}

// floor is where pkg stands, and the folder that says so; -1 when no folder holds it.
func floor(pkg string) (level int, folder string) {
	level = -1
	for n, folders := range floors {
		for _, f := range folders {
			if (pkg == f || strings.HasPrefix(pkg, f+"/")) && len(f) > len(folder) {
				level, folder = n, f
			}
		}
	}
	return level, folder
}

// forbidden says who must not import what, and why.
var forbidden = []struct {
	what    string   // an import path, or the beginning of one
	allowed []string // the doors
	why     string
}{
	{"github.com/lestrrat-go/jwx", []string{"pkg/trust/jwt", "pkg/trust/keyset"},
		"jwx/v2 is no longer maintained: a move to its successor must be a change of these packages"},
	{"github.com/open-policy-agent/opa", []string{"pkg/engine/rego", "pkg/engine/rego/syntax", "pkg/engine/opaenvoy",
		"pkg/author/analysis", "pkg/author/tester", "pkg/rollout/bundle", "pkg/internal/testbundles"},
		"the contract with a policy does not depend on the engine"},
	{"github.com/envoyproxy/go-control-plane", []string{"pkg/extauthz", "pkg/run/conformance", "pkg/author/proxy",
		"pkg/internal/bench"}, "the spine answers in HTTP terms; only the edge speaks Envoy's"},
	{"go.uber.org/zap", []string{"pkg/run/telemetry", "pkg/run/server", "pkg/run/demo", "cmd/stepward"},
		"mechanisms return errors; they do not log"},
	{"google.golang.org/grpc", []string{"pkg/extauthz", "pkg/run/server", "pkg/run/conformance", "pkg/run/telemetry",
		"pkg/internal/bench"}, "one edge speaks gRPC; telemetry measures it"},
	{"go.opentelemetry.io", []string{"pkg/run/telemetry", "pkg/rollout/bundle"},
		"stages leave times in the record; what is made of them is decided in one place"},
	{"github.com/santhosh-tekuri/jsonschema", []string{"pkg/engine/rego"},
		"data is held against schemas where it is loaded, and nowhere else"},
	{"github.com/chromedp", nil, "a browser drives tests, and nothing that is shipped"},
	{"github.com/spf13/cobra", []string{"cmd/stepward"}, "commands live in cmd"},
	{"github.com/prometheus", []string{"pkg/run/telemetry", "pkg/rollout/bundle"},
		"metrics are made of records, not by stages"},
	{"math/rand", nil, "chance that matters is crypto/rand, through a field"},
}

// pureOf lists packages that import nothing but the standard library and what
// is named.
var pureOf = map[string][]string{
	"pkg/token":               {"pkg/credential"},
	"pkg/internal/strictjson": nil,
	"pkg/request":             {"pkg/internal/strictjson"},
	"pkg/credential":          {"pkg/request"},
	"pkg/stepup":              {"pkg/credential", "pkg/token"},
	"pkg/response":            {"pkg/request"},
	"pkg/response/page":       {"pkg/request"},
	"pkg/config": {"pkg/config/address", "pkg/config/files", "pkg/finding", "pkg/internal/strictyaml", "pkg/stepup",
		"go.yaml.in/yaml/v4"},
	"pkg/authz": {"pkg/credential", "pkg/policy", "pkg/request", "pkg/response", "pkg/response/page", "pkg/stepup",
		"pkg/token"},
}

func TestImportsGoDown(t *testing.T) {
	used := map[[2]string]bool{}
	for pkg, imports := range imports(t) {
		own, folder := floor(pkg)
		if own < 0 {
			t.Errorf("%s stands on no floor: give its folder one in this file", pkg)
			continue
		}
		for _, path := range imports {
			dep, ours := strings.CutPrefix(path, module)
			if !ours {
				continue
			}
			way := [2]string{pkg, dep}
			if exceptions[way] != "" {
				used[way] = true
				continue
			}
			of, its := floor(dep)
			switch beside := [2]string{folder, its}; {
			case of < 0 || of > own:
				t.Errorf("%s must not import %s: imports go down, from %s to what stands below it", pkg, dep, folder)
			case slices.Contains(apart, beside) || slices.Contains(apart, [2]string{its, folder}):
				t.Errorf("%s must not import %s: %s and %s stand side by side", pkg, dep, folder, its)
			}
		}
	}
	for way := range exceptions {
		if !used[way] {
			t.Errorf("%s no longer imports %s: take the exception away", way[0], way[1])
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

// A door is open to those who go through it, and to nobody else.
func TestDoorsAreUsed(t *testing.T) {
	all := imports(t)
	for _, rule := range forbidden {
		for _, pkg := range rule.allowed {
			if !slices.ContainsFunc(all[pkg], func(path string) bool { return strings.HasPrefix(path, rule.what) }) {
				t.Errorf("%s no longer imports %s: take it off the list", pkg, rule.what)
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
