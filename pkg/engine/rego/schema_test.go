package rego_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/internal/strictjson"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/stepup"
	"github.com/stepward/stepward/pkg/token"
	"github.com/stepward/stepward/policies"
)

// tables are policies that give data to the library, with the data as it should be.
var tables = map[string]struct{ rule, data string }{
	"routes": {
		"import data.stepward.lib.routes\n\nrequire contains entry.require if {\n\tsome entry in data.table\n\troutes.matches(entry, input.request)\n}",
		`[{"path": "/payments/**", "methods": ["POST"], "hosts": ["app.example.com"], "require": {"level": "mfa", "max_age": "5m"}}]`,
	},
	"grpc": {
		"import data.stepward.lib.grpc\n\nrequire contains entry.require if {\n\tsome entry in data.table\n\tgrpc.matches(entry, input.request)\n}",
		`[{"service": "shop.v1.Payments", "methods": ["Pay"], "require": {"level": "mfa"}}]`,
	},
	"risk": {
		"import data.stepward.lib.risk\n\nrequire contains {\"level\": \"mfa\"} if risk.at_least(data.table, input.token.subject, 50)",
		`{"alice": {"score": 80}}`,
	},
	"access": {
		"import data.stepward.lib.access\n\nrequire contains {\"level\": \"mfa\"} if not access.program(input.token, data.table)",
		`["nightly"]`,
	},
	"device": {
		"import data.stepward.lib.device\n\nrequire contains {\"level\": \"mfa\"} if not device.by_certificate(input.source, data.table)",
		`["spiffe://example.com/device/"]`,
	},
}

func tableSources(t testing.TB, rule, data string) []rego.Source {
	t.Helper()
	library, err := rego.FromFS(policies.Library())
	if err != nil {
		t.Fatal(err)
	}
	text := "package stepward.policy\n\nimport rego.v2\n\n" + strings.Replace(rule, "\n\n",
		"\n\nrequire contains {\"level\": \"authenticated\"}\n\n", 1) + "\n"
	return append(library, rego.Source{Name: "p.rego", Text: []byte(text)},
		rego.Source{Name: "data.json", Text: []byte(`{"table": ` + data + "}")})
}

