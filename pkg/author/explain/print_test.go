package explain_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/author/explain"
)

func printed(e explain.Explanation) string {
	var out strings.Builder
	e.Print(&out)
	return out.String()
}

func TestPrint(t *testing.T) {
	e := explain.Of(challenged())
	e.Claimed, e.Fault = `iss "https://idp.example.com"`, "the log is full\x1b[2J"
	e.Denied = []explain.Denial{{Rule: "stepward.policy.deny", Code: "payroll_only", Reason: "not in payroll"},
		{Rule: "r"}}
	e.Others = []explain.Answer{{Client: "browser", Result: "redirect", Status: 302, Reason: "no_credentials",
		Location: "https://login.example.com/"}, {Client: "gRPC client", Allowed: true}}
	const want = `request    POST app.example.com/payments
           from 192.0.2.1
           two addresses
           path "/payments", segments ["payments"], kind api
presented  a bearer token
           it says: iss "https://idp.example.com"
who        user "alice" of issuer corp, client "web"
           level password (acr 1), authenticated 5m1s ago, bound to the caller's key
           good until 2027-01-15T09:00:00Z
fault      the log is full\u001b[2J
required   mfa, in the last 5m  ← stepward.policy.require (p.rego:3): payments move money
           phishing-resistant, observed only  ← stepward.policy.require (p.rego:9)
denied     stepward.policy.deny  payroll_only not in payroll
           r
missing    level, for stepward.policy.require (p.rego:3)
           age, for stepward.policy.require (p.rego:3)
observed   level would be missing for stepward.policy.require (p.rego:9)
answer     401 insufficient_level  Bearer error="insufficient_user_authentication"
others     browser      302 no_credentials → https://login.example.com/
           gRPC client  allowed
policy     revision 4f1c
`
	if got := printed(e); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// Stages that were not reached say so, and never that they found nothing.
func TestPrintOfWhatWasNotReached(t *testing.T) {
	for name, c := range map[string]struct {
		e         explain.Explanation
		has, lack []string
	}{
		"unread": {explain.Explanation{Request: explain.Request{Method: "GET\n", Asked: "/%2561"},
			Answer: explain.Answer{Status: 400, Reason: "request_ambiguous"}},
			[]string{`request    GET\u000a /%2561`, "can be read in more than one way",
				"whatever it was, it was not read", "who        not asked"}, []string{"nothing", "nobody", "required"}},
		"nobody": {explain.Explanation{Request: explain.Request{Path: "/"}, Answer: explain.Answer{
			Status: 401, Reason: "no_credentials"}},
			[]string{"presented  nothing", "who        nobody\n"}, []string{"not read", "required"}},
		"refused token": {explain.Explanation{Presented: "bearer", Failure: "token: token_expired",
			Answer: explain.Answer{Reason: "token_expired"}},
			[]string{"a bearer token", "nobody: token: token_expired"}, []string{"level"}},
		"no rule": {explain.Explanation{Answer: explain.Answer{Status: 403, Reason: "policy_no_match"}},
			[]string{"no rule covers this request, and so it is refused", "403 policy_no_match"}, []string{"allowed"}},
		"allowed": {explain.Explanation{Token: &explain.Token{Subject: "bot", Principal: "client"},
			Answer: explain.Answer{Allowed: true, Upstream: map[string]string{"x-b": "2", "x-a": "1"}}},
			[]string{"level not judged, authenticated at an unknown time\n",
				"answer     allowed\n           upstream gets x-a: 1\n           upstream gets x-b: 2\n"},
			[]string{"good until", "bound"}},
	} {
		got := printed(c.e)
		for _, text := range c.has {
			if !strings.Contains(got, text) {
				t.Errorf("%s lacks %q:\n%s", name, text, got)
			}
		}
		for _, text := range c.lack {
			if strings.Contains(got, text) {
				t.Errorf("%s has %q:\n%s", name, text, got)
			}
		}
	}
}

func TestAnswerInWords(t *testing.T) {
	for want, a := range map[string]explain.Answer{
		"allowed":           {Allowed: true, Status: 500, Reason: "x"},
		"403 policy_denied": {Status: 403, Reason: "policy_denied"},
		"401 no_credentials → a page that moves on to the login by GET → https://l/": {
			Status: 401, Reason: "no_credentials", Result: "redirect", Location: "https://l/"},
		"302 no_credentials → https://l/": {
			Status: 302, Reason: "no_credentials", Result: "redirect", Location: "https://l/"},
	} {
		if got := a.String(); got != want {
			t.Errorf("%s; want %s", got, want)
		}
	}
	e := explain.Explanation{Token: &explain.Token{Subject: "a", Expires: time.Time{}}}
	if got := printed(e); strings.Contains(got, "0001") {
		t.Errorf("a time that is not there is printed:\n%s", got)
	}
}
