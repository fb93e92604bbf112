package pkg_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A test that measures time, or hopes that some is enough, fails on a busy machine. So
// tests wait by pkg/internal/wait, or have a clock of their own, and what else looks at
// the time says why on its line, behind "// clock:".
func TestNoTestIsInAHurry(t *testing.T) {
	files := 0
	for _, root := range []string{"../cmd", "../pkg", "../policies", "../envoy", "../examples"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			files++
			set := token.NewFileSet()
			f, err := parser.ParseFile(set, path, nil, parser.ParseComments)
			if err != nil {
				return err
			}
			for _, h := range hurries(set, f) {
				t.Error(h)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 80 {
		t.Errorf("only %d files of tests are looked at", files)
	}
}

// hurries lists what looks at the time in f, and does not say why. Benchmarks may.
func hurries(set *token.FileSet, f *ast.File) []string {
	excused := map[int]bool{}
	for _, c := range f.Comments {
		if strings.HasPrefix(c.Text(), "clock: ") {
			excused[set.Position(c.Pos()).Line] = true
		}
	}
	var all []string
	tell := func(n ast.Node, what string) {
		if at := set.Position(n.Pos()); !excused[at.Line] {
			all = append(all, fmt.Sprintf(
				"%s: %s: wait for what is to come by pkg/internal/wait, or say why this cannot fail on a busy machine: // clock: ...", at, what))
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			return !takes(n, "B")
		case *ast.CallExpr:
			if what := timed(n); what != "" {
				tell(n, what)
			}
		case *ast.KeyValueExpr: // of an http.Client, or of what calls one
			if k, ok := n.Key.(*ast.Ident); ok && k.Name == "Timeout" && constant(n.Value) && impatient(n.Value) {
				tell(n, "a Timeout of less than a minute")
			}
		case *ast.BinaryExpr:
			if slices.Contains([]token.Token{token.LSS, token.GTR, token.LEQ, token.GEQ}, n.Op) &&
				(constant(n.X) || constant(n.Y)) {
				tell(n, "a comparison with a duration")
			}
		}
		return true
	})
	return all
}

// timed is a name of a call that looks at the time, or waits some.
func timed(c *ast.CallExpr) string {
	s, ok := c.Fun.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	if x, ok := s.X.(*ast.Ident); ok {
		name := x.Name + "." + s.Sel.Name
		if slices.Contains([]string{"time.Sleep", "time.Since", "time.After", "time.AfterFunc", "time.NewTimer",
			"time.Tick", "context.WithTimeout", "context.WithDeadline"}, name) && !named(c, "wait", "Bound") {
			return name
		}
	}
	if call, ok := s.X.(*ast.CallExpr); ok && slices.Contains([]string{"After", "Before", "Sub", "Compare"},
		s.Sel.Name) && named(call.Fun, "time", "Now") {
		return "time.Now()." + s.Sel.Name
	}
	if slices.Contains([]string{"SetDeadline", "SetReadDeadline", "SetWriteDeadline"}, s.Sel.Name) &&
		!named(c, "wait", "Bound") {
		return s.Sel.Name
	}
	return ""
}

// constant reports whether e is made with a unit of time.
func constant(e ast.Expr) bool {
	return slices.ContainsFunc([]string{"Nanosecond", "Microsecond", "Millisecond", "Second", "Minute", "Hour"},
		func(unit string) bool { return named(e, "time", unit) })
}

func impatient(e ast.Expr) bool {
	return !named(e, "time", "Minute") && !named(e, "time", "Hour")
}

// named reports whether of.name is in n.
func named(n ast.Node, of, name string) bool {
	found := false
	ast.Inspect(n, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			x, ok := s.X.(*ast.Ident)
			found = found || ok && x.Name == of && s.Sel.Name == name
		}
		return !found
	})
	return found
}

// takes reports whether f has a parameter of type *testing.kind.
func takes(f *ast.FuncDecl, kind string) bool {
	return slices.ContainsFunc(f.Type.Params.List, func(p *ast.Field) bool {
		star, ok := p.Type.(*ast.StarExpr)
		return ok && named(star, "testing", kind)
	})
}

// The rule finds each way to be in a hurry, and leaves everything else alone.
func TestHurries(t *testing.T) {
	const head, foot = "package p\nfunc TestX(t *testing.T) {\n", "\n}\n"
	for text, want := range map[string]int{
		"time.Sleep(x)":                                               1,
		"time.Sleep(x) // clock: a pause":                             0,
		"for time.Since(start) < x {}":                                1,
		"if d > 2*time.Second {}":                                     1,
		"if time.Now().After(deadline) {}":                            1,
		"select { case <-time.After(x): }":                            1,
		"ctx, c := context.WithTimeout(ctx, time.Second)":             1,
		"ctx, c := context.WithTimeout(ctx, 2*wait.Bound)":            0,
		"conn.SetDeadline(time.Now().Add(time.Second))":               1,
		"conn.SetDeadline(time.Now().Add(wait.Bound))":                0,
		"c := http.Client{Timeout: time.Second}":                      1,
		"c := http.Client{Timeout: wait.Bound}":                       0,
		"expires := time.Now().Add(time.Hour)":                        0,
		"clock.Advance(10 * time.Second)":                             0,
		"wait.Until(t, \"x\", func() bool { return n == 2 })":         0,
		"if n < 100 {}":                                               0,
		"if v.Deadline != 150*time.Millisecond {}":                    0,
		"// clock: this says nothing of the next line\ntime.Sleep(x)": 1,
	} {
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, "x_test.go", head+text+foot, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if got := hurries(set, f); len(got) != want {
			t.Errorf("%s: %q; want %d", text, got, want)
		}
	}
}
