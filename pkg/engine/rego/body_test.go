package rego_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/internal/wait"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/policies"
)

// asksFor lists ways to write a rule that looks for a kind of body as which this one could
// not be read. The word MEMBER stands for json or form.
var asksFor = map[string]string{
	"a reference":                 `d if input.request.body.MEMBER.amount > 100`,
	"a value":                     `d if input.request.body.MEMBER == {"amount": 7}`,
	"an index":                    `d if input.request.body.MEMBER.kind == "transfer"`,
	"brackets":                    `d if input.request["body"]["MEMBER"].amount > 100`,
	"a computed name":             `d if { some name in ["state", "MEMBER"]; input.request.body[name].amount > 100 }`,
	"a name that is put together": `d if { k := concat("", [substring("MEMBER", 0, 2), substring("MEMBER", 2, -1)]); input.request.body[k].amount > 100 }`,
	"negation":                    `d if not input.request.body.MEMBER.ok`,
	"negation of a helper":        "d if not small\nsmall if input.request.body.MEMBER.amount < 100",
	"a helper":                    "d if large\nlarge if input.request.body.MEMBER.amount > 100",
	"a value of a helper":         "d if amount > 100\namount := input.request.body.MEMBER.amount",
	"a default":                   "d if amount > 100\ndefault amount := 0\namount := input.request.body.MEMBER.amount",
	"else":                        "d if large\nlarge if input.request.segments[0] == \"none\" else if input.request.body.MEMBER.amount > 100",
	"a variable":                  `d if { b := input.request.body; b.MEMBER.amount > 100 }`,
	"a variable of the request":   `d if { r := input.request; r.body.MEMBER.amount > 100 }`,
	"a variable of the input":     `d if { i := input; i.request.body.MEMBER.amount > 100 }`,
	"a function of the body":      "d if large(input.request.body)\nlarge(b) if b.MEMBER.amount > 100",
	"a function of the request":   "d if large(input.request)\nlarge(r) if r.body.MEMBER.amount > 100",
	"a function of the input":     "d if large(input)\nlarge(i) if i.request.body.MEMBER.amount > 100",
	"a function in a function":    "d if f(input)\nf(i) if g(i.request)\ng(r) if r.body.MEMBER.amount > 100",
	"a function that returns it":  "d if body(input).MEMBER.amount > 100\nbody(i) := i.request.body",
	"a rule that is it":           "d if body.MEMBER.amount > 100\nbody := input.request.body",
	"object.get":                  `d if object.get(input.request.body, "MEMBER", {}) != {}`,
	"object.get with a path":      `d if object.get(input, ["request", "body", "MEMBER", "amount"], 0) > 100`,
	"object.get of the request":   `d if object.get(input.request, ["body", "MEMBER"], {}).amount > 100`,
	"object.keys":                 `d if "MEMBER" in object.keys(input.request.body)`,
	"object.filter":               `d if object.filter(input.request.body, ["MEMBER"]).MEMBER.amount > 100`,
	"object.remove":               `d if object.remove(input.request.body, ["state"]).MEMBER.amount > 100`,
	"object.union":                `d if object.union(input.request.body, {"x": 1}).MEMBER.amount > 100`,
	"object.union_n":              `d if object.union_n([{"x": 1}, input.request.body]).MEMBER.amount > 100`,
	"object.union of requests":    `d if object.union(input.request, {"x": 1}).body.MEMBER.amount > 100`,
	"object.subset":               `d if object.subset(input.request.body, {"MEMBER": {"amount": 1000}})`,
	"object.subset of it":         `d if object.subset({"MEMBER": {"amount": 1000}, "state": "MEMBER", "present": true, "truncated": false}, input.request.body)`,
	"json.filter":                 `d if json.filter(input.request, ["body/MEMBER/amount"]).body.MEMBER.amount > 100`,
	"json.remove":                 `d if json.remove(input.request.body, ["state"]).MEMBER.amount > 100`,
	"json.patch":                  `d if json.patch(input.request.body, [{"op": "add", "path": "x", "value": 1}]).MEMBER.amount > 100`,
	"json.marshal":                `d if contains(json.marshal(input.request.body), "1000")`,
	"json.marshal of the input":   `d if contains(json.marshal(input), "1000")`,
	"yaml.marshal":                `d if contains(yaml.marshal(input.request), "1000")`,
	"sprintf":                     `d if contains(sprintf("%v", [input.request.body]), "1000")`,
	"walk":                        `d if { walk(input.request.body, [path, value]); path == ["MEMBER", "amount"]; value > 100 }`,
	"walk of the request":         `d if { walk(input.request, [path, value]); path[1] == "MEMBER"; value > 100 }`,
	"walk of the input":           `d if { walk(input, [_, value]); value == 1000 }`,
	"every member":                `d if { some k, v in input.request.body; k == "MEMBER"; v.amount > 100 }`,
	"every value":                 `d if { some v in input.request.body; v.amount > 100 }`,
	"a value among its own":       `d if {"amount": 1000} in input.request.body`,
	"a member among its own":      `d if "MEMBER", {"amount": 1000} in input.request.body`,
	"each":                        `d if input.request.body[_].amount > 100`,
	"every":                       `d if { every k, _ in input.request.body { k != "MEMBER" } }`,
	"a comprehension":             `d if count({k | input.request.body[k].amount > 100}) > 0`,
	"an array of it":              `d if [input.request.body][0].MEMBER.amount > 100`,
	"an object of it":             `d if {"b": input.request.body}.b.MEMBER.amount > 100`,
	"a comprehension of requests": `d if { some r in [x | x := input.request]; r.body.MEMBER.amount > 100 }`,
	"an object comprehension":     `d if {k: v | some k, v in input.request.body}.MEMBER.amount > 100`,
	"count":                       `d if count(input.request.body) == 4`,
	"comparison":                  "d if f({\"present\": true, \"truncated\": false, \"state\": \"MEMBER\", \"MEMBER\": {\"amount\": 1000}}, input.request.body)\nf(x, y) if x == y",
	"comparison, turned":          "d if f({\"present\": true, \"truncated\": false, \"state\": \"MEMBER\", \"MEMBER\": {\"amount\": 1000}}, input.request.body)\nf(x, y) if y == x",
	"no equality":                 `d if not input.request.body != {"present": true, "truncated": false, "state": "MEMBER", "MEMBER": {"amount": 1000}}`,
	"no equality, turned":         `d if not ({"present": true, "truncated": false, "state": "MEMBER", "MEMBER": {"amount": 1000}} != input.request.body)`,
	"no equality of helpers":      "d if f({\"state\": \"x\"}, input.request.body)\nf(x, y) if x != y",
	"order":                       `d if input.request.body > {"a": 1}`,
	"order, turned":               `d if {"a": 1} < input.request.body`,
	"member of an array":          "d if f({\"present\": true, \"truncated\": false, \"state\": \"MEMBER\", \"MEMBER\": {\"amount\": 1000}}, input.request.body)\nf(x, y) if y in [x]",
	"member of a set":             "d if f({\"present\": true, \"truncated\": false, \"state\": \"MEMBER\", \"MEMBER\": {\"amount\": 1000}}, input.request.body)\nf(x, y) if y in {x}",
	"a set of it":                 `d if count({input.request.body} & {{"state": "MEMBER"}}) > 0`,
	"sort":                        `d if sort([input.request.body, {"a": 1}])[0].MEMBER`,
	"an input of its own": `d if large with input.token as {"x": 1}` +
		"\nlarge if input.request.body.MEMBER.amount > 100",
	"an input in its place": `d if large with input as {"request": {"body": input.request.body}}` +
		"\nlarge if input.request.body.MEMBER.amount > 100",
	"what is required":    `require contains {"level": "mfa", "detail": input.request.body.MEMBER.level}`,
	"a header":            `headers["x-amount"] := input.request.body.MEMBER.amount`,
	"metadata":            `metadata["amount"] := input.request.body.MEMBER.amount`,
	"a body as metadata":  `metadata["body"] := input.request.body`,
	"a partial rule":      "d if large[\"x\"]\nlarge contains \"x\" if input.request.body.MEMBER.amount > 100",
	"a partial object":    "d if of[\"body\"].MEMBER.amount > 100\nof[name] := value if some name, value in input.request",
	"a document of rules": "d if data.stepward.policy.of.body.MEMBER.amount > 100\nof.body := input.request.body",
	"is_object":           `d if is_object(input.request.body.MEMBER)`,
	"a type":              `d if type_name(input.request.body.MEMBER) == "object"`,
	"an argument":         `d if startswith(input.request.body.MEMBER.amount, "1")`,
	"a template":          `d if $"{input.request.body.MEMBER.amount}" == "1000"`,
}

