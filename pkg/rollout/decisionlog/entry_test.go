package decisionlog

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/stepup"
	"github.com/stepward/stepward/pkg/token"
)

// decided returns a decision about a request of alice, who has proven a level by a claim of her
// issuer's own.
func decided(t *testing.T) *authz.Record {
	t.Helper()
	r, err := request.New(request.Raw{Method: "GET", Host: "app.example.com", Target: "/pay?code=SECRET",
		Scheme:  "https",
		Headers: []request.Field{{Name: "x-plan", Value: "gold"}, {Name: "x-api-key", Value: "SECRET"}}},
		request.Options{})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1_800_000_000, 0).UTC()
	return &authz.Record{
		ID: "d1", Time: at, Request: r, Scheme: "Bearer", Stages: authz.Stages{Evaluated: at},
		Token: &token.Token{Issuer: "https://idp.example.com", IssuerName: "corp", Subject: "alice",
			IssuedAt: at.Add(-time.Minute),
			Proofs:   []token.Proof{{ACR: "loa:1", Assurance: []string{"silver"}, At: at.Add(-time.Hour)}},
			Claims:   map[string]any{"email": "alice@example.com"}},
		Judgement: authz.Judgement{Revision: "r1", Decision: stepup.Challenge{Why: stepup.InsufficientLevel,
			Ask: stepup.Ask{
				Level: "mfa", ACRValues: []string{"loa:2"}, MaxAge: stepup.AgeOf(5 * time.Minute), Scope: []string{
					"pay"}}}},
	}
}

