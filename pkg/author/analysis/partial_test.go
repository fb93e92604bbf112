package analysis_test

import (
	"slices"
	"strings"
	"testing"
)

// Known members settle a rule, and unknown ones become its conditions.
func TestPartial(t *testing.T) {
	text := `package stepward.policy
import rego.v2
public if input.request.path in {"/", "/t/x"}
require contains {"level": "anonymous"} if public
require contains {"level": "authenticated"} if not public
require contains {"level": "mfa"} if input.request.segments[0] == "payments"
require contains {"level": "mfa", "max_age": "5m"} if { input.request.segments[0] == "t"; input.request.body.json.amount > 100 }
require contains {"level": "mfa"} if input.request.segments[1] == "special"
require contains {"level": "mfa"} if not input.request.headers["x-a"] == "1"
require contains {"level": "mfa"} if every s in input.request.segments { s != "zz" }
require contains {"level": "mfa", "scope": [input.request.segments[1]]} if input.request.method == "POST"
deny contains {"code": "x"} if not "payroll" in input.token.claims.roles
deny contains {"code": "y"} if input.request.method == "GET"
elsewhere if input.request.path in {"/", "/u/x"}
require contains {"level": "anonymous"} if elsewhere
require contains {"level": "password"} if not elsewhere
`
	p, err := load(t, text)
	if err != nil {
		t.Fatal(err)
	}
	list, err := p.Partial(t.Context(), map[string]any{
		"request": map[string]any{"method": "POST", "segments": []any{"t", "x"}}, "token": map[string]any{
			"principal": "user"}},
		[]string{"input.request.path", "input.request.segments[1]", "input.request.headers", "input.request.body",
			"input.token.claims"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range list {
		got = append(got, c.Rule[strings.LastIndexByte(c.Rule, ':')+1:len(c.Rule)-1]+" "+c.Value+" if "+strings.Join(
			c.When, "; "))
	}
	want := []string{
		`4 {"level":"anonymous"} if input.request.path in {"/", "/t/x"}`,
		`5 {"level":"authenticated"} if not input.request.path in {"/", "/t/x"}`,
		`7 {"level":"mfa","max_age":"5m"} if input.request.body.json.amount > 100`,
		`8 {"level":"mfa"} if input.request.segments[1] == "special"`,
		`9 {"level":"mfa"} if not input.request.headers["x-a"] == "1"`,
		`10 {"level":"mfa"} if what the rule makes of input.request.segments`,
		`11 {"level": "mfa", "scope": [input.request.segments[1]]} if `,
		`16 {"level":"password"} if `,
		`12 {"code":"x"} if not "payroll" in input.token.claims.roles`,
	}
	for _, w := range want {
		if !slices.ContainsFunc(got, func(g string) bool { return strings.HasPrefix(g, w) }) {
			t.Errorf("no %s in\n%s", w, strings.Join(got, "\n"))
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
	}
}
