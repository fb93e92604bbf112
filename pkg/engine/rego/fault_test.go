package rego_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/types"

	"github.com/stepward/stepward/pkg/engine/rego"
)

// secret stands for the content of somebody's query, body or claim.
const secret = "SECRET-5b1f"

// operand is an expression of a type, made of the secret; count tells apart which of the
// types an operand may have is taken.
func operand(t types.Type, count int) string {
	const s = "input.request.query.s[0]"
	if named, is := t.(*types.NamedType); is {
		t = named.Type
	}
	switch v := t.(type) {
	case types.Any:
		if len(v) > 0 {
			return operand(v[count%len(v)], count/len(v))
		}
	case types.Number:
		return fmt.Sprintf("count(%s)", s)
	case types.Boolean:
		return fmt.Sprintf("startswith(%s, \"S\")", s)
	case *types.Array:
		return "[" + s + "]"
	case *types.Set:
		return "{" + s + "}"
	case *types.Object:
		return fmt.Sprintf("{%s: %s}", s, s)
	}
	return s
}

// Whatever function fails over what a request holds, and whatever a rule makes of it that
// it may not, the error that reaches the log does not say what it was.
func TestErrorsHoldNoValues(t *testing.T) {
	rules := map[string]string{}
	for _, b := range ast.CapabilitiesForThisVersion().Builtins {
		if b.Decl == nil || b.Infix != "" || strings.HasPrefix(b.Name, "internal.") || b.Name == "print" || b.Relation {
			continue
		}
		for count := range 4 {
			var given []string
			for _, o := range b.Decl.NamedFuncArgs().Args {
				given = append(given, operand(o, count))
			}
			rules[fmt.Sprintf("%s %d", b.Name, count)] = fmt.Sprintf("require contains {\"level\": \"mfa\"} if %s(%s)",
				b.Name, strings.Join(given, ", "))
		}
	}
	const s = "input.request.query.s[0]"
	for n, member := range []string{`"level": ` + s, `"acr": [` + s + `, ""]`, `"max_age": ` + s, `"amr": ` + s,
		`"scope": ` + s, `"audience": ` + s, `"issuer": ` + s, `"token_age": ` + s,
		`"sender_constrained": ` + s, `"shadow": ` + s, `"detail": [` + s + `]`, s + `: 1`,
		`"level": "anonymous", "amr": [` + s + `]`} {
		rules[fmt.Sprint("member ", n)] = "require contains {" + member + "}"
	}
	for n, member := range []string{`"status": ` + s, `"code": concat(" ", [` + s + `, "x"])`, `"always": ` + s,
		`"reason": [` + s + `]`, s + `: 1`} {
		rules[fmt.Sprint("denial ", n)] = "require contains {\"level\": \"mfa\"}\ndeny contains {" + member + "}"
	}
	for name, rule := range map[string]string{
		"header":             `headers["x-a"] := concat("\n", [` + s + `, "x"])`,
		"response header":    `response_headers["x-a"] := {` + s + `: 1}`,
		"metadata":           `metadata["a"] := [` + s + ` | some i in numbers.range(1, 2000)]`,
		"metadata key":       "metadata[" + s + "] := 1\nmetadata[concat(\"\", [" + s + "])] := 2",
		"two values":         "headers[\"x-a\"] := " + s + "\nheaders[\"x-a\"] := \"b\"",
		"two values of rule": "f := " + s + "\nf := \"b\" if input.request.method == \"GET\"\nheaders[\"x-a\"] := f",
		"a key twice":        `metadata["a"] := {` + s + `: x | some x in ["a", "b"]}`,
	} {
		rules[name] = "require contains {\"level\": \"mfa\"}\n" + rule
	}
	failed := 0
	for name, rule := range rules {
		p, err := load(t, rego.Options{Timeout: 5 * time.Second}, head+rule) // clock: a failure, not a timeout, is what is looked for
		if err != nil {
			continue // it is not there, or does not take this
		}
		r, err := p.Evaluate(t.Context(), ask(t, "GET", "/?s="+secret, nil))
		if err == nil {
			continue
		}
		if failed++; len(r.Require) > 0 {
			t.Errorf("%s: an error and a result", name)
		}
		if strings.Contains(err.Error(), "SECRET") || strings.Contains(err.Error(), "5b1f") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if failed < 60 {
		t.Errorf("%d of %d rules failed: too few to show anything", failed, len(rules))
	}
}
