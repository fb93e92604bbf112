package rego_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/pkg/internal/strictjson"
	"github.com/stepward/stepward/pkg/internal/wait"
	"github.com/stepward/stepward/pkg/policy"
)

// anything lists what somebody may write for any member, and members lists right or nearly
// right values for some of them.
var (
	anything = []string{`"x"`, `""`, `" "`, `null`, `true`, `false`, `0`, `-1`, `1.5`, `300`, `1e3`, `[]`, `["x"]`,
		`["x", "y"]`, `["a b"]`, `["a\"b"]`, `[""]`, `[1]`, `[null]`, `[["x"]]`, `{}`, `{"x": "y"}`,
		`"5m"`, `"2 minutes"`, `"1500ms"`, `"-5m"`, `"+5m"`, `"300"`, `"yes"`, `"a b"`, `"mfa"`, `"mfaa"`,
		`"anonymous"`, `"a\r\nb"`, `"\u00e9"`, `[` + strings.Repeat(`"x", `, 64) + `"x"]`,
		`"` + strings.Repeat("x", 1025) + `"`}
	members = map[string][]string{
		"level": {`"mfa"`, `"password"`, `"authenticated"`, `"anonymous"`, `"Mfa"`}, "acr": {`["1"]`},
		"amr": {`["hwk", "pin"]`}, "scope": {`["reports:read"]`, `"reports:read"`},
		"max_age": {`"5m"`, `0`}, "status": {`403`, `404`, `410`, `429`, `451`, `200`, `302`, `"403"`},
		"sender_constrained": {`true`, `"yes"`},
	}
)

// written is a random object, as JSON and with one of its values behind a function.
func written(r *rand.Rand, keys []string) (text, computed string) {
	var all, some []string
	hidden := r.IntN(3)
	for i, n := range r.Perm(len(keys))[:1+r.IntN(3)] {
		pool := anything
		if m := members[keys[n]]; m != nil && r.IntN(3) > 0 {
			pool = m
		}
		value := pool[r.IntN(len(pool))]
		all = append(all, fmt.Sprintf("%q: %s", keys[n], value))
		if i == hidden {
			value = "v(" + value + ")"
		}
		some = append(some, fmt.Sprintf("%q: %s", keys[n], value))
	}
	return "{" + strings.Join(all, ", ") + "}", "{" + strings.Join(some, ", ") + "}"
}

// ways are how a literal may be written: the head of a rule, and what else there is.
var ways = map[string]string{
	"in the head":         "%s contains %s",
	"bound":               "%s contains r if {\n\tr := %s\n}",
	"unified":             "%s contains r if {\n\tr = %s\n}",
	"in a list":           "%s contains r if some r in [%s]",
	"in a set":            "%s contains r if some r in {%s}",
	"in an object":        "%s contains r if some _, r in {\"x\": %s}",
	"by a rule":           "%s contains lit\nlit := %s",
	"by another rule":     "%s contains lit\nlit := more\nmore := %s",
	"by a condition":      "%s contains lit\nlit := m if {\n\tm := %s\n}",
	"below a rule":        "%s contains lit.x.y\nlit := {\"x\": {\"y\": %s}}",
	"by a path":           "%s contains data.stepward.policy.lit\nlit := %s",
	"as one of a list":    "%s contains lit[0]\nlit := [%s]",
	"by object.union":     "%s contains object.union({}, %s)",
	"by a union of names": "%s contains object.union(a, lit)\na := {}\nlit := %s",
	"by a function":       "%s contains f({\"x\": %s})\nf(o) := o.x",
	"through a function":  "%s contains f({}, lit)\nf(a, b) := object.union(a, b)\nlit := %s",
	"in the else":         "%s contains lit\nlit := {\"reason\": \"x\"} if {\n\tfalse\n} else := %s",
}

// A literal is refused when it is loaded if, and only if, it would be refused when it is
// evaluated, however it is written.
func TestLiteralsAsTheDecoder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	refused, taken := 0, 0
	for range 60 {
		for way, format := range ways {
			for rule, keys := range map[string][]string{"require": policy.RequirementKeys, "deny": policy.DenialKeys} {
				text, _ := written(r, keys)
				want := decoderSays(t, rule, text)
				p, err := load(t, rego.Options{Timeout: wait.Bound}, baseline+fmt.Sprintf(format, rule, text))
				if (err == nil) != (want == nil) {
					t.Errorf("%s, %s contains %.200s: loading says %v; the decoder %v", way, rule, text, err, want)
				}
				if err != nil {
					refused++
					places(t, err)
					continue
				}
				taken++
				if _, err := p.Evaluate(t.Context(), ask(t, "GET", "/", nil)); err != nil {
					t.Errorf("%s, %s contains %.200s loads, and ends in %v", way, rule, text, err)
				}
			}
		}
	}
	if refused < 300 || taken < 100 {
		t.Errorf("%d refused, %d taken", refused, taken)
	}
}