const asking = "package stepward.policy\nimport rego.v2\nrequire contains {\"level\": \"anonymous\"}\ndeny contains {\"code\": \"d\"} if d\nd if input.request.path == \"/never\"\n"

func asker(t *testing.T, rule, member string) *rego.Policy {
	t.Helper()
	return must(t, asking+strings.ReplaceAll(rule, "MEMBER", member)+"\n")
}

func withState(t testing.TB, state request.BodyState) policy.Input {
	return ask(t, "POST", "/pay", func(in *policy.Input) {
		in.Request.Body = request.Body{Present: true, State: state}
		switch state {
		case request.BodyJSON:
			in.Request.Body.JSON = map[string]any{"amount": "1000"}
		case request.BodyForm:
			in.Request.Body.Form = map[string][]string{"amount": {"1000"}}
		case request.BodyTruncated:
			in.Request.Body.Truncated = true
		}
	})
}

// However a rule reaches a body that could not be read, it does not go silent.
func TestBodyUnreadable(t *testing.T) {
	for name, rule := range asksFor {
		for _, member := range []string{"json", "form"} {
			t.Run(name+"/"+member, func(t *testing.T) {
				p := asker(t, rule, member)
				for _, state := range request.BodyStates() {
					if !state.Unreadable() {
						continue
					}
					if r, err := p.Evaluate(t.Context(), withState(t, state)); !errors.Is(err, policy.ErrBody) {
						t.Errorf("%s: %+v, %v", state, r, err)
					}
				}
				none := withState(t, request.BodyNone)
				if _, err := p.Evaluate(t.Context(), none); errors.Is(err, policy.ErrBody) {
					t.Error("a request without a body ends in an error")
				}
			})
		}
	}
}

