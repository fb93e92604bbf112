package explain_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/author/explain"
	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/response"
	"github.com/stepward/stepward/pkg/stepup"
	"github.com/stepward/stepward/pkg/token"
)

var epoch = time.Date(2027, 1, 15, 8, 0, 0, 0, time.UTC)

// challenged is the record of a payment by somebody with a password.
func challenged() authz.Record {
	need := stepup.Requirement{Rule: "stepward.policy.require (p.rego:3)", Level: "mfa",
		MaxAge: stepup.AgeOf(5 * time.Minute), Reason: "payments move money"}
	seen := stepup.Requirement{Rule: "stepward.policy.require (p.rego:9)", Level: "phishing-resistant", Shadow: true}
	r := authz.Record{
		ID: "74a953d4", Time: epoch, Duration: 1500 * time.Microsecond, Scheme: "bearer",
		Request: request.Request{ID: "r-1", Method: "POST", Host: "app.example.com", Path: "/payments",
			RawPath: "/payments", RawQuery: "to=bob&pin=1234",
			Segments: []string{"payments"}, Kind: "api", ClientAddress: "192.0.2.1", Doubts: []string{"two addresses"}},
		Token: &token.Token{Issuer: "https://idp.example.com", IssuerName: "corp", Subject: "alice", ClientID: "web",
			Principal: "user",
			Proofs:    []token.Proof{{ACR: "1", AMR: []string{"pwd"}}}, ExpiresAt: epoch.Add(time.Hour),
			SenderConstrained: true},
		Response: response.Response{Status: 401, Headers: []request.Field{{Name: "content-type", Value: "x"},
			{Name: "www-authenticate", Value: `Bearer error="insufficient_user_authentication"`}}},
	}
	r.Revision, r.Held = "4f1c", "password"
	r.Required = []stepup.Requirement{need, seen}
	r.Shortfall = stepup.Shortfall{Covered: true, Needed: true, Level: "mfa", Age: stepup.AgeOf(301 * time.Second),
		Unmet:    []stepup.Gap{{Part: stepup.PartLevel, Requirement: need}, {Part: stepup.PartAge, Requirement: need}},
		Shadowed: []stepup.Gap{{Part: stepup.PartLevel, Requirement: seen}}}
	r.Decision = stepup.Challenge{Why: stepup.InsufficientLevel}
	return r
}