// A literal with a part that only a request settles is refused only if it can never be
// right.
func TestLiteralsWithComputedParts(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	loaded := 0
	for range 400 {
		for rule, keys := range map[string][]string{"require": policy.RequirementKeys, "deny": policy.DenialKeys} {
			text, computed := written(r, keys)
			want := decoderSays(t, rule, text)
			p, err := load(t, rego.Options{Timeout: wait.Bound},
				baseline+fmt.Sprintf("%s contains %s\nv(x) := x if input.request.method == \"GET\"", rule, computed))
			if err != nil {
				if want == nil {
					t.Errorf("%s contains %.200s is refused: %v", rule, computed, err)
				}
				continue
			}
			loaded++
			if _, err := p.Evaluate(t.Context(), ask(t, "GET", "/", nil)); (err == nil) != (want == nil) {
				t.Errorf("%s contains %.200s loads, and ends in %v; want %v", rule, computed, err, want)
			}
		}
	}
	if loaded < 100 {
		t.Errorf("%d loaded", loaded)
	}
}

// Where a condition may choose among values, none of them is known.
func TestLiteralsThatAreChosen(t *testing.T) {
	for text, loads := range map[string]bool{
		`require contains {"level": l} if { some l in ["mfa", null]; l != null }`:                                          true,
		"default l := \"x\"\nl := \"mfa\" if input.request.size > 1\nrequire contains {\"level\": l}":                      false,
		"default l := \"password\"\nl := \"mfa\" if input.request.size > 1\nrequire contains {\"level\": l}":               true,
		`require contains {"level": l} if { some l in ["mfa", null] }`:                                                     false,
		"require contains {\"level\": l} if l != \"x\"\nl := \"x\" if input.request.size > 1 else := \"mfa\"":              true,
		"require contains {\"level\": l} if input.request.size < 9\nl := \"x\" if input.request.size > 1 else := \"mfa\"":  false,
		"require contains need(\"x\")\nneed(l) := {\"level\": l}":                                                          false,
		"require contains need(\"mfa\")\nneed(l) := {\"level\": l}":                                                        true,
		"require contains need(input.request.method)\nneed(l) := {\"level\": l}":                                           true,
		"require contains need(\"x\")\nneed(l) := {\"level\": l} if input.request.method == \"GET\"":                       true,
		"require contains {\"level\": l(1)}\nl(x) := \"mfa\" if x < 3":                                                     true,
		`require contains {"level": l} if { l := input.token.claims.level; l in ["x", "mfa"] }`:                            true,
		"require contains {\"level\": levels[input.request.method]}\nlevels := {\"GET\": \"password\", \"POST\": \"mfa\"}": true,
	} {
		if _, err := load(t, rego.Options{}, baseline+text); (err == nil) != loads {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// A long list that is written out is read, and one that is too long for what it is for is
// refused.
func TestLongLiteral(t *testing.T) {
	list := "[" + strings.Repeat(`"/a", `, 20_000) + `"/b"]`
	if _, err := load(t, rego.Options{}, baseline+"deny contains {\"code\": \"x\"} if input.request.path in "+
		list); err != nil {
		t.Error(err)
	}
	if _, err := load(t, rego.Options{}, baseline+"metadata[\"x\"] := "+list); err == nil {
		t.Error("metadata of 100 KB loads")
	}
}

// The values of headers are read so, too.
func TestHeaderLiterals(t *testing.T) {
	for _, rule := range []string{"headers", "response_headers"} {
		for _, value := range anything {
			for way, text := range map[string]string{
				"as it is": "%s[\"x-a\"] := %s", "bound": "%s[\"x-a\"] := v if {\n\tv := %s\n}",
				"by a rule":   "%s[\"x-a\"] := lit\nlit := %s",
				"in the else": "%s[\"x-a\"] := \"a\" if {\n\tfalse\n} else := %s",
			} {
				v, err := strictjson.Decode([]byte(value))
				if err != nil {
					t.Fatal(err)
				}
				_, want := policy.DecodeHeader("x-a", v)
				p, err := load(t, rego.Options{Timeout: wait.Bound}, baseline+fmt.Sprintf(text, rule, value))
				if (err == nil) != (want == nil) {
					t.Errorf("%s, %s = %.200s: loading says %v; the decoder %v", way, rule, value, err, want)
				}
				if err != nil {
					places(t, err)
				} else if _, err := p.Evaluate(t.Context(), ask(t, "GET", "/", nil)); err != nil {
					t.Errorf("%s, %s = %.200s loads, and ends in %v", way, rule, value, err)
				}
			}
		}
	}
}

func decoderSays(t *testing.T, rule, text string) error {
	t.Helper()
	v, err := strictjson.Decode([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if rule == "deny" {
		_, err = policy.DecodeDenial(v, "x")
	} else {
		_, err = policy.DecodeRequirement(v, "x", ladder(t))
	}
	return err
}

// places demands that each finding says where, and what to write.
func places(t *testing.T, err error) {
	t.Helper()
	var found finding.List
	if !errors.As(err, &found) {
		t.Fatal(err)
	}
	for _, f := range found {
		if f.Line < 4 || f.Column < 1 || f.Hint == "" || f.File != "p0.rego" {
			t.Errorf("%+v", f)
		}
	}
}

// Constant arguments that can never be right, each with one that is.
func TestConstantArguments(t *testing.T) {
	for bad, good := range map[string]string{
		`regex.match("(", input.request.path)`:                                  `regex.match("^/a", input.request.path)`,
		`regex.match(concat("", ["(", "a"]), input.request.path)`:               `regex.match(concat("", ["(", "a", ")"]), input.request.path)`,
		`regex.match(p, input.request.path)`:                                    `regex.match(q, input.request.path)`,
		`not regex.match("a{2,1}", input.request.path)`:                         `not regex.match("a{1,2}", input.request.path)`,
		`count(regex.split("[", input.request.path)) > 1`:                       `count(regex.split("[a]", input.request.path)) > 1`,
		`regex.replace(input.request.path, "*", "") == "/"`:                     `regex.replace(input.request.path, "a*", "") == "/"`,
		`count([1 | regex.find_n("(?P<", input.request.path, 1)[0]]) > 1`:       `count([1 | regex.find_n("x", input.request.path, 1)[0]]) > 1`,
		`every s in input.request.segments { regex.match("\\", s) }`:            `every s in input.request.segments { regex.match("\\w", s) }`,
		`glob.match("{a", ["/"], input.request.path)`:                           `glob.match("/a*", ["/"], input.request.path)`,
		`net.cidr_contains("10.0.0.0/33", input.source.address)`:                `net.cidr_contains("10.0.0.0/8", input.source.address)`,
		`net.cidr_contains("10.0.0", input.source.address)`:                     `net.cidr_contains("10.0.0.0/24", input.source.address)`,
		`{ some n in ["10.0.0.0/x"]; net.cidr_contains(n, "10.0.0.1") }`:        `{ some n in ["10.0.0.0/8"]; net.cidr_contains(n, "10.0.0.1") }`,
		`semver.compare("1", input.token.claims.version) == 1`:                  `semver.compare("1.0.0", input.token.claims.version) == 1`,
		`f(input.request) == 1`:                                                 `g(input.request) == 1`,
		`regex.match("(", input.request.path) == regex.match("a", "b")`:         `regex.match("a", input.request.path) == regex.match("a", "b")`,
		`input.request.size > to_number("10k")`:                                 `input.request.size > to_number("10000")`,
		`input.token.claims.x == json.unmarshal("{a}")`:                         `input.token.claims.x == json.unmarshal("{}")`,
		`regex.globs_match("a.*[", input.request.path)`:                         `regex.globs_match("a.*", input.request.path)`,
		`regex.template_match("a{b", input.request.path, "{", "}")`:             `regex.template_match("a{b}", input.request.path, "{", "}")`,
		`object.get({"a": regex.match(")", input.request.path)}, "a", 1)`:       `object.get({"a": regex.match("a", input.request.path)}, "a", 1)`,
		`count({x | some x in input.request.segments; x == to_number("")}) > 1`: `count({x | some x in input.request.segments; x == to_number("1")}) > 1`,
	} {
		rules := "\np := \"(\"\nq := \".\"\nf(r) := 1 if regex.match(\"(\", r.path)\ng(r) := 1 if regex.match(\"a\", r.path)\n"
		only := func(expression string) string {
			text := baseline + "deny contains {\"code\": \"x\"} if " + expression
			for _, line := range strings.Split(strings.Trim(rules, "\n"), "\n") {
				if strings.Contains(expression, line[:1]+"(") && line[1] == '(' || strings.Contains(
					expression, "("+line[:1]+",") {
					text += "\n" + line
				}
			}
			return text
		}
		_, err := load(t, rego.Options{}, only(bad))
		var found finding.List
		if errors.As(err, &found); len(found) != 1 || found[0].Code != "argument" &&
			found[0].Code != "rego_type_error" || found[0].Line < 4 {
			t.Errorf("%s: %v", bad, err)
		}
		if _, err := load(t, rego.Options{}, only(good)); err != nil && !strings.Contains(err.Error(), "match error") {
			t.Errorf("%s: %v", good, err)
		}
	}
}

// A key that is written twice is refused: the last one would win.
func TestRepeatedKey(t *testing.T) {
	for text, want := range map[string]bool{
		`{"level": "mfa", "level": "password"}`:                                      true,
		"{\n\t\"scope\": [\"a\"], # \"x\":\n\t`scope`: [\"b\"],\n}":                  true,
		`{"level": "mfa", "reason": "level: \"level\": {", "scope": [x | x := "a"]}`: false,
		`{"level": "mfa", "max_age": "1m", "reason": "b", "max_age": 5}`:             true,
	} {
		for _, way := range []string{"require contains %s", "require contains r if {\n\tr := %s\n}"} {
			_, err := load(t, rego.Options{}, baseline+fmt.Sprintf(way, text))
			if got := err != nil && strings.Contains(err.Error(), "repeated_key"); got != want {
				t.Errorf("%s: %v", text, err)
			}
		}
	}
}
