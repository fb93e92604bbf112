package matrix_test

import (
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/author/matrix"
)

// Every way in which routes are written.
func TestParseRoutes(t *testing.T) {
	for name, x := range map[string]struct{ text, want string }{
		"list": {"# a comment\n\nGET,POST /a/**\n/b\nhost.example.com/c\n",
			"GET,POST /a/**|GET,POST /b|GET,POST host.example.com/c"},
		"openapi": {
			"openapi: 3.1.0\npaths:\n  /b/{id}: { get: {}, put: {}, parameters: [] }\n  /a: { post: {} }\n  /none: { summary: x }\n", "POST /a|GET,PUT /b/{id}"},
		"httproute": {
			"kind: HTTPRoute\nspec:\n  hostnames: [a.example.com]\n  rules:\n  - matches:\n    - path: { type: Exact, value: /x }\n      method: GET\n    - path: { type: PathPrefix, value: /y }\n  - backendRefs: []\n---\nkind: GRPCRoute\nspec:\n  rules: [{ matches: [{ method: { service: s.S, method: M } }] }]\n",
			"GET a.example.com/x|GET,POST a.example.com/y|GET,POST a.example.com/y/**|GET,POST a.example.com/**|POST /s.S/M"},
		"envoy": {
			"static_resources:\n  listeners:\n  - filter_chains:\n    - filters:\n      - typed_config:\n          route_config:\n            virtual_hosts:\n            - domains: [\"*\"]\n              routes:\n              - match: { prefix: / }\n              - match: { path: /exact, headers: [{ name: \":method\", string_match: { exact: PUT } }] }\n              - match: { prefix: /pay }\n              - match: { path_separated_prefix: /sep }\n              - match: { safe_regex: { regex: .* } }\n",
			"GET,POST /|GET,POST /**|PUT /exact|GET,POST /pay|GET,POST /pay/**|GET,POST /{pay…}|GET,POST /{pay…}/**|GET,POST /sep|GET,POST /sep/**|GET,POST /**"},
		"config dump": {
			`{"configs":[{"dynamic_route_configs":[{"route_config":{"virtual_hosts":[{"domains":["a"],"routes":[{"match":{"path":"/x"}}]}]}}]}]}`, "GET,POST a/x"},
	} {
		t.Run(name, func(t *testing.T) {
			list, err := matrix.ParseRoutes(name, []byte(x.text))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range list {
				again, err := matrix.ParseRoutes(name, []byte(r.String()))
				if err != nil || len(again) != 1 || again[0].String() != r.String() || again[0].Path != r.Path ||
					again[0].Host != r.Host {
					t.Errorf("%q is read as %v, %v", r, again, err)
				}
				methods := r.Methods
				if len(methods) == 0 {
					methods = []string{"GET", "POST"}
				}
				got = append(got, strings.Join(methods, ",")+" "+r.Host+r.Path)
			}
			if strings.Join(got, "|") != x.want {
				t.Errorf("%s\nwant %s", strings.Join(got, "|"), x.want)
			}
		})
	}
	for _, bad := range []string{"", "# nothing\n", "nonsense\n", "get /a\n", "GET /a b\n", "{}", "[1]"} {
		if list, err := matrix.ParseRoutes("bad", []byte(bad)); err == nil {
			t.Errorf("%q: %v", bad, list)
		}
	}
}

// A file that breaks off loses no route without a word.
func TestRoutesOfBrokenYAML(t *testing.T) {
	const route = "kind: HTTPRoute\nspec: { rules: [{ matches: [{ path: { value: /a } }] }] }\n"
	if routes, err := matrix.ParseRoutes("r.yaml", []byte(route+"---\n"+route)); err != nil || len(routes) != 4 {
		t.Fatal(routes, err)
	}
	for text, want := range map[string]string{
		route + "---\nkind: HTTPRoute\nspec:\n\trules: []\n": "r.yaml:6:1: not YAML: a tab; YAML wants spaces",
		"kind: HTTPRoute\nspec: { rules: [\n":                "r.yaml:",
		"GET /x\nPOST\n":                                     "line 2 is not a route",
	} {
		if routes, err := matrix.ParseRoutes("r.yaml", []byte(text)); err == nil || !strings.Contains(
			err.Error(), want) {
			t.Errorf("%q: %v %v", text, routes, err)
		}
	}
	if routes, err := matrix.ParseRoutes("routes.txt", []byte("# all: [\nGET /x\n*/y\n")); err != nil ||
		len(routes) != 2 {
		t.Error(routes, err)
	}
}
