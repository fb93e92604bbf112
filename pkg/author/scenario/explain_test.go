package scenario_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/author/explain"
	"github.com/stepward/stepward/pkg/engine/rego"
)

// The answers to other clients are to the same request: a browser shows no token, and the
// others the same.
func TestExplain(t *testing.T) {
	stage := open(t, ladder+"login_redirect: { url: \"https://login.example.com/\", hosts: [app.example.com] }\n",
		rego.Source{Name: "p.rego", Text: []byte(
			"package stepward.policy\nimport rego.v2\nrequire contains {\"level\": \"authenticated\"}\n")})
	raw, err := explain.Asked{Method: "GET", URL: "https://app.example.com/orders", Headers: []string{
		"accept: text/html", "sec-fetch-mode: navigate", "x-kept: 1"}}.Raw()
	if err != nil {
		t.Fatal(err)
	}
	results := func(claims map[string]any) (own string, others []string) {
		e, err := stage.Explain(t.Context(), raw, claims)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range e.Others {
			others = append(others, a.Client+" "+a.Result)
		}
		return e.Answer.Result, others
	}
	own, others := results(map[string]any{"level": "mfa"})
	if want := []string{"browser redirect", "page script allow", "API client allow",
		"gRPC client allow"}; own != "allow" || !slices.Equal(others, want) {
		t.Errorf("%s, %q; want %q", own, others, want)
	}
	own, others = results(nil)
	if want := []string{"browser redirect", "page script challenge", "API client challenge",
		"gRPC client challenge"}; own != "redirect" || !slices.Equal(others, want) {
		t.Errorf("%s, %q; want %q", own, others, want)
	}
	if _, err := stage.Explain(t.Context(), raw, map[string]any{"iss": "https://evil.example.com"}); err == nil ||
		!strings.Contains(err.Error(), "not a configured issuer") {
		t.Errorf("%v", err)
	}
}
