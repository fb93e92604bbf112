package analysis_test

import (
	"slices"
	"strings"
	"testing"
)

// What a policy looks at is found through helpers, functions, variables and whole
// documents that are handed on; what it does not look at is not.
func TestReads(t *testing.T) {
	const head = "package stepward.policy\nimport rego.v2\nrequire contains {\"level\": \"authenticated\"}\n"
	body := "request.body.json"
	for name, c := range map[string]struct {
		text string
		want string // among what is read
		not  string
	}{
		"directly":  {`deny contains {"code": "x"} if input.request.body.json.amount > 1000`, body, "source"},
		"below not": {`deny contains {"code": "x"} if not input.request.body.json.ok`, body, "source"},
		"a helper": {"deny contains {\"code\": \"x\"} if big\nbig if input.request.body.json.amount > 1000",
			body, "source"},
		"a function": {
			"deny contains {\"code\": \"x\"} if big(input.request)\nbig(r) if r.body.json.amount > 1000", body,
			"source"},
		"two functions": {"deny contains {\"code\": \"x\"} if a(input)\na(i) if b(i.request)\nb(r) if r.body.json",
			body, "source"},
		"a variable": {"deny contains {\"code\": \"x\"} if { r := input.request; r.body.json.amount > 1 }", body,
			"source"},
		"a comprehension": {`deny contains {"code": "x"} if count([1 | input.request.body.json.list[_]]) > 3`, body,
			"source"},
		"else": {
			"deny contains {\"code\": \"x\"} if f == 2\nf := 1 if input.request.method == \"GET\" else := 2 if input.request.body.json.x", body, "source"},
		"a header": {`headers["x-tenant"] := input.route.metadata.acme.tenant`, "route.metadata.acme.tenant",
			"request.body"},
		"a helper unused":   {"big if input.request.body.json.amount > 1000", "", "request.body"},
		"a function unused": {"big(r) if r.body.json.amount > 1000", "", "request.body"},
		"another member": {`deny contains {"code": "x"} if input.request.method == "TRACE"`, "request.method",
			"request.body"},
		"computed": {`deny contains {"code": "x"} if { some k in ["a"]; input.request.headers[k] == "1" }`,
			"request.headers", "request.body"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := load(t, head+c.text+"\n")
			if err != nil {
				t.Fatal(err)
			}
			has := func(prefix string) bool {
				return slices.ContainsFunc(p.Reads(), func(path []string) bool {
					return strings.HasPrefix(strings.Join(path, "."), prefix)
				})
			}
			if c.want != "" && !has(c.want) || has(c.not) {
				t.Errorf("%q; want %q and not %q", p.Reads(), c.want, c.not)
			}
		})
	}
}