// A slip in a table of routes is refused, with its place and what to do, or works as it is
// written.
func TestSlipsInRoutes(t *testing.T) {
	const require = `"require": {"level": "mfa"}`
	for slip, want := range map[string]string{
		`[{"path": "/pay", "methods": "POST", ` + require +
			`}]`: "data.json:1:40: data.table[0].methods is of type string, and must be array [schema]\n\thint: write it as a list: [ … ]",
		`[{"path": "/pay", "methods": ["post"], ` + require +
			`}]`: `data.table[0].methods[0] is "post", and methods are upper case [schema]` +
			"\n\thint: write \"POST\"",
		`[{"path": "/pay", "method": ["POST"], ` + require +
			`}]`: `data.table[0] has an unknown member "method" (did you mean "methods"?)`,
		`[{"path": "/pay*", ` + require + `}]`:                              "* stands for a whole segment",
		`[{"path": "/pay/{id}", ` + require + `}]`:                          "{id} is taken literally",
		`[{"path": "/pay/:id", ` + require + `}]`:                           ":id is taken literally",
		`[{"path": "/pay/**/x", ` + require + `}]`:                          "** stands for segments at the end only",
		`[{"path": "/pay", "hosts": ["App.example.com"], ` + require + `}]`: "hosts are compared in lower case",
		`[{"path": "/pay", "hosts": ["*.example.com"], ` + require + `}]`:   "which is no host",
		`[{"path": "/pay", "hosts": "app.example.com", ` + require + `}]`:   "must be array",
		`[{"paths": "/pay", ` + require + `}]`:                              `(did you mean "path"?)`,
		`[{"path": "/pay", "requires": {"level": "mfa"}}]`:                  `(did you mean "require"?)`,
		`{"path": "/pay", ` + require +
			`}`: "data.table is an object, and must be a list of entries",
		`{"one": {"path": "/pay", ` + require +
			`}}`: "data.table is an object, and must be a list of entries",
		`[{"path": "/p%61y", ` + require + `}]`:                            "compared with the decoded path",
		`[{"path": "/pay", "require": {"level": "mfaa"}}]`:                 `asks for level "mfaa", which is not on the ladder (did you mean "mfa"?)`,
		`[{"path": "/Pay", ` + require + `}]`:                              "request.path_case is fold",
		`[{"path": "/pay", "require": {"levle": "mfa"}}]`:                  `unknown member "levle" (did you mean "level"?)`,
		`[{"path": "/pay", "require": {}}]`:                                "is no member of require",
		`[{"path": "/pay", "require": {"level": "mfa", "max_age": "5x"}}]`: "max_age",
		`[{"path": "/pay", "require": {"level": "mfa", "scope": "pay"}}]`:  "scope",
		`[{"path": "/pay", "require": {"max_age": "5m"}}]`:                 "names neither level nor acr",
		`[{"path": "/pay", "require": "mfa"}]`:                             "must be object",
		`[{"path": "/pay", "require": null}]`:                              "must be object",
		`[{"path": "/pay"}]`:                                               `has no member "require"`,
		`[{` + require + `}]`:                                              "misses path",
		`["/pay"]`:                                                         "must be object",
		`"/pay"`:                                                           "is a text",
		`[{"path": "pay", ` + require + `}]`:                               "a path begins with /",
		`[{"path": "/pay?x=1", ` + require + `}]`:                          "which no path matches",
		`[{"path": "/a//b", ` + require + `}]`:                             "empty segment",
		`[{"path": "/a/../b", ` + require + `}]`:                           "dot segment",
		`[{"path": "/pay", "safe_methods": "GET", ` + require + `}]`:       "must be array",
		`[{"path": "/pay", "safe_methods": ["get"], ` + require +
			`}]`: "data.table[0].safe_methods[0] does not fit its schema",
		`[{"path": "/pay", "safemethods": ["GET"], ` + require + `}]`:   `(did you mean "safe_methods"?)`,
		`[{"path": "/pay", "methods": [], ` + require + `}]`:            "is empty",
		`[{"path": "/pay", "methods": [null], ` + require + `}]`:        "must be string",
		`[{"path": "/pay", "methods": ["GET, POST"], ` + require + `}]`: "which is no method",
	} {
		_, err := rego.Load(t.Context(), tableSources(t, tables["routes"].rule, slip),
			rego.Options{Ladder: ladder(t), FoldPathCase: true})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "data.json:1:") {
			t.Errorf("%s: %v; want %s", slip, err, want)
		}
	}
	for _, fine := range []string{
		tables["routes"].data, `[]`, `[{"path": "/pay", "safe_methods": ["GET", "HEAD", "OPTIONS"], ` + require + `}]`,
		`[{"path": "/", "x-owner": "team", "description": "all", ` + require + `}]`, `[{"path": "/a/*/b/", ` + require +
			`}]`,
		`[{"path": "/**", "hosts": ["app.example.com:8443", "[::1]"], "methods": ["PROPFIND"], ` + require + `}]`,
		`[{"path": "/grüße/100%", ` + require + `}]`,
	} {
		if _, err := rego.Load(t.Context(), tableSources(t, tables["routes"].rule, fine),
			rego.Options{Ladder: ladder(t), FoldPathCase: true}); err != nil {
			t.Errorf("%s: %v", fine, err)
		}
	}
}

// TestSlipsInEveryTable makes slips of the data that any library package is given, and each
// is refused, or the stop sign stands as before.
func TestSlipsInEveryTable(t *testing.T) {
	for name, table := range tables {
		t.Run(name, func(t *testing.T) {
			whole, err := strictjson.Decode([]byte(table.data))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := rego.Load(t.Context(), tableSources(t, table.rule, table.data),
				rego.Options{Ladder: ladder(t)}); err != nil {
				t.Fatalf("without a slip: %v", err)
			}
			refused, n := 0, 0
			for _, bent := range slipsOf(whole) {
				text, err := json.Marshal(bent)
				if err != nil {
					t.Fatal(err)
				}
				n++
				_, err = rego.Load(t.Context(), tableSources(t, table.rule, string(text)),
					rego.Options{Ladder: ladder(t), FoldPathCase: true})
				if err == nil {
					if asWritten(name, string(text)) {
						continue
					}
					if !asStrict(t, name, table.rule, string(text)) {
						t.Errorf("%s is taken, and the stop sign is gone", text)
					}
					continue
				}
				if refused++; !strings.Contains(err.Error(), "data.json:1:") || !strings.Contains(
					err.Error(), "data.table") {
					t.Errorf("%s: the place is not named: %v", text, err)
				}
			}
			t.Logf("%d slips, %d of them refused", n, refused)
			if n < 8 || refused < n/2 {
				t.Errorf("%d slips, %d of them refused", n, refused)
			}
		})
	}
}

// asWritten reports whether a document means what it says, which is something else: a name
// of gRPC has its case.
func asWritten(name, text string) bool {
	return name == "grpc" && strings.EqualFold(
		text, `[{"methods":["Pay"],"require":{"level":"mfa"},"service":"shop.v1.Payments"}]`)
}

