package telemetry_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/response"
	"github.com/stepward/stepward/pkg/run/telemetry"
	"github.com/stepward/stepward/pkg/stepup"
	"github.com/stepward/stepward/pkg/token"
)

func observe(t *testing.T, r authz.Record) (lines string, metrics string) {
	t.Helper()
	var out bytes.Buffer
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(&out),
		zap.InfoLevel)
	m := telemetry.NewMetrics("v1")
	m.Enforced("rev1")
	m.Refreshed("corp", errors.New("down"))
	(&telemetry.Observer{Log: zap.New(core), Metrics: m}).Observe(t.Context(), &r)
	server := httptest.NewServer(m.Handler())
	defer server.Close()
	res, err := server.Client().Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), string(body)
}

func record(t *testing.T) authz.Record {
	t.Helper()
	r, err := request.New(request.Raw{ID: "req-1", Method: "POST", Host: "app.example.com",
		Target: "/pay?code=SECRET-CODE", Scheme: "https", Headers: []request.Field{
			{Name: "authorization", Value: "Bearer SECRET-TOKEN"}, {Name: "cookie", Value: "s=SECRET-COOKIE"},
			{Name: "traceparent", Value: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
		}}, request.Options{})
	if err != nil {
		t.Fatal(err)
	}
	gap := stepup.Gap{Part: stepup.PartLevel, Requirement: stepup.Requirement{
		Level: "mfa", Rule: "stepward.policy.require (p.rego:3)", Reason: "pay"}}
	return authz.Record{
		ID: "d1", Duration: 1500 * time.Microsecond, Request: r, Scheme: credential.Bearer,
		Token: &token.Token{Issuer: "https://idp.example.com", IssuerName: "corp", Subject: "alice\r\n{\"forged\":1}",
			ClientID: "web", Proofs: []token.Proof{{ACR: "1"}}, Claims: map[string]any{"email": "SECRET-EMAIL"}},
		Judgement: authz.Judgement{
			Revision: "rev1", Held: "password", Decision: stepup.Challenge{Why: stepup.InsufficientLevel},
			Shortfall: stepup.Shortfall{Level: "mfa", Unmet: []stepup.Gap{gap}, Shadowed: []stepup.Gap{gap},
				Age: stepup.AgeOf(time.Minute)},
		},
		Response: response.Response{Status: 401},
	}
}

// One line with everything needed to understand a decision, and no secret.
func TestEvent(t *testing.T) {
	lines, metrics := observe(t, record(t))
	if strings.Count(lines, "\n") != 1 {
		t.Fatalf("more than one line: %q", lines)
	}
	var event map[string]any
	if err := json.Unmarshal([]byte(lines), &event); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"decision_id": "d1", "request_id": "req-1", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "method": "POST",
		"host": "app.example.com", "path": "/pay",
		"kind": "fetch", "issuer": "https://idp.example.com", "issuer_name": "corp", "held_level": "password",
		"required_level": "mfa", "auth_age": 60.0, "result": "challenge", "reason": "insufficient_level",
		"rule": "stepward.policy.require (p.rego:3)", "policy_revision": "rev1", "duration_ms": 1.5, "status": 401.0,
		"policy_reason": "pay",
	} {
		if event[name] != want {
			t.Errorf("%s: %v; want %v", name, event[name], want)
		}
	}
	if strings.Contains(lines+metrics, "SECRET") || strings.Contains(metrics, "alice") || strings.Contains(
		metrics, "/pay") {
		t.Error("a secret is told, or a client's value is a label")
	}
	for _, want := range []string{
		`stepward_decisions_total{reason="insufficient_level",result="challenge"} 1`,
		`stepward_stepup_required_total{channel="api",level="mfa"} 1`,
		`stepward_jwks_refresh_total{issuer_name="corp",result="error"} 1`,
		`stepward_policy_revision_info{revision="rev1"} 1`, `stepward_build_info{`, `stepward_shadow_unmet_total{`,
		`stepward_check_duration_seconds_bucket{result="challenge",le="5e-05"} 0`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s", want)
		}
	}
}

func TestFailure(t *testing.T) {
	r := record(t)
	r.Token, r.Failure, r.Decision = nil, &token.Error{Code: token.BadSignature, IssuerName: "corp",
		Issuer: "https://idp.example.com"}, stepup.Challenge{Why: stepup.TokenBadSignature}
	if lines, metrics := observe(t, r); !strings.Contains(
		lines, `"issuer":"https://idp.example.com","issuer_name":"corp"`) || !strings.Contains(
		metrics, `stepward_token_failures_total{issuer_name="corp",reason="token_bad_signature"} 1`) {
		t.Error("a token failure is not counted")
	}
	lines, _ := observe(t, authz.Record{Judgement: authz.Judgement{Fault: errors.New("disk on fire")}})
	if !strings.Contains(lines, "disk on fire") || !strings.Contains(lines, `"level":"warn"`) || !strings.Contains(
		lines, `"result":"error"`) {
		t.Errorf("a fault of our own: %s", lines)
	}
}

// A request that was refused before its path could be read is still found by its path,
// and its query and credentials are not in the line.
func TestRefusedRequestShowsWhatWasAsked(t *testing.T) {
	for target, want := range map[string]string{
		"/x/../admin?code=SECRET":                     `"path":"/x/../admin"`,
		"/%2561dmin;jsessionid=SECRET":                `"path":"/%2561dmin;jsessionid=[…]"`,
		"/\u202e\u009b/" + strings.Repeat("a", 10000): `"path":"/\\xe2\\x80\\xae\\xc2\\x9b/aaa`,
		"/orders?code=SECRET":                         `"path":"/orders"`, // as ever
	} {
		asked, err := request.New(request.Raw{Method: "GET", Host: "app.example.com", Scheme: "https", Target: target},
			request.Options{})
		if (err == nil) != strings.HasPrefix(target, "/orders") {
			t.Fatal(err)
		}
		lines, _ := observe(t, authz.Record{Request: asked, Judgement: authz.Judgement{
			Fault: err, Decision: stepup.Deny{Why: stepup.RequestAmbiguous}}})
		if !strings.Contains(lines, want) || strings.Contains(lines, "SECRET") || len(lines) > 4096 {
			t.Errorf("%.40q: %s", target, lines)
		}
	}
}
