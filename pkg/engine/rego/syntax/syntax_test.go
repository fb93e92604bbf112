package syntax_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/stepward/stepward/pkg/engine/rego/syntax"
)

// module parses text as the policy.
func module(t *testing.T, text string) *ast.Module {
	t.Helper()
	m, err := ast.ParseModuleWithOpts("p.rego", "package stepward.policy\nimport data.helpers\n"+text,
		ast.ParserOptions{RegoVersion: ast.RegoV1})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// A term stands for what the text says, and for nothing that a request decides.
func TestConstants(t *testing.T) {
	for text, want := range map[string]string{
		`v := 1`:                                "1",
		`v := x if x := "a"`:                    `"a"`,
		`v := x if some x in ["a", "b"]`:        `"a" "b"`,
		`v := list[0]` + "\n" + `list := ["a"]`: `"a"`,
		`v := o.k` + "\n" + `o := {"k": 2}`:     "2",
		`v := upper("a")`:                       `"A"`,
		`v := f("a")` + "\n" + `f(x) := {x}`:    `{"a"}`,
		`v := input.request.path`:               "_",
		`v := x if { some x in ["a", "b"]; x != input.request.method; x == "a" }`: "_",
		`v := [input.request.path, 1]`:                                            "[_, 1]",
	} {
		m := module(t, text)
		c := syntax.NewConstants(map[string]*ast.Module{"p.rego": m})
		var got []string
		for _, v := range c.Of(m.Rules[0].Head.Value, m.Rules[0], m) {
			got = append(got, v.String())
			if syntax.Known(v) == strings.Contains(v.String(), "_") {
				t.Errorf("%s: known %t", v, syntax.Known(v))
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q; want %q", text, got, want)
		}
	}
}

// A member of the input is found however a rule reaches it.
func TestFields(t *testing.T) {
	for text, want := range map[string]string{
		`v := input.request.path`:                      "request.path",
		`v := x.path if x := input.request`:            "request.path",
		`v := x if some x in input.request.segments`:   "request.segments.*",
		`v := lower(input.request.host)`:               "request.host",
		`v := input.request.headers["x-plan"]`:         "request.headers.*",
		`v := split(input.request.path, "/")[0]`:       "request.path./.0",
		`v := data.x`:                                  "",
		`v := x if { x := input.a; x := input.b }`:     "",
		`v := input.token.claims[input.request.query]`: "token.claims.*",
	} {
		m := module(t, text)
		r := m.Rules[0]
		f, ok := syntax.FieldOf(r.Head.Value, syntax.FieldsIn(r, nil))
		if ok != (want != "") || ok && f.Key() != want {
			t.Errorf("%s: %q %t; want %q", text, f.Key(), ok, want)
		}
	}
}

// A pattern that could not match is an error with a hint, and one that can is not.
func TestPatterns(t *testing.T) {
	for p, ok := range map[string]bool{
		"/": true, "/a/*/b": true, "/a/**": true, "/a/": true,
		"a": false, "/a//b": false, "/**/a": false, "/a*": false, "/{id}": false, "/a/..": false, "/%61": false,
		"/a?x": false, "/a ": false,
	} {
		err := syntax.CheckPattern(p, false)
		if (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "\x00") {
			t.Errorf("%s: %v", p, err)
		}
	}
	if syntax.CheckPattern("/A", false) != nil || syntax.CheckPattern("/A", true) == nil {
		t.Error("capitals of a path that is folded")
	}
	for m, ok := range map[string]bool{"GET": true, "get": false, "*": false, "": false} {
		if (syntax.CheckMethod(m) == nil) != ok {
			t.Errorf("method %q: %t", m, !ok)
		}
	}
	for h, ok := range map[string]bool{"a.example": true, "a:80": true, "[::1]": true, "A.example": false, "a.": false,
		"*.a": false} {
		if (syntax.CheckHost(h) == nil) != ok {
			t.Errorf("host %q: %t", h, !ok)
		}
	}
}

// The names that mean something to Stepward, and no others.
func TestNames(t *testing.T) {
	for path, want := range map[string][2]bool{ // it decides; it is ours
		"data.stepward.policy": {true, true}, "data.stepward.route.pay": {true, true}, "data.stepward.route": {
			false, true},
		"data.stepward.route.pay.more": {false, true}, "data.stepward.lib.aal": {false, true},
		"data.app": {false, false},
	} {
		ref := ast.MustParseRef(path)
		if got := [2]bool{syntax.IsEntry(ref), syntax.IsOurs(ref)}; got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
	if !syntax.IsTest("a/p_test.rego") || syntax.IsTest("a/test.rego") || !syntax.IsTestRule("todo_test_x") ||
		syntax.IsTestRule("tests") {
		t.Error("tests")
	}
	if !slices.Contains(syntax.EntryRules, syntax.Require) || fmt.Sprint(len(syntax.EntryRules)) != "5" {
		t.Error(syntax.EntryRules)
	}
}
