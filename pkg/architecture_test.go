package pkg_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	step   = regexp.MustCompile("`(pkg/[a-z/_]+\\.go)` `([A-Za-z]+)`")
	folder = regexp.MustCompile(`<b>([a-z]+)</b> [^"<]*<br/>([^"]+)"`)
)

// The page on the architecture names what there is: each step of the request that it walks
// through, and each package of a wing in its picture.
func TestArchitecturePage(t *testing.T) {
	text, err := os.ReadFile("../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	steps := step.FindAllStringSubmatch(string(text), -1)
	if len(steps) < 12 {
		t.Errorf("only %d steps", len(steps))
	}
	for _, s := range steps {
		if !declares(t, "../"+s[1], s[2]) {
			t.Errorf("%s has no function %s", s[1], s[2])
		}
	}
	wings := folder.FindAllStringSubmatch(string(text), -1)
	if len(wings) < 5 {
		t.Errorf("only %d wings", len(wings))
	}
	for _, w := range wings {
		drawn := strings.FieldsFunc(strings.ReplaceAll(w[2], "<br/>", " "), func(r rune) bool {
			return r < 'a' || r > 'z'
		})
		if there := packagesOf(t, w[1]); !slices.Equal(slices.Sorted(slices.Values(drawn)), there) {
			t.Errorf("%s is drawn with %q, and has %q", w[1], drawn, there)
		}
	}
}

func declares(t *testing.T, file, function string) bool {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), filepath.FromSlash(file), nil, 0)
	if err != nil {
		t.Error(err)
		return false
	}
	return slices.ContainsFunc(f.Decls, func(d ast.Decl) bool {
		fn, ok := d.(*ast.FuncDecl)
		return ok && fn.Name.Name == function
	})
}

// packagesOf lists the packages that lie directly in a wing.
func packagesOf(t *testing.T, wing string) []string {
	t.Helper()
	var all []string
	files, err := filepath.Glob(wing + "/*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		all = append(all, filepath.Base(filepath.Dir(f)))
	}
	slices.Sort(all)
	return slices.Compact(all)
}