func TestOf(t *testing.T) {
	got := explain.Of(challenged())
	age := int64(301)
	want := explain.Explanation{
		DecisionID: "74a953d4", Time: epoch, DurationMS: 1.5, Revision: "4f1c",
		Request: explain.Request{ID: "r-1", Method: "POST", Host: "app.example.com", RawPath: "/payments",
			Path: "/payments", Segments: []string{"payments"},
			Kind: "api", ClientAddress: "192.0.2.1", Doubts: []string{"two addresses"}},
		Presented: "bearer", Level: "password", AuthAge: &age, Needs: "mfa",
		Token: &explain.Token{Issuer: "https://idp.example.com", IssuerName: "corp", Subject: "alice", ClientID: "web",
			Principal: "user", ACR: "1", AMR: []string{"pwd"},
			Expires: epoch.Add(time.Hour), Bound: true},
		Required: []explain.Requirement{{Rule: "stepward.policy.require (p.rego:3)", Text: "mfa, in the last 5m",
			Reason: "payments move money"},
			{Rule: "stepward.policy.require (p.rego:9)", Text: "phishing-resistant, observed only", Shadow: true}},
		Missing: []explain.Missing{{Part: "level", Rule: "stepward.policy.require (p.rego:3)"},
			{Part: "age", Rule: "stepward.policy.require (p.rego:3)"}},
		Observed: []explain.Missing{{Part: "level", Rule: "stepward.policy.require (p.rego:9)"}},
		Rule:     got.Rule,
		Answer: explain.Answer{Result: "challenge", Reason: "insufficient_level", Status: 401,
			Challenge: `Bearer error="insufficient_user_authentication"`},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	text, err := json.Marshal(got)
	if err != nil || strings.Contains(string(text), "1234") {
		t.Errorf("the query is in %s, %v", text, err)
	}
}

// Stages that a decision did not reach are left out, and a request that could not be read
// shows the path as sent instead of a path.
func TestOfARefusal(t *testing.T) {
	r := authz.Record{Request: request.Request{Method: "GET", Asked: "/%2561"}, Response: response.Response{
		Status: 400},
		Failure: &token.Error{Code: "token_expired"}}
	r.Decision, r.Fault = stepup.Deny{Why: stepup.RequestAmbiguous}, errors.New("read twice")
	got := explain.Of(r)
	if got.Token != nil || got.AuthAge != nil || got.Request.Shown() != "/%2561" || got.Answer.Allowed ||
		got.Fault != "read twice" || got.Failure == "" {
		t.Errorf("%+v", got)
	}
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{`"token":`, "auth_age", "required\"", "missing", "upstream", "location"} {
		if strings.Contains(string(text), name) {
			t.Errorf("%s is in %s", name, text)
		}
	}
}

// An allow says what the application gets, and a refusal never does.
func TestAnswerOf(t *testing.T) {
	set := []request.Field{{Name: "x-stepward-subject", Value: "alice"}}
	for _, c := range []struct {
		r    response.Response
		want explain.Answer
	}{
		{response.Response{Kind: response.Allow, Set: set, Remove: []string{"x-tenant"}}, explain.Answer{
			Allowed: true, Upstream: map[string]string{"x-stepward-subject": "alice"}, Removed: []string{"x-tenant"}}},
		{response.Response{Status: 302, Headers: []request.Field{
			{Name: "location", Value: "https://login.example.com/?return_to=x"}}}, explain.Answer{
			Status: 302, Location: "https://login.example.com/?return_to=x"}},
		{response.Response{Kind: response.Serve, Status: 200}, explain.Answer{Status: 200}},
		{response.Response{}, explain.Answer{}},
	} {
		r := authz.Record{Response: c.r}
		got := explain.AnswerOf(r)
		c.want.Result, c.want.Reason = string(r.Result()), string(r.Reason())
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%+v; want %+v", got, c.want)
		}
	}
	e := explain.Explanation{Answer: explain.Answer{Location: "https://login.example.com/step-up?return_to=secret"}}
	if kept := e.WithoutQuery(); kept.Answer.Location != "https://login.example.com/step-up" ||
		e.Answer.Location == kept.Answer.Location {
		t.Errorf("%q, of %q", kept.Answer.Location, e.Answer.Location)
	}
}

// Every part of a requirement is in its words.
func TestRequirementInWords(t *testing.T) {
	r := authz.Record{}
	r.Required = []stepup.Requirement{
		{ACR: []string{"a", "b"}, AMR: []string{"pwd", "otp"}, MaxAge: stepup.AgeOf(90 * time.Minute)},
		{Level: "authenticated", Scope: []string{"r", "w"}, Audience: []string{"x", "y"}, Issuer: []string{"i"},
			SenderConstrained: true, TokenAge: stepup.AgeOf(0)},
		{Level: "anonymous", Floor: true},
	}
	r.Policy = policy.Result{Deny: []stepup.Denial{
		{Rule: "deny", Always: true, Code: "payroll_only", Reason: "not in payroll"}}}
	got := explain.Of(r)
	for i, want := range []string{
		"acr a or b, in the last 1h30m, by pwd and otp",
		"authenticated, scope r w, audience x or y, issuer i, sender-constrained, token issued in the last 0s",
		"anonymous",
	} {
		if got.Required[i].Text != want || got.Required[i].Floor != (i == 2) {
			t.Errorf("%+v; want %q", got.Required[i], want)
		}
	}
	if want := (explain.Denial{Rule: "deny", Code: "payroll_only", Reason: "not in payroll", Always: true}); len(
		got.Denied) != 1 || got.Denied[0] != want {
		t.Errorf("%+v", got.Denied)
	}
}