// slipsOf are documents that differ from v in one place: a member is missing or misspelt,
// a value is of another type, null, empty, in another case, or without its list.
func slipsOf(v any) []any {
	list := []any{nil, true, "", map[string]any{}, map[string]any{"x": "y"}, []any{nil}, []any{map[string]any{}}}
	if _, text := v.(string); !text {
		list = append(list, "text")
	}
	if _, number := v.(json.Number); !number {
		list = append(list, json.Number("7"))
	}
	switch v := v.(type) {
	case string:
		list = append(list, strings.ToUpper(v), strings.ToLower(v), " "+v, v+" ", []any{v})
	case []any:
		for i, x := range v {
			list = append(list, x) // a value in place of a list of it
			for _, bent := range slipsOf(x) {
				other := slices.Clone(v)
				other[i] = bent
				list = append(list, other)
			}
		}
	case map[string]any:
		list = append(list, []any{v})
		for key, x := range v {
			without := maps.Clone(v)
			delete(without, key)
			list = append(list, without)
			for _, other := range []string{key + "s", key[1:], strings.ToUpper(key)} {
				misspelt := maps.Clone(without)
				misspelt[other] = x
				list = append(list, misspelt)
			}
			for _, bent := range slipsOf(x) {
				other := maps.Clone(v)
				other[key] = bent
				list = append(list, other)
			}
		}
	}
	return list
}

// asStrict reports whether a request that the table is about is asked for as much as by
// the table without a slip: all of these ask for mfa.
func asStrict(t *testing.T, name, rule, data string) bool {
	t.Helper()
	p, err := rego.Load(t.Context(), tableSources(t, rule, data), rego.Options{Ladder: ladder(t)})
	if err != nil {
		t.Fatal(err)
	}
	in := policy.Input{
		Request: request.Request{Method: "POST", Host: "app.example.com", Path: "/payments/1", Segments: []string{
			"payments", "1"}},
		Token: &token.Token{Subject: "alice", ClientID: "other", Principal: token.User},
	}
	if name == "grpc" {
		in.Request.Path, in.Request.Segments = "/shop.v1.Payments/Pay", []string{"shop.v1.Payments", "Pay"}
	}
	r, err := p.Evaluate(t.Context(), in)
	return err != nil || slices.ContainsFunc(r.Require, func(r stepup.Requirement) bool {
		return r.Level == "mfa" || r.Level == ""
	})
}

