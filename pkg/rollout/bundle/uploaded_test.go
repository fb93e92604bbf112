package bundle

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	opaserver "github.com/open-policy-agent/opa/v1/server"
	"go.opentelemetry.io/otel/trace"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/response"
	"github.com/stepward/stepward/pkg/rollout/decisionlog"
	"github.com/stepward/stepward/pkg/stepup"
	"github.com/stepward/stepward/pkg/token"
)

// challenged returns a decision that asks alice for more, with all that a record can hold.
func challenged() *authz.Record {
	gap := stepup.Gap{Part: stepup.PartLevel, Requirement: stepup.Requirement{Level: "mfa", Rule: "pay",
		Reason: "payments move money"}}
	ask := stepup.Ask{Level: "mfa", ACRValues: []string{"loa:2"}, MaxAge: stepup.AgeOf(5 * time.Minute)}
	return &authz.Record{
		ID: "d1", Time: time.Unix(1_800_000_000, 0), Duration: 1500 * time.Microsecond, Scheme: "Bearer",
		Stages: authz.Stages{Evaluated: time.Unix(1_800_000_000, 0)},
		Request: request.Request{ID: "r1", Method: "GET", Host: "app.example.com", Path: "/pay",
			Kind:   request.Navigation,
			Source: request.Source{Address: "203.0.113.7"}},
		Token: &token.Token{Issuer: "https://idp.example.com", IssuerName: "corp", Subject: "alice", ClientID: "web",
			Proofs: []token.Proof{{ACR: "loa:1"}}},
		Judgement: authz.Judgement{
			Revision: "rev1", Held: "password", Decision: stepup.Challenge{Why: stepup.InsufficientLevel, Ask: ask},
			Shortfall: stepup.Shortfall{Covered: true, Needed: true, Level: "mfa", Rule: "pay", Ask: ask,
				Unmet: []stepup.Gap{gap}, Age: stepup.AgeOf(time.Minute)},
			Policy: policy.Result{Require: []stepup.Requirement{{Level: "mfa", Rule: "pay"},
				{Level: "mfa", Rule: "pay"}, {Rule: "plain"}}, Deny: []stepup.Denial{{Rule: "hours"}}},
		},
		Response: response.Response{Status: 401},
	}
}

// asJSON returns v as it is uploaded.
func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A decision is uploaded as OPA's own would be, and what OPA has no member for is custom.
func TestEventOfADecision(t *testing.T) {
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}})
	info := eventOf(logged{span: span, Decided: Decided{
		Record: challenged(), Revisions: map[string]string{"authz": "r7"}, Masks: decisionlog.Masks{
			More: []string{"/input/request/host"}},
		Labels: map[string]map[string]any{"pay": {"severity": "high"}, "hours": {"team": "web"}, "unused": {"x": 1}},
	}}, "x-stepward-")
	if info.DecisionID != "d1" || info.Path != "stepward/policy" || info.RemoteAddr != "203.0.113.7" ||
		!info.Timestamp.Equal(time.Unix(1_800_000_000, 0)) {
		t.Errorf("%+v", info)
	}
	if info.TraceID != span.TraceID().String() || info.SpanID != span.SpanID().String() {
		t.Errorf("trace %s, span %s", info.TraceID, info.SpanID)
	}
	if info.Revision != "" || !maps.Equal(info.Bundles, map[string]opaserver.BundleInfo{"authz": {Revision: "r7"}}) {
		t.Errorf("revision %q, bundles %+v", info.Revision, info.Bundles)
	}
	if got, want := asJSON(t, info.EvaluatedRuleLabels), `[{"severity":"high"},{"team":"web"}]`; got != want {
		t.Errorf("labels %s; want %s", got, want)
	}
	if got, want := asJSON(t, info.Results),
		`{"acr_values":["loa:2"],"allowed":false,"held_level":"password","max_age":300,"missing":["level"],"reason":"insufficient_level","required_level":"mfa","result":"challenge","rule":"pay","status":401}`; got != want {
		t.Errorf("result\n%s; want\n%s", got, want)
	}
	custom := info.Custom
	if got, want := asJSON(t, custom["erased"]), `["/input/request/host"]`; got != want {
		t.Errorf("erased %s; want %s", got, want)
	}
	if got, want := asJSON(t, custom["stepward"]),
		`{"caller":{"presented":true},"outcome":{"result":"challenge","reason":"insufficient_level","rule":"pay","level":"mfa","acr_values":["loa:2"],"max_age":300}}`; got != want {
		t.Errorf("for replay\n%s; want\n%s", got, want)
	}
	delete(custom, "erased")
	delete(custom, "stepward")
	if got, want := asJSON(t, custom),
		`{"acr":"loa:1","auth_age":60,"client_id":"web","duration_ms":1.5,"issuer":"https://idp.example.com","issuer_name":"corp","kind":"navigation","policy_reason":"payments move money","policy_revision":"rev1","request_id":"r1","subject":"alice"}`; got != want {
		t.Errorf("custom\n%s; want\n%s", got, want)
	}
	asked, _ := (*info.Input).(map[string]any)["request"].(map[string]any)
	if asked["path"] != "/pay" || asked["host"] != nil || asked["header_values"] != nil {
		t.Errorf("input %v", asked)
	}
}

