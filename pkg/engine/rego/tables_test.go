package rego_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/internal/wait"
	"github.com/stepward/stepward/policies"
)

// tablePolicy looks into data.routes in the way that is narrowed, or in one that is not.
func tablePolicy(t testing.TB, narrowed bool, more ...rego.Source) *rego.Policy {
	t.Helper()
	table := "data.routes"
	if !narrowed {
		table = "array.concat(data.routes, [])"
	}
	library, err := rego.FromFS(policies.Library())
	if err != nil {
		t.Fatal(err)
	}
	// Without the schemas, which refuse many of these patterns: what is compared here must be
	// the same for those as well.
	library = slices.DeleteFunc(library, func(s rego.Source) bool { return strings.HasSuffix(s.Name, ".json") })
	sources := append(library, rego.Source{Name: "p.rego", Text: []byte(head + `
import data.stepward.lib.routes
require contains {"level": "authenticated"}
require contains entry.require if {
	some entry in ` + table + `
	routes.matches(entry, input.request)
}`)})
	p, err := rego.Load(t.Context(), append(sources, more...), rego.Options{Ladder: ladder(t), Timeout: wait.Bound})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func asData(t testing.TB, v any) rego.Source {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return rego.Source{Name: "routes.json", Text: text}
}

// levels are what p requires of a request, sorted.
func levels(t testing.TB, p *rego.Policy, method, target string) []string {
	t.Helper()
	r, err := p.Evaluate(t.Context(), ask(t, method, target, nil))
	if err != nil {
		return []string{"error"}
	}
	var list []string
	for _, x := range r.Require {
		list = append(list, fmt.Sprint(x.Level, x.Scope, strings.Trim(x.Rule[strings.LastIndex(x.Rule, ":"):], ":)")))
	}
	slices.Sort(list)
	return list
}

// What a table says does not depend on whether it was narrowed: every pattern, of up to
// three segments of a small alphabet, against every path of such segments.
func TestNarrowedTablesSayTheSame(t *testing.T) {
	words := []string{"a", "b", "*", "**", "é", "a b", `q"`}
	var table []map[string]any
	add := func(path any) {
		entry := map[string]any{"path": path, "require": map[string]any{
			"level": "mfa", "scope": []string{fmt.Sprintf("s%d", len(table))}}}
		if len(table)%5 == 1 {
			entry["methods"] = []string{"POST"}
		}
		table = append(table, entry)
	}
	add("/")
	add("")
	for _, x := range words {
		add("/" + x)
		add(x + "/")
		for _, y := range words {
			add("/" + x + "/" + y)
			for _, z := range []string{"a", "*", "**"} {
				add("//" + x + "/" + y + "/" + z)
			}
		}
	}
	fast := tablePolicy(t, true, asData(t, map[string]any{"routes": table}))
	slow := tablePolicy(t, false, asData(t, map[string]any{"routes": table}))
	paths := []string{"/"}
	escaped := []string{"a", "b", "c", "*", "**", "%C3%A9", "a%20b", "q%22"}
	for _, x := range escaped {
		paths = append(paths, "/"+x, "/"+x+"/")
		for _, y := range escaped {
			paths = append(paths, "/"+x+"/"+y)
			for _, z := range []string{"a", "c"} {
				paths = append(paths, "/"+x+"/"+y+"/"+z)
			}
		}
	}
	more := 0
	for _, path := range paths {
		is, want := levels(t, fast, "POST", path), levels(t, slow, "POST", path)
		if !reflect.DeepEqual(is, want) {
			t.Errorf("%s: %v; want %v", path, is, want)
		}
		if len(want) > 1 {
			more++
		}
	}
	if more < 50 {
		t.Errorf("only %d paths match anything", more)
	}
}

// If it is not certain that every match is a candidate, nothing is narrowed; an unreadable
// entry applies to every request.
func TestTablesThatAreNotNarrowed(t *testing.T) {
	entry := func(path any) map[string]any {
		return map[string]any{"path": path, "require": map[string]any{"level": "mfa"}}
	}
	for name, c := range map[string]struct {
		more []rego.Source
		want string
	}{
		"a rule of the policy's own in the library's package": {[]rego.Source{
			asData(t, map[string]any{"routes": []any{entry("/elsewhere")}}),
			{Name: "more.rego", Bundled: true,
				Text: []byte(
					"package stepward.lib.routes\nimport rego.v2\nmatches(_, request) if request.segments[0] == \"x\"")},
		}, "[authenticated[]5 mfa[]6]"},
		"a table that rules make": {[]rego.Source{
			{Name: "more.rego", Text: []byte(
				"package routes\nimport rego.v2\nx := {\"path\": \"/x\", \"require\": {\"level\": \"mfa\"}}")},
		}, "[authenticated[]5 mfa[]6]"},
		"a table that rules hide": {[]rego.Source{
			asData(t, map[string]any{"routes": []any{entry("/elsewhere")}}),
			{Name: "more.rego", Text: []byte(
				"package routes\nimport rego.v2\nx := {\"path\": \"/x\", \"require\": {\"level\": \"mfa\"}}")},
		}, "[authenticated[]5 mfa[]6]"},
		"an object in place of a list": {
			[]rego.Source{asData(t, map[string]any{"routes": map[string]any{"one": entry("/x")}})},
			"[authenticated[]5 mfa[]6]"},
		"no entries": {[]rego.Source{asData(t, map[string]any{"routes": []any{}})},
			"[authenticated[]5]"},
		"a path that is no text": {
			[]rego.Source{asData(t, map[string]any{"routes": []any{entry("/y"), entry(7)}})},
			"[authenticated[]5 mfa[]6]"},
		"an entry that is no object": {[]rego.Source{asData(t, map[string]any{"routes": []any{"/x", entry("/x")}})},
			"[authenticated[]5 mfa[]6]"},
		"no path at all": {
			[]rego.Source{asData(t, map[string]any{
				"routes": []any{map[string]any{"require": map[string]any{"level": "mfa"}}}})},
			"[authenticated[]5 mfa[]6]"},
	} {
		t.Run(name, func(t *testing.T) {
			if is := fmt.Sprint(levels(t, tablePolicy(t, true, c.more...), "GET", "/x")); is != c.want {
				t.Errorf("%s; want %s", is, c.want)
			}
		})
	}
}