// A value is held against its schema wherever it came from: a helper, another function, a
// constant, an entry deeper in data.
func TestSchemasFollowValues(t *testing.T) {
	const head = "import data.stepward.lib.routes\n\n"
	for name, c := range map[string]struct{ rule, data, want string }{
		"a helper": {
			head +
				"list := data.table\n\nrequire contains {\"level\": \"mfa\"} if {\n\tsome e in list\n\troutes.matches(e, input.request)\n}", `[{"path": "/x*"}]`, "data.table[0].path is"},
		"a function": {
			head +
				"hit(e) if routes.matches(e, input.request)\n\nrequire contains {\"level\": \"mfa\"} if {\n\tsome e in data.table\n\thit(e)\n}", `[{"path": "/x*"}]`, "data.table[0].path is"},
		"deeper": {
			head +
				"require contains {\"level\": \"mfa\"} if {\n\tsome e in data.table[input.request.host].routes\n\troutes.matches(e, input.request)\n}", `{"a.example.com": {"routes": []}, "b.example.com": {"routes": [{"path": "/x*"}]}}`, "data.table.b.example.com.routes[0].path is"},
		"a constant": {
			head + "require contains {\"level\": \"mfa\"} if routes.matches({\"path\": \"/x*\"}, input.request)", `[]`,
			"p.rego:9:"},
		"a constant table": {
			head +
				"list := [{\"path\": \"/x\"}, {\"path\": \"/x*\"}]\n\nrequire contains {\"level\": \"mfa\"} if {\n\tsome e in list\n\troutes.matches(e, input.request)\n}", `[]`, "* stands for a whole segment"},
		"a limit": {
			"import data.stepward.lib.risk\n\nrequire contains {\"level\": \"mfa\"} if risk.at_least(data.table, input.token.subject, \"50\")", `{}`, "must be number"},
		"a member of deny": {"import data.table\n\ndeny contains d if some d in table",
			`[{"code": "x"}, {"codes": "y"}]`, "data.table[1]"},
		"no library": {"import data.table\n\nrequire contains r if some r in table",
			`[{"level": "mfa"}, {"level": "mfaa"}]`, `data.table[1] asks for level "mfaa"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := rego.Load(t.Context(), tableSources(t, c.rule, c.data), rego.Options{Ladder: ladder(t)})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want %s", err, c.want)
			}
		})
	}
}

// A policy declares its own schemas in OPA's way: inline, or as files next to it. OPA
// checks the rules against them, and we check the data.
func TestOwnSchemas(t *testing.T) {
	const head, rule = "# METADATA\n# scope: package\n# schemas:\n# - data.limits: ",
		"\npackage stepward.policy\n\nimport rego.v2\n\nrequire contains {\"level\": \"mfa\"} if data.limits.amount > 3\n"
	const schema = `{"type": "object", "additionalProperties": false, "required": ["amount"], "properties": {"amount": {"type": "number"}}}`
	file := func(name, text string) rego.Source { return rego.Source{Name: name, Text: []byte(text)} }
	for name, c := range map[string]struct {
		sources []rego.Source
		want    string
	}{
		"beside it": {[]rego.Source{file("p.rego", head+"schema.limits"+rule),
			file("limits.schema.json", schema), file("d.json", `{"limits": {"amount": 5}}`)}, ""},
		"in a folder": {[]rego.Source{file("p.rego", head+"schema.limits"+rule),
			file("a/schemas/limits.json", schema), file("d.json", `{"limits": {"amount": "5"}}`)},
			"d.json:1:23: data.limits.amount is of type string"},
		"inline": {[]rego.Source{file("p.rego", head+schema+rule),
			file("d.json", `{"limits": {"amount": 5, "amuont": 7}}`)},
			`d.json:1:36: data.limits has an unknown member "amuont" (did you mean "amount"?)`},
		"in YAML": {[]rego.Source{file("p.rego", head+schema+rule),
			file("d.yaml", "limits:\n  amount: five\n")}, "d.yaml:2:11: data.limits.amount is of type string"},
		"that is not there": {[]rego.Source{file("p.rego", head+"schema.limits"+rule),
			file("d.json", `{"limits": {"amount": 5}}`)}, "undefined schema"},
		"that is none": {[]rego.Source{file("p.rego", head+"schema.limits"+rule),
			file("limits.schema.json", `{"type": 7}`), file("d.json", `{"limits": {"amount": 5}}`)}, "schema"},
		"of the network": {[]rego.Source{file("p.rego", head+"schema.limits"+rule),
			file("limits.schema.json", `{"$ref": "https://example.com/x.json"}`),
			file("d.json", `{"limits": {"amount": 5}}`)}, "schema"},
		"a rule beside it": {[]rego.Source{
			file("p.rego", head+"schema.limits"+strings.Replace(rule, "amount", "amont", 1)),
			file("limits.schema.json", schema), file("d.json", `{"limits": {"amount": 5}}`)},
			"undefined ref: data.limits.amont"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := rego.Load(t.Context(), c.sources, rego.Options{Ladder: ladder(t)})
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want %s", err, c.want)
			}
		})
	}
}

// Every schema of the library compiles, and every name in its METADATA leads to one.
func TestLibrarySchemas(t *testing.T) {
	for name, c := range map[string]struct{ rule, want string }{
		"access.role":      {`access.role(input.token, "")`, "is empty"},
		"access.scopes":    {`access.scopes(input.token, "pay")`, "must be array"},
		"access.program":   {`access.program(input.token, "nightly")`, "must be array"},
		"body.number":      {`body.number(input.request, "amount")`, "must be array"},
		"body.at_most":     {`body.at_most(input.request, ["amount"], "10")`, "must be number"},
		"breakglass.used":  {`breakglass.used(input, "oncall", "X-Break-Glass")`, "does not fit its schema"},
		"device.by_header": {`device.by_header(input.request, "X-Device", "ok")`, "does not fit its schema"},
		"tenants.of_path":  {`tenants.of_path(input.request, ["/t"])`, "does not fit its schema"},
		"tenants.of_host":  {`tenants.of_host(input.request, "app.example.com")`, "does not fit its schema"},
		"tenants.crosses":  {`tenants.crosses(input.token, "", "x")`, "is empty"},
		"risk.score":       {`risk.score({"alice": 80}, input.token.subject) == 1`, "must be object"},
	} {
		pkg, _, _ := strings.Cut(name, ".")
		rule := "import data.stepward.lib." + pkg + "\n\nrequire contains {\"level\": \"mfa\"} if not " + c.rule
		if _, err := rego.Load(t.Context(), tableSources(t, rule, "[]"), rego.Options{Ladder: ladder(t)}); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %s", name, err, c.want)
		}
	}
}
