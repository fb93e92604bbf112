package page_test

import (
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/response/page"
)

const hostile = `"><script>alert(1)</script>`

func TestRefusal(t *testing.T) {
	full := page.Refusal{Title: "Forbidden", Detail: "Ask the team", Reason: "policy_denied",
		StepUpURI:  "https://login.example.com/?a=b&c=d",
		DecisionID: "d1"}.HTML()
	for _, want := range []string{"<title>Forbidden</title>", "<p>Ask the team</p>", "policy_denied · d1",
		`href="https://login.example.com/?a=b&amp;c=d"`} {
		if !strings.Contains(full, want) {
			t.Errorf("no %s in %s", want, full)
		}
	}
	bare := page.Refusal{Title: "Forbidden", DecisionID: "d1"}.HTML()
	if strings.Contains(bare, "Continue") || strings.Contains(bare, "·") || !strings.Contains(
		bare, "<small>d1</small>") {
		t.Error(bare)
	}
}

func TestMove(t *testing.T) {
	text := page.Move{Target: "https://login.example.com/?a=b", DecisionID: "d1"}.HTML()
	for _, want := range []string{`content="0;url=https://login.example.com/?a=b"`,
		`href="https://login.example.com/?a=b"`, "d1"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
}

// Whatever stands in a page, it runs nothing and no page of another site frames it.
func TestNothingRuns(t *testing.T) {
	for name, text := range map[string]string{
		"refusal": page.Refusal{Title: hostile, Detail: hostile, Reason: hostile, StepUpURI: "javascript:alert(1)",
			DecisionID: hostile}.HTML(),
		"move": page.Move{Target: "javascript:alert(1)", DecisionID: hostile}.HTML(),
	} {
		if text == "" || strings.Contains(text, "<script") || strings.Contains(text, `href="javascript:`) {
			t.Errorf("%s: %s", name, text)
		}
	}
	got := map[string]string{}
	for _, f := range page.Headers() {
		if f.Name != strings.ToLower(f.Name) || !request.IsToken(f.Name) {
			t.Errorf("header %q", f.Name)
		}
		got[f.Name] = f.Value
	}
	for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "form-action 'none'",
		"base-uri 'none'"} {
		if !strings.Contains(got["content-security-policy"], want) {
			t.Errorf("the policy has no %s: %s", want, got["content-security-policy"])
		}
	}
	if strings.Contains(got["content-security-policy"], "script") || got["x-content-type-options"] != "nosniff" ||
		got["referrer-policy"] != "no-referrer" {
		t.Errorf("%v", got)
	}
}