// Rules that do not look at the content of a body decide whatever the body is.
func TestBodyUntouched(t *testing.T) {
	for name, rule := range map[string]string{
		"another path":                           `d if { input.request.path == "/other"; input.request.body.json.amount > 100 }`,
		"another path, index":                    `d if { input.request.path == "/other"; input.request.body.json.kind == "x" }`,
		"another path, whole":                    `d if { input.request.path == "/other"; walk(input, [_, 1000]) }`,
		"another path, not":                      `d if { input.request.path == "/other"; not input.request.body.json.ok }`,
		"the state":                              `d if input.request.body.state == "none"`,
		"the state first":                        `d if { input.request.body.state == "json"; input.request.body.json.amount == 7 }`,
		"the state by name":                      `d if object.get(input, ["request", "body", "state"], "none") == "none"`,
		"the state of a variable":                `d if { b := input.request.body; b.state == "none" }`,
		"the state in a function of the body":    "d if none(input.request.body)\nnone(b) if b.state == \"none\"",
		"the state in a function of the request": "d if none(input.request)\nnone(r) if r.body.state == \"none\"",
		"the request in a function":              "d if f({\"p\": \"/other\"}, input.request)\nf(entry, r) if entry.p == r.path",
		"the request in a table":                 "d if { some e in [{\"p\": \"/other\"}]; f(e, input.request) }\nf(entry, r) if entry.p == r.path",
		"whether it is an object":                `d if not is_object(input.request.body)`,
		"present and truncated":                  `d if { not input.request.body.present; not input.request.body.truncated }`,
		"with something else":                    "d if large with input.request.path as \"/other\"\nlarge if input.request.path == \"/never\"",
		"a subset that asks the state":           `d if object.subset(input.request.body, {"state": "none"})`,
	} {
		t.Run(name, func(t *testing.T) {
			p := must(t, asking+rule+"\n")
			for _, state := range request.BodyStates() {
				if state == request.BodyNone || state == request.BodyForm {
					continue
				}
				r, err := p.Evaluate(t.Context(), withState(t, state))
				if err != nil || len(r.Deny) != 0 || len(r.Require) != 1 {
					t.Errorf("%s: %+v, %v", state, r, err)
				}
			}
		})
	}
}

