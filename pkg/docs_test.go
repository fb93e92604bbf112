package pkg_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

// Every exported name has a comment that begins with it, and so has every comment of a
// function. A function does something: its comment says so with a verb, and nine of ten
// do.
func TestComments(t *testing.T) {
	functions, states := 0, 0
	goFiles(t, func(path string) {
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				where := set.Position(d.Pos())
				text := d.Doc.Text()
				switch {
				case text == "" && d.Name.IsExported() && exportedReceiver(d):
					t.Errorf("%s: %s has no comment", where, d.Name.Name)
				case text != "" && !begins(text, d.Name.Name):
					t.Errorf("%s: the comment of %s begins with other words: %.40q", where, d.Name.Name, text)
				case text != "":
					functions++
					if isState(text) {
						states++
					}
				}
			case *ast.GenDecl:
				undocumented(t, set, d)
			}
		}
	})
	if functions < 1000 {
		t.Fatalf("only %d comments of functions are looked at", functions)
	}
	if states*10 > functions {
		t.Errorf("%d of %d comments of functions say what they are, and not what they do", states, functions)
	}
}

// begins reports whether text begins with the name, or with an article before it.
func begins(text, name string) bool {
	for _, article := range []string{"", "A ", "An ", "The "} {
		if rest, ok := strings.CutPrefix(text, article+name); ok && (rest == "" || !isLetter(rest[0])) {
			return true
		}
	}
	return strings.HasPrefix(text, "Deprecated:")
}

func isLetter(c byte) bool {
	return c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// isState reports whether a comment goes on with a form of "be", as in "path is the …".
func isState(text string) bool {
	words := strings.Fields(text)
	return len(words) > 1 && (words[1] == "is" || words[1] == "are")
}

// exportedReceiver reports whether d is a function, or a method of an exported type.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	of := d.Recv.List[0].Type
	if star, ok := of.(*ast.StarExpr); ok {
		of = star.X
	}
	if generic, ok := of.(*ast.IndexExpr); ok {
		of = generic.X
	}
	name, ok := of.(*ast.Ident)
	return ok && name.IsExported()
}

// undocumented complains of exported types, constants and variables without a comment.
// One comment may stand for a group of constants.
func undocumented(t *testing.T, set *token.FileSet, d *ast.GenDecl) {
	t.Helper()
	for _, spec := range d.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			text := s.Doc.Text() + d.Doc.Text()
			if s.Name.IsExported() && !begins(text, s.Name.Name) {
				t.Errorf("%s: the comment of %s begins with other words: %.40q", set.Position(s.Pos()), s.Name.Name,
					text)
			}
		case *ast.ValueSpec:
			if s.Names[0].IsExported() && s.Doc.Text()+s.Comment.Text()+d.Doc.Text() == "" {
				t.Errorf("%s: %s has no comment", set.Position(s.Pos()), s.Names[0].Name)
			}
		}
	}
}
