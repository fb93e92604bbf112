package pkg_test

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// The bounds of a shape that a reader can hold in mind. Files and lines of tests count
// like any others; functions of tests do not, since a table is long and simple.
const (
	longestFunction = 70
	usualFunction   = 28 // nine of ten functions are no longer
	longestFile     = 400
	widestLine      = 120
	mostBranches    = 18 // cyclomatic complexity
)

// function is one that has a body, and the lines from its name to its closing brace.
type function struct {
	where    string
	lines    int
	branches int
}

func TestShape(t *testing.T) {
	var all []function
	goFiles(t, func(path string) {
		lines := measureLines(t, path)
		if lines > longestFile {
			t.Errorf("%s has %d lines: at most %d", path, lines, longestFile)
		}
		if !strings.HasSuffix(path, "_test.go") {
			all = append(all, functions(t, path)...)
		}
	})
	if len(all) < 1000 {
		t.Fatalf("only %d functions are looked at", len(all))
	}
	for _, f := range all {
		if f.lines > longestFunction {
			t.Errorf("%s has %d lines: at most %d", f.where, f.lines, longestFunction)
		}
		if f.branches > mostBranches {
			t.Errorf("%s has a complexity of %d: at most %d", f.where, f.branches, mostBranches)
		}
	}
	slices.SortFunc(all, func(a, b function) int { return a.lines - b.lines })
	if p90 := all[len(all)*9/10]; p90.lines > usualFunction {
		t.Errorf("one function in ten has %d lines or more (%s): at most %d", p90.lines, p90.where, usualFunction)
	}
}

// measureLines counts the lines of a file and complains of those that are too wide. A
// line with a long literal that no space divides cannot be cut.
func measureLines(t *testing.T, path string) int {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		n++
		line := strings.ReplaceAll(lines.Text(), "\t", "    ")
		if !strings.HasSuffix(path, "_test.go") && utf8.RuneCountInString(line) > widestLine && strings.Contains(
			strings.TrimSpace(line), " ") {
			t.Errorf("%s:%d has more than %d columns", path, n, widestLine)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return n
}

// functions measures the functions of one file. A literal counts for the function around
// it.
func functions(t *testing.T, path string) []function {
	t.Helper()
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []function
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		from, to := set.Position(fn.Pos()), set.Position(fn.End())
		all = append(all, function{
			where: fmt.Sprintf("%s:%d %s", path, from.Line, fn.Name.Name), lines: to.Line - from.Line + 1,
			branches: branches(fn.Body),
		})
	}
	return all
}

// branches is the cyclomatic complexity of body, as gocyclo counts it.
func branches(body ast.Node) int {
	n := 1
	ast.Inspect(body, func(node ast.Node) bool {
		switch x := node.(type) {
		case *ast.IfStmt, *ast.ForStmt, *ast.RangeStmt:
			n++
		case *ast.CaseClause:
			if x.List != nil {
				n++
			}
		case *ast.CommClause:
			if x.Comm != nil {
				n++
			}
		case *ast.BinaryExpr:
			if x.Op == token.LAND || x.Op == token.LOR {
				n++
			}
		}
		return true
	})
	return n
}

// goFiles visits every Go file of this module, tests too.
func goFiles(t *testing.T, visit func(path string)) {
	t.Helper()
	for _, root := range []string{"../cmd", "../pkg", "../policies", "../envoy", "../examples"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".go") {
				visit(filepath.ToSlash(path))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