// Of a decision that no policy was asked about there is no input; of a fault there is its
// detail, and of a refusal its code and the operator's words.
func TestEventOfOtherDecisions(t *testing.T) {
	fault, denied, failed := challenged(), challenged(), challenged()
	fault.Stages.Evaluated, fault.Token, fault.Fault = time.Time{}, nil, errors.New("disk on fire")
	fault.Decision = stepup.Deny{Why: stepup.Internal}
	denied.Decision = stepup.Deny{Why: stepup.PolicyDenied, Denial: stepup.Denial{
		Code: "closed", Reason: "out of hours", Rule: "hours"}}
	failed.Token, failed.Failure = nil, &token.Error{Code: token.Expired, Issuer: "https://idp.example.com",
		IssuerName: "corp", Detail: "exp"}
	allowed := challenged()
	allowed.Decision, allowed.Response = stepup.Allow{}, response.Response{Kind: response.Allow, Status: 200}
	for name, v := range map[string]struct {
		record *authz.Record
		input  bool
		custom map[string]any // members that must be so; nil where they must be absent
		result map[string]any
	}{
		"a fault": {fault, false, map[string]any{"detail": "disk on fire", "subject": nil, "stepward": nil},
			map[string]any{"result": "error", "reason": "internal", "status": 401}},
		"denied": {denied, true, map[string]any{"policy_code": "closed", "policy_reason": "out of hours"},
			map[string]any{"result": "deny", "rule": "hours"}},
		"no token": {failed, true, map[string]any{"issuer": "https://idp.example.com", "issuer_name": "corp",
			"detail": "exp", "client_id": nil}, map[string]any{"result": "challenge"}},
		"an allow": {allowed, true, map[string]any{"subject": "alice"}, map[string]any{
			"result": "allow", "allowed": true, "status": nil}},
	} {
		t.Run(name, func(t *testing.T) {
			info := eventOf(logged{Decided: Decided{Record: v.record}}, "x-stepward-")
			if (info.Input != nil) != v.input || info.Revision != "rev1" || info.TraceID != "" {
				t.Errorf("input %v, revision %q, trace %q", info.Input, info.Revision, info.TraceID)
			}
			result := (*info.Results).(map[string]any)
			for is, want := range map[string]struct{ got, want map[string]any }{"custom": {info.Custom, v.custom},
				"result": {result, v.result}} {
				for member, value := range want.want {
					if want.got[member] != value {
						t.Errorf("%s: %s is %v; want %v", is, member, want.got[member], value)
					}
				}
			}
		})
	}
}

// A decision of a policy for opa-envoy-plugin is uploaded in that plugin's form: its path,
// what Envoy reported, and the answer.
func TestEventOfAForeignPolicy(t *testing.T) {
	r := challenged()
	r.Request.Attributes = func() map[string]any {
		return map[string]any{"attributes": map[string]any{
			"request": map[string]any{"http": map[string]any{"path": "/pay?code=SECRET", "headers": map[string]any{
				"authorization": "SECRET", "x-plan": "gold"}}}}}
	}
	info := eventOf(logged{Decided: Decided{Record: r, Path: "envoy/authz/allow"}}, "x-stepward-")
	if got, want := asJSON(t, info.Results), `{"allowed":false,"http_status":401}`; info.Path != "envoy/authz/allow" ||
		got != want {
		t.Errorf("%s answers %s; want %s", info.Path, got, want)
	}
	if got, want := asJSON(t, info.Input),
		`{"attributes":{"request":{"http":{"headers":{"x-plan":"gold"},"path":"/pay"}}},"parsed_path":["pay"],"version":{"encoding":"protojson","ext_authz":"v3"}}`; got != want {
		t.Errorf("input %s; want %s", got, want)
	}
	if outcome, _ := info.Custom["outcome"].(map[string]any); outcome["reason"] != "insufficient_level" ||
		info.Custom["stepward"] != nil || !slices.Contains(info.Custom["erased"].([]any), any("/input/parsed_query")) {
		t.Errorf("custom %v", info.Custom)
	}
	r.Request.Attributes = nil // it did not come from Envoy
	if info = eventOf(logged{Decided: Decided{Record: r, Path: "envoy/authz/allow"}},
		"x-stepward-"); info.Input != nil {
		t.Errorf("input %v of nothing", info.Input)
	}
	r.Response = response.Response{Kind: response.Allow, Status: 200}
	if info = eventOf(logged{Decided: Decided{Record: r, Path: "envoy/authz/allow"}}, "x-stepward-"); asJSON(
		t, info.Results) != `{"allowed":true}` {
		t.Errorf("%s", asJSON(t, info.Results))
	}
}
