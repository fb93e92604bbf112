package rego

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/stepward/stepward/pkg/engine/rego/syntax"
	"github.com/stepward/stepward/policies"
)

// A rule that looks for its entry in a table of data,
//
//	some entry in data.routes
//	routes.matches(entry, input.request)
//
// would compare the request with every entry. So the evaluated copy of the rule looks only
// at candidates. For each table there is a set of the indices of entries, with one rule for
// each index, whose conditions are the literal segments of the entry's pattern. OPA finds
// the rules of such a set by an index.
//
// A candidate is still compared in full. A table may be narrowed only if every entry that
// matches is a candidate; otherwise a requirement would be lost. If that is not certain,
// the rule stays as written.

// tablesPackage holds the candidates.
const tablesPackage = "__stepward.tables"

// maxSpelled is how many segments of a pattern decide on a candidate.
const maxSpelled = 8

// spelled is a condition of an entry: the path has this text as segment number place.
type spelled struct {
	place int
	text  string
}

// matcher is a function of the library, with a way to find the literal segments of an
// entry. An entry without any, or one that cannot be read, is always a candidate.
type matcher struct {
	pkg, function, file string
	spells              func(entry map[string]any) []spelled
}

var matchers = []matcher{
	{"data.stepward.lib.routes", "matches", "routes.rego", spelledByPath},
	{"data.stepward.lib.grpc", "matches", "grpc.rego", spelledByService},
}

// spelledByPath returns what stepward.lib.routes compares one by one: each segment of the
// pattern but "*", and "**" at the end.
func spelledByPath(entry map[string]any) []spelled {
	pattern, _ := entry["path"].(string)
	segments := slices.DeleteFunc(strings.Split(pattern, "/"), func(s string) bool { return s == "" })
	if n := len(segments); n > 0 && segments[n-1] == "**" {
		segments = segments[:n-1]
	}
	var list []spelled
	for i, s := range segments {
		if s != "*" && len(list) < maxSpelled {
			list = append(list, spelled{i, s})
		}
	}
	return list
}

func spelledByService(entry map[string]any) []spelled {
	if service, ok := entry["service"].(string); ok {
		return []spelled{{0, service}}
	}
	return nil
}

// tables collects the candidates of the tables that rules look into.
type tables struct {
	loader   *loader
	document map[string]any
	modules  map[string]*ast.Module
	text     strings.Builder
	count    int
}

// narrowed returns r with candidates in place of whole tables, or nil if there are none.
func (t *tables) narrowed(r *ast.Rule, m *ast.Module) *ast.Rule {
	var body ast.Body
	c := r.Copy()
	for i, e := range c.Body {
		entry, table := someIn(e)
		match, ok := t.matcherOf(c.Body[i+1:], entry, m)
		if table == nil || !ok {
			body.Append(e)
			continue
		}
		entries, ok := t.lookUp(table)
		if !ok {
			body.Append(e)
			continue
		}
		name := t.candidates(entries, match)
		place := fmt.Sprintf("__stepward_place%d", t.count)
		for _, x := range ast.MustParseBody(fmt.Sprintf("some %s in data.%s.%s; %s := %s[%s]", place, tablesPackage,
			name, entry, table, place)) {
			x.Location = e.Location
			body.Append(x)
		}
		t.count++
	}
	if len(body) == len(c.Body) {
		return nil
	}
	c.Body = body
	return c
}

// someIn reads e as `some entry in table`, where the table is a place in data.
func someIn(e *ast.Expr) (entry ast.Var, table ast.Ref) {
	declared, ok := e.Terms.(*ast.SomeDecl)
	if !ok || e.Negated || len(e.With) > 0 || len(declared.Symbols) != 1 {
		return "", nil
	}
	call, ok := declared.Symbols[0].Value.(ast.Call)
	if !ok || len(call) != 3 || !call[0].Value.(ast.Ref).Equal(ast.Member.Ref()) {
		return "", nil
	}
	entry, isVar := call[1].Value.(ast.Var)
	table, isRef := call[2].Value.(ast.Ref)
	if !isVar || !isRef || !table.HasPrefix(ast.DefaultRootRef) || len(table) < 2 || !table.IsGround() {
		return "", nil
	}
	return entry, table
}

// matcherOf returns the matcher that one of the following expressions applies to entry and
// the whole request.
func (t *tables) matcherOf(rest ast.Body, entry ast.Var, m *ast.Module) (matcher, bool) {
	for _, e := range rest {
		if !e.IsCall() || e.Negated || len(e.With) > 0 || len(e.Operands()) != 2 {
			continue
		}
		first, isVar := e.Operand(0).Value.(ast.Var)
		second, isRef := e.Operand(1).Value.(ast.Ref)
		if !isVar || first != entry || !isRef || second.String() != "input.request" {
			continue
		}
		called := syntax.Imported(e.Operator(), m)
		for _, x := range matchers {
			if called == x.pkg+"."+x.function && t.shipped(x) {
				return x, true
			}
		}
	}
	return matcher{}, false
}

// shipped reports whether the package of x holds only the library's rules: another rule in
// it could match more.
func (t *tables) shipped(x matcher) bool {
	text, err := fs.ReadFile(policies.Library(), x.file)
	if err != nil {
		return false
	}
	found := 0
	for name, m := range t.modules {
		if m.Package.Path.String() != x.pkg {
			for _, r := range m.Rules { // package stepward.lib may have a rule routes.matches
				if m.Package.Path.Extend(r.Head.Ref()).HasPrefix(ast.MustParseRef(x.pkg)) {
					return false
				}
			}
			continue
		}
		found++
		if string(t.loader.texts[name]) != string(text) {
			return false
		}
	}
	return found > 0
}

// lookUp returns the array at a place in data, unless rules contribute to it.
func (t *tables) lookUp(table ast.Ref) ([]any, bool) { return listInData(table, t.modules, t.document) }

// listInData returns the array at a place in data, unless rules of modules contribute to
// it.
func listInData(table ast.Ref, modules map[string]*ast.Module, document map[string]any) ([]any, bool) {
	for _, m := range modules {
		if m.Package.Path.HasPrefix(table) || table.HasPrefix(m.Package.Path) {
			return nil, false
		}
	}
	var at any = document
	for _, term := range table[1:] {
		name, isText := term.Value.(ast.String)
		object, isObject := at.(map[string]any)
		if !isText || !isObject {
			return nil, false
		}
		at = object[string(name)]
	}
	entries, ok := at.([]any)
	return entries, ok
}

// candidates writes the rules of one table, and returns the name of their set.
func (t *tables) candidates(entries []any, x matcher) string {
	name := fmt.Sprintf("t%d", t.count)
	fmt.Fprintf(&t.text, "%s contains -1 if false\n", name) // a table without entries has candidates, too: none
	for i, e := range entries {
		entry, _ := e.(map[string]any)
		fmt.Fprintf(&t.text, "%s contains %d if {\n", name, i)
		for _, s := range x.spells(entry) {
			literal, err := json.Marshal(s.text)
			if err != nil {
				continue // fewer conditions make more candidates
			}
			fmt.Fprintf(&t.text, "\tinput.request.segments[%d] == %s\n", s.place, literal)
		}
		t.text.WriteString("\ttrue\n}\n")
	}
	return name
}

// module returns the candidates written so far, or nil.
func (t *tables) module() (*ast.Module, error) {
	if t.count == 0 {
		return nil, nil
	}
	candidates := Source{Name: "__tables.rego", Text: []byte("package " + tablesPackage + "\n\n" + t.text.String())}
	return candidates.Module(capabilities())
}
