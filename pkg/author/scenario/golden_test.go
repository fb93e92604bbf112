package scenario_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/author/scenario"
	"github.com/stepward/stepward/pkg/internal/golden"
	"github.com/stepward/stepward/pkg/run/snapshot"
)

// TestGolden holds the answers of every shipped policy to what they were: a change of
// the engine, or of ours, that changes one is seen.
func TestGolden(t *testing.T) {
	examples, err := filepath.Glob("../../../examples/policies/*/policy.rego")
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	lines := 0
	for _, example := range append(examples, "default") {
		var paths []string
		if example != "default" {
			paths = []string{filepath.Dir(example)}
		}
		sources, err := snapshot.Sources(paths)
		if err != nil {
			t.Fatal(err)
		}
		stage := open(t, ladder+"login_redirect: { url: \"https://login.example.com/\", hosts: [app.example.com] }\n",
			sources...)
		for _, written := range scenarios() {
			s, err := scenario.Parse([]byte(written))
			if err != nil {
				t.Fatal(err)
			}
			r, err := stage.Decide(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			answer := scenario.AnswerOf(r)
			for _, moving := range []string{"x-stepward-decision-id", "x-stepward-auth-time"} {
				delete(answer.Headers, moving)
			}
			line, err := json.Marshal(answer)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&text, "%s %s %s\n", filepath.Base(filepath.Dir(example)), written, line)
			lines++
		}
	}
	if lines < 5000 {
		t.Fatalf("only %d answers", lines)
	}
	golden.CheckCompressed(t, "testdata/answers.jsonl.gz", text.String())
}

// scenarios are requests of many kinds by callers of many kinds.
func scenarios() []string {
	requests := []string{
		`"path":"/"`, `"path":"/health"`, `"path":"/orders"`, `"method":"POST","path":"/orders"`,
		`"path":"/payments/7"`, `"method":"POST","path":"/payments/7"`,
		`"path":"/admin/users"`, `"path":"/t/acme/orders"`, `"path":"/t/other/orders"`, `"path":"/t/acme/settings"`,
		`"path":"/payroll"`, `"method":"PUT","path":"/payroll/7"`,
		`"path":"/console"`, `"path":"/console","principal":"spiffe://example.com/device/7"`, `"path":"/records/1"`,
		`"path":"/reports"`, `"path":"/production"`,
		`"path":"/production","headers":{"x-break-glass":"ticket 4711: database down"}`,
		`"method":"POST","path":"/transfers"`, `"method":"POST","path":"/transfers","body":{"amount":1000}`,
		`"method":"POST","path":"/transfers","body":{"amount":1001}`,
		`"method":"POST","path":"/transfers","body":{"amount":"1"}`,
		`"method":"POST","path":"/graphql","body":{"query":"{ a }"}`,
		`"method":"POST","path":"/graphql","body":{"query":"mutation { a }"}`,
		`"method":"POST","path":"/shop.v1.Payments/Pay","as":"grpc"`,
		`"method":"POST","path":"/shop.v1.Payments/List","as":"grpc"`,
		`"path":"/payments/7","as":"browser"`, `"path":"/admin/users","as":"browser"`,
		`"path":"/orders","route":{"stepward.level":"mfa"}`,
	}
	callers := []string{
		``, `{}`, `{"level":"password"}`, `{"level":"mfa"}`, `{"level":"mfa","auth_age":"10m"}`,
		`{"level":"phishing-resistant"}`, `{"acr":"other"}`, `{"amr":["pwd","otp"]}`, `{"tenant":"acme"}`,
		`{"roles":["payroll"],"level":"mfa","scope":"payroll.write"}`,
		`{"roles":["oncall"],"level":"phishing-resistant"}`, `{"roles":["operator"]}`, `{"sub":"bob"}`,
		`{"sub":"mallory","level":"mfa"}`,
		`{"sub":null,"client_id":"nightly","sender_constrained":true}`,
	}
	var all []string
	for _, r := range requests {
		for _, c := range callers {
			if c == "" {
				all = append(all, "{"+r+"}")
			} else {
				all = append(all, "{"+r+`,"token":`+c+"}")
			}
		}
	}
	return all
}