// written returns an entry as a line of our own log, or as an event of OPA's.
func written(t *testing.T, e Entry, opa bool) []byte {
	t.Helper()
	line := map[string]any{"decision_id": e.DecisionID, "decided_at": e.Time, "policy_revision": e.Revision,
		"input": e.Input, "erased": e.Erased, "caller": e.Caller, "outcome": e.Outcome}
	if opa {
		line = map[string]any{"decision_id": e.DecisionID, "timestamp": e.Time, "input": e.Input, "result": true,
			"revision": "of all bundles",
			"custom": map[string]any{"policy_revision": e.Revision, "erased": e.Erased, "stepward": map[string]any{
				"caller": e.Caller, "outcome": e.Outcome}}}
	}
	text, err := json.Marshal(line)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// What is kept of a decision comes back as it was: the same question, with the times and
// the level that it was judged by, and nothing that is masked.
func TestKeptAndReadBack(t *testing.T) {
	r := decided(t)
	e, ok := Of(r, "x-stepward-", Masks{More: []string{"/input/token/claims/email"}})
	if !ok || e.DecisionID != "d1" || e.Revision != "r1" || !e.Caller.Presented {
		t.Fatalf("%v, %+v", ok, e)
	}
	for _, opa := range []bool{false, true} {
		text := written(t, e, opa)
		if strings.Contains(string(text), "SECRET") || strings.Contains(string(text), "alice@example.com") {
			t.Errorf("a secret is kept: %s", text)
		}
		back, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(back.Outcome, e.Outcome) || !reflect.DeepEqual(back.Caller, e.Caller) ||
			back.Revision != "r1" || !back.Time.Equal(r.Time) || !reflect.DeepEqual(back.Erased, e.Erased) {
			t.Errorf("%+v;\nwant %+v", back, e)
		}
		q, err := back.Question()
		if err != nil {
			t.Fatal(err)
		}
		if q.Request.Path != "/pay" || !q.Presented || !q.Time.Equal(r.Time) || q.Failure != nil {
			t.Errorf("%+v", q)
		}
		proof, want := q.Token.Strongest(), r.Token.Strongest()
		if q.Token.Subject != "alice" || !q.Token.IssuedAt.Equal(r.Token.IssuedAt) || !proof.At.Equal(want.At) ||
			!reflect.DeepEqual(proof.Assurance, want.Assurance) || proof.ACR != want.ACR {
			t.Errorf("%+v; want %+v", q.Token, r.Token)
		}
	}
}

// A credential that was refused is kept as its reason, and asks the same again.
func TestKeptFailure(t *testing.T) {
	r := decided(t)
	r.Token, r.Failure = nil, &token.Error{Code: token.Expired, Detail: "SECRET"}
	e, ok := Of(r, "x-stepward-", Masks{})
	if !ok || e.Caller.Failure != token.Expired || e.Caller.AuthTime != 0 || e.Caller.IssuedAt != 0 {
		t.Fatalf("%+v", e)
	}
	back, err := Parse(written(t, e, false))
	if err != nil {
		t.Fatal(err)
	}
	if q, err := back.Question(); err != nil || q.Token != nil || q.Failure == nil || q.Failure.Code != token.Expired {
		t.Errorf("%+v, %v", q, err)
	}
}

// Nothing is kept of a request that no policy was asked about.
func TestNotKept(t *testing.T) {
	r := decided(t)
	r.Stages.Evaluated = time.Time{}
	if e, ok := Of(r, "x-stepward-", Masks{}); ok || !reflect.DeepEqual(e, Entry{}) {
		t.Errorf("%+v", e)
	}
}

// What an answer asks for is what the caller was told, and a caller who has shown nothing
// was told nothing.
func TestOutcome(t *testing.T) {
	ask := stepup.Ask{Level: "mfa", ACRValues: []string{"loa:2"}, MaxAge: stepup.AgeOf(0)}
	zero := int64(0)
	for name, v := range map[string]struct {
		decision stepup.Decision
		want     Outcome
	}{
		"allow": {stepup.Allow{}, Outcome{Result: stepup.ResultAllow, Reason: stepup.OK}},
		"challenge": {stepup.Challenge{Why: stepup.StaleAuthentication, Ask: ask},
			Outcome{Result: stepup.ResultChallenge, Reason: stepup.StaleAuthentication, Level: "mfa",
				ACRValues: []string{"loa:2"}, MaxAge: &zero}},
		"redirect": {stepup.Redirect{Why: stepup.InsufficientLevel, Ask: ask},
			Outcome{Result: stepup.ResultRedirect, Reason: stepup.InsufficientLevel, Level: "mfa", ACRValues: []string{
				"loa:2"}, MaxAge: &zero}},
		"no credentials": {stepup.Challenge{Why: stepup.NoCredentials, Ask: ask},
			Outcome{Result: stepup.ResultChallenge, Reason: stepup.NoCredentials}},
		"deny": {stepup.Deny{Why: stepup.PolicyDenied}, Outcome{Result: stepup.ResultDeny,
			Reason: stepup.PolicyDenied}},
		"nothing": {nil, Outcome{Result: stepup.ResultError, Reason: stepup.Internal}},
	} {
		if got := OutcomeOf(authz.Judgement{Decision: v.decision}); !reflect.DeepEqual(got, v.want) {
			t.Errorf("%s: %+v; want %+v", name, got, v.want)
		}
	}
}

// A line that cannot be asked again says why.
func TestParseRefuses(t *testing.T) {
	const input, caller, outcome = `"input": {"request": {"method": "GET", "path": "/"}}`, `"caller": {}`,
		`"outcome": {"result": "allow", "reason": "ok"}`
	for text, want := range map[string]error{
		`{"level": "info", "msg": "ready"}`:   ErrNotOurs,
		`{"decision_id": "d"}`:                ErrNoInput,
		`{"decision_id": "d", ` + input + `}`: ErrNoInput,
		`{"decision_id": "d", ` + input + `, ` + caller + `, "decided_at": "2026-01-01T00:00:00Z"}`: nil,
		`{"decision_id": "d", ` + input + `, ` + caller + `, ` + outcome + `}`:                      nil,
		`{"decision_id": 7}`: nil,
		`not JSON`:           nil,
	} {
		e, err := Parse([]byte(text))
		if err == nil || want != nil && !errors.Is(err, want) || want == nil &&
			(errors.Is(err, ErrNotOurs) || errors.Is(err, ErrNoInput)) {
			t.Errorf("%s: %+v, %v; want %v", text, e, err, want)
		}
	}
	e, err := Parse([]byte(`{"decision_id": "d", "decided_at": "2026-01-01T00:00:00Z", "input": {"request": 7}, ` +
		caller + `, ` + outcome + `}`))
	if err != nil {
		t.Fatal(err)
	}
	if q, err := e.Question(); err == nil {
		t.Errorf("a question of no request: %+v", q)
	}
}
