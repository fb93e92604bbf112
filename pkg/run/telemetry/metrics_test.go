package telemetry_test

import (
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/rollout/decisionlog"
	"github.com/stepward/stepward/pkg/rollout/divergence"
	"github.com/stepward/stepward/pkg/run/telemetry"
	"github.com/stepward/stepward/pkg/stepup"
	"github.com/stepward/stepward/pkg/token"
	"github.com/stepward/stepward/pkg/trust/keyset"
	"github.com/stepward/stepward/pkg/trust/revocation"
)

// shown returns what m serves to Prometheus.
func shown(t testing.TB, m *telemetry.Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	text, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// has checks that m serves every line, and none of those that begin with "!".
func has(t testing.TB, m *telemetry.Metrics, lines ...string) {
	t.Helper()
	text := "\n" + shown(t, m)
	for _, l := range lines {
		line, absent := strings.CutPrefix(l, "!")
		if strings.Contains(text, "\n"+line) == absent {
			t.Errorf("%q is there: %v", line, absent)
		}
	}
}

// Series that rates are taken of are there before the first event.
func TestSeriesAtStart(t *testing.T) {
	has(t, telemetry.NewMetrics("v7"),
		`stepward_build_info{go_version="go`, `stepward_decisions_total{reason="ok",result="allow"} 0`,
		`stepward_decisions_total{reason="policy_error",result="error"} 0`,
		`stepward_config_reloads_total{result="ok"} 0`, `stepward_config_reloads_total{result="error"} 0`,
		`stepward_config_last_reload_success 1`, `stepward_config_last_reload_success_timestamp_seconds 1`,
		`stepward_log_dropped_total{sink="decisions"} 0`, `stepward_log_dropped_total{sink="events"} 0`,
		`stepward_log_dropped_total{sink="opa"} 0`,
		`stepward_policy_eval_duration_seconds_count 0`, `go_goroutines `, `process_`, `!stepward_policy_revision_info`,
		`!stepward_candidate_revision_info`)
}

// What happens in the service is counted under its own labels.
func TestCounts(t *testing.T) {
	m := telemetry.NewMetrics("v7")
	m.Enforced("r1")
	m.Enforced("r2")
	m.Candidate("c1")
	m.Candidate("c2")
	m.Reloaded(errors.New("broken"))
	has(t, m, `stepward_policy_revision_info{revision="r2"} 1`, `!stepward_policy_revision_info{revision="r1"}`,
		`stepward_candidate_revision_info{revision="c2"} 1`, `!stepward_candidate_revision_info{revision="c1"}`,
		`stepward_config_reloads_total{result="error"} 1`, `stepward_config_last_reload_success 0`)
	m.Reloaded(nil)
	m.Candidate("")
	m.Dropped("opa")
	m.Refreshed("corp", nil)
	m.Refreshed("corp", errors.New("away"))
	for _, v := range []struct {
		active bool
		err    error
	}{{true, nil}, {false, nil}, {false, errors.New("away")}, {true, errors.New("away")}} {
		m.Introspected("corp", v.active, v.err)
	}
	m.Compared(divergence.Comparison{Was: decisionlog.Outcome{Result: stepup.ResultAllow}, Is: decisionlog.Outcome{
		Result: stepup.ResultAllow}})
	m.Compared(divergence.Comparison{Was: decisionlog.Outcome{Result: stepup.ResultAllow}, Is: decisionlog.Outcome{
		Result: stepup.ResultDeny, Rule: "closed"}})
	m.NotCompared("behind", 7)
	has(t, m, `stepward_config_last_reload_success 1`, `stepward_config_reloads_total{result="ok"} 1`,
		`!stepward_candidate_revision_info`, `stepward_log_dropped_total{sink="opa"} 1`,
		`stepward_jwks_refresh_total{issuer_name="corp",result="ok"} 1`,
		`stepward_jwks_refresh_total{issuer_name="corp",result="error"} 1`,
		`stepward_introspection_total{issuer_name="corp",result="active"} 1`,
		`stepward_introspection_total{issuer_name="corp",result="inactive"} 1`,
		`stepward_introspection_total{issuer_name="corp",result="error"} 2`,
		`stepward_candidate_decisions_total{difference="same"} 1`,
		`stepward_candidate_decisions_total{difference="newly_refused"} 1`,
		`stepward_candidate_left_out_total{why="behind"} 7`,
		`stepward_candidate_divergences_total{difference="newly_refused",rule="closed"} 1`,
		`!stepward_candidate_divergences_total{difference="same"`)
}

// A decision is counted by its answer, by what it asked for and from whom, and by what was
// wrong with the credential.
func TestDecisionsAreCounted(t *testing.T) {
	m := telemetry.NewMetrics("v7")
	o := &telemetry.Observer{Metrics: m}
	asked := stepup.Shortfall{Level: "mfa", Ask: stepup.Ask{ACRValues: []string{"2"}}}
	for _, r := range []authz.Record{
		{Judgement: authz.Judgement{Decision: stepup.Allow{}}},
		{Judgement: authz.Judgement{Decision: stepup.Allow{}, Shortfall: asked}},
		{Request: request.Request{Kind: request.Navigation}, Judgement: authz.Judgement{
			Decision: stepup.Redirect{Why: stepup.InsufficientLevel}, Shortfall: asked}},
		{Judgement: authz.Judgement{Decision: stepup.Challenge{Why: stepup.StaleAuthentication}, Shortfall: asked}},
		{Failure: &token.Error{Code: token.Expired, IssuerName: "corp"}, Judgement: authz.Judgement{
			Decision: stepup.Challenge{Why: stepup.NoCredentials}}},
		{Stages: authz.Stages{Verified: time.Unix(1, 0), Evaluated: time.Unix(2, 0)}, Duration: time.Second,
			Judgement: authz.Judgement{Decision: stepup.Deny{Why: stepup.PolicyDenied},
				Shortfall: stepup.Shortfall{
					Shadowed: []stepup.Gap{{Requirement: stepup.Requirement{Rule: "observed"}}}}}},
	} {
		o.Observe(t.Context(), &r)
	}
	has(t, m, `stepward_decisions_total{reason="ok",result="allow"} 2`,
		`stepward_stepup_completed_total{level="mfa"} 1`,
		`stepward_stepup_required_total{channel="browser",level="mfa"} 1`,
		`stepward_stepup_required_total{channel="api",level="mfa"} 1`,
		`stepward_token_failures_total{issuer_name="corp",reason="token_expired"} 1`,
		`stepward_shadow_unmet_total{rule="observed"} 1`, `stepward_policy_eval_duration_seconds_count 1`,
		`stepward_policy_eval_duration_seconds_sum 1`,
		`stepward_check_duration_seconds_count{result="deny"} 1`)
}

// What others hold is read when metrics are.
func TestWatched(t *testing.T) {
	m := telemetry.NewMetrics("v7")
	g, index := authz.NewGate(7), revocation.New(0, nil)
	m.Watch(g)
	m.WatchRevocations(index)
	fetched := time.Unix(1_800_000_000, 500_000_000)
	m.WatchKeys(func() map[string]keyset.Status {
		return map[string]keyset.Status{"corp": {Usable: true, Count: 2, Skipped: []keyset.Skipped{{}}, At: fetched},
			"file": {Usable: true, Count: 1}, "away": {}}
	})
	m.WatchSources(func() []telemetry.Source {
		return []telemetry.Source{{Kind: "bundle", Name: "authz", At: time.Now().Add(time.Hour)},
			{Kind: "data", Name: "risk", Failing: true}}
	})
	if _, err := index.Revoke(revocation.Entry{Issuer: "https://idp.example.com", JTI: "a"}); err != nil {
		t.Fatal(err)
	}
	has(t, m, `stepward_checks_in_flight 0`, `stepward_revocations 1`, `stepward_jwks_usable{issuer_name="corp"} 1`,
		`stepward_jwks_usable{issuer_name="away"} 0`, `stepward_jwks_keys{issuer_name="corp"} 2`,
		`stepward_jwks_skipped_keys{issuer_name="corp"} 1`,
		`stepward_jwks_last_success_timestamp_seconds{issuer_name="corp"} 1.8000000005e+09`,
		`!stepward_jwks_last_success_timestamp_seconds{issuer_name="file"}`,
		`stepward_source_failing{kind="bundle",source="authz"} 0`,
		`stepward_source_failing{kind="data",source="risk"} 1`,
		`stepward_data_age_seconds{kind="bundle",source="authz"} 0`, `!stepward_data_age_seconds{kind="data"`)
}

// The methods of the gRPC server are there before the first call.
func TestServes(t *testing.T) {
	m := telemetry.NewMetrics("v7")
	s := grpc.NewServer(grpc.UnaryInterceptor(m.Interceptor()))
	grpc_health_v1.RegisterHealthServer(s, health.NewServer())
	m.Serves(s)
	has(
		t, m,
		`grpc_server_handled_total{grpc_code="OK",grpc_method="Check",grpc_service="grpc.health.v1.Health",grpc_type="unary"} 0`)
	if m.Registerer() == nil {
		t.Error("a part with metrics of its own has nowhere to register them")
	}
}
