package authz_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/response"
	"github.com/stepward/stepward/pkg/stepup"
)

// A refusal that has the status of a success, by whatever mistake of a policy, is our own
// fault and not an answer.
func TestNoRefusalIsASuccess(t *testing.T) {
	for status, want := range map[int]int{200: 503, 204: 503, 299: 503, 100: 503, 600: 503, -1: 503, 403: 403, 302: 302,
		0: 403} {
		denial := stepup.Denial{Status: status, Always: true, Wording: &stepup.Wording{HasBody: true, Body: "welcome"}}
		a := newAuthorizer(t, rules{evaluate: func(context.Context, policy.Input) (policy.Result, error) {
			return policy.Result{Require: []stepup.Requirement{{Level: "anonymous"}}, Deny: []stepup.Denial{denial}},
				nil
		}})
		r := a.Authorize(t.Context(), get("/"))
		if r.Response.Kind != response.Refuse || r.Response.Status != want {
			t.Errorf("a denial with %d is answered with kind %d, status %d", status, r.Response.Kind, r.Response.Status)
		}
		if faulty := r.Reason() == stepup.Internal && r.Fault != nil; faulty != (want == 503) {
			t.Errorf("a denial with %d: %s, %v", status, r.Reason(), r.Fault)
		}
	}
}

func TestChallenge(t *testing.T) {
	a := newAuthorizer(t, requires(stepup.Requirement{Level: "mfa", MaxAge: stepup.AgeOf(5 * time.Minute),
		Detail: `Payments "move" money`}))
	a.Answers.ResourceMetadata = "https://api.example.com/.well-known/oauth-protected-resource"
	r := a.Authorize(t.Context(), get("/", bearer("one")...))
	want := `Bearer realm="api", error="insufficient_user_authentication", error_description="A stronger authentication is required", acr_values="loa:2", max_age="300", resource_metadata="https://api.example.com/.well-known/oauth-protected-resource"`
	if got := header(r.Response.Headers, "www-authenticate"); got != want {
		t.Errorf("challenge:\n%s\nwant\n%s", got, want)
	}
	var body map[string]any
	if err := json.Unmarshal([]byte(r.Response.Body), &body); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{"status": 401.0, "error": "insufficient_user_authentication",
		"reason": "insufficient_level", "level": "mfa", "max_age": 300.0, "detail": `Payments "move" money`,
		"decision_id": r.ID} {
		if body[name] != want {
			t.Errorf("%s: %v; want %v", name, body[name], want)
		}
	}
	for _, name := range []string{"content-type", "cache-control"} {
		if header(r.Response.Headers, name) == "" {
			t.Errorf("no %s", name)
		}
	}

	// Who has shown no valid token learns nothing of the requirement.
	for _, raw := range []request.Raw{get("/"), get("/", bearer("expired")...), get("/", bearer("forged")...)} {
		r := a.Authorize(t.Context(), raw)
		for _, secret := range []string{"loa:2", "300", "mfa", "Payments"} {
			if strings.Contains(r.Response.Body+header(r.Response.Headers, "www-authenticate"), secret) {
				t.Errorf("%s tells %q: %s", r.Reason(), secret, r.Response.Body)
			}
		}
	}
	a.Answers.HideRequirements = true
	r = a.Authorize(t.Context(), get("/", bearer("one")...))
	if all := r.Response.Body + header(r.Response.Headers, "www-authenticate"); strings.Contains(all, "loa:2") ||
		strings.Contains(all, "max_age") || strings.Contains(all, "mfa") || !strings.Contains(
		all, "insufficient_user_authentication") {
		t.Errorf("hidden requirements: %s", all)
	}
}

func TestDenial(t *testing.T) {
	p := rules{evaluate: func(context.Context, policy.Input) (policy.Result, error) {
		return policy.Result{
			Require: []stepup.Requirement{{Level: "anonymous"}},
			Deny: []stepup.Denial{{Code: "gone_fishing", Reason: "for the log", Detail: "<b>closed</b>", Status: 451,
				Rule: "r"}},
		}, nil
	}}
	r := newAuthorizer(t, p).Authorize(t.Context(), get("/", "sec-fetch-mode", "navigate", "sec-fetch-dest",
		"document"))
	if r.Response.Status != 451 || r.Rule() != "r" || strings.Contains(r.Response.Body, "<b>") || strings.Contains(
		r.Response.Body, "for the log") || !strings.Contains(r.Response.Body, "closed") {
		t.Errorf("%d %s", r.Response.Status, r.Response.Body)
	}
}

func TestCORS(t *testing.T) {
	a := newAuthorizer(t, requires(stepup.Requirement{Level: "mfa"}))
	a.Answers.CORS = authz.CORS{Origins: []string{"https://spa.example"}, AllowHeaders: []string{"authorization"}}
	preflight := func(origin string) request.Raw {
		raw := get("/", "origin", origin, "access-control-request-method", "POST", "sec-fetch-mode", "cors")
		raw.Method = "OPTIONS"
		return raw
	}
	if r := a.Authorize(t.Context(), preflight("https://spa.example")); r.Response.Status != 204 ||
		r.Result() != stepup.ResultPreflight || header(r.Response.Headers, "access-control-allow-methods") != "POST" {
		t.Errorf("listed: %d %s", r.Response.Status, r.Result())
	}
	if r := a.Authorize(t.Context(), preflight("https://evil.example")); r.Response.Status != 401 ||
		header(r.Response.Headers, "access-control-allow-origin") != "" {
		t.Errorf("not listed: %d", r.Response.Status)
	}
	r := a.Authorize(t.Context(), get("/", "origin", "https://spa.example"))
	if header(r.Response.Headers, "access-control-allow-origin") != "https://spa.example" || header(r.Response.Headers,
		"access-control-expose-headers") != "WWW-Authenticate" {
		t.Errorf("a challenge that the page cannot read: %v", r.Response.Headers)
	}
}

func TestBodyForm(t *testing.T) {
	a := newAuthorizer(t, requires(stepup.Requirement{Level: "mfa"}))
	for _, v := range []struct {
		headers     []string
		contentType string
		begins      string
	}{
		{nil, "application/problem+json", "{"},
		{[]string{"content-type", "application/grpc"}, "text/plain; charset=utf-8",
			"authentication required: no_credentials"},
		{[]string{"sec-fetch-mode", "navigate", "sec-fetch-dest", "iframe"}, "text/html; charset=utf-8",
			"<!doctype html>"},
		{[]string{"content-type", "application/grpc-web+proto"}, "application/problem+json", "{"},
	} {
		r := a.Authorize(t.Context(), get("/", v.headers...))
		if header(r.Response.Headers, "content-type") != v.contentType || !strings.HasPrefix(r.Response.Body,
			v.begins) {
			t.Errorf("%q: %s %q", v.headers, header(r.Response.Headers, "content-type"), r.Response.Body)
		}
	}
}