// However a rule reaches a kind of body other than the one that was sent, it does not go
// silent: the sender chooses the kind. A readable body shows its content to a rule that
// looks at all of it and knows both kinds, or neither.
func TestBodyOfTheOtherKind(t *testing.T) {
	other := map[request.BodyState]string{request.BodyJSON: "form", request.BodyForm: "json"}
	library, err := rego.FromFS(policies.Library())
	if err != nil {
		t.Fatal(err)
	}
	for name, rule := range asksFor {
		if !strings.Contains(rule, "MEMBER") {
			continue // it knows neither
		}
		for state, member := range other {
			sources := append([]rego.Source{
				{Name: "p.rego", Text: []byte(asking + strings.ReplaceAll(rule, "MEMBER", member) + "\n")}}, library...)
			p, err := rego.Load(t.Context(), sources, rego.Options{Ladder: ladder(t), Timeout: wait.Bound})
			if err != nil {
				t.Fatal(err)
			}
			if r, err := p.Evaluate(t.Context(), withState(t, state)); !errors.Is(err, policy.ErrBody) {
				t.Errorf("%s, %s of %s: %+v, %v", name, member, state, r, err)
			}
		}
	}
	for _, rule := range []string{
		`d if { walk(input.request.body, [_, "1000"]) }`, `d if contains(json.marshal(input), "1000")`,
		`d if { some v in input.request.body; v.amount }`,
		`d if count(input.request.body) == 4`,
		`d if { some k in object.keys(input.request.body); not k in {"state", "present", "truncated"} }`,
		"d if f(input.request.body, {\"state\": 1})\nf(x, y) if x != y",
		"d if f(input.request.body, {\"state\": 1})\nf(x, y) if y != x",
	} {
		for _, known := range []string{"",
			`deny contains {"code": "e"} if input.request.headers.kind in {"json", "form"}`} {
			p := must(t, asking+rule+"\n"+known+"\n")
			for state := range other {
				r, err := p.Evaluate(t.Context(), withState(t, state))
				if known != "" && strings.Contains(rule, "marshal") {
					continue // OPA cannot write what is watched, and the policy's words decide
				}
				if err != nil || len(r.Deny) != 1 {
					t.Errorf("%s of %s: %+v, %v", rule, state, r, err)
				}
			}
		}
	}
}

// The answer of a policy is the same whether or not anybody watches the body.
func TestBodyWatchedAsPlain(t *testing.T) {
	for name, rule := range asksFor {
		p := asker(t, rule, "json")
		in := withState(t, request.BodyJSON)
		in.Request.Body.JSON = map[string]any{"amount": "1000", "level": "x", "ok": true, "kind": "transfer"}
		got, err := p.Evaluate(t.Context(), in)
		plain := must(t, "package stepward.policy\nimport rego.v2\nrequire contains {\"level\": \"anonymous\"}\n")
		if _, e := plain.Evaluate(t.Context(), in); e != nil {
			t.Fatal(e)
		}
		traced, terr := p.Traced(func(rego.Firing) {}).Evaluate(t.Context(), in)
		if errors.Is(err, policy.ErrBody) || fmt.Sprint(got) != fmt.Sprint(traced) || (err == nil) != (terr == nil) {
			t.Errorf("%s: %+v, %v; traced %+v, %v", name, got, err, traced, terr)
		}
	}
}
