package replay_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/stepward/stepward/pkg/author/scenario"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/internal/wait"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/rollout/decisionlog"
	"github.com/stepward/stepward/pkg/rollout/divergence"
	"github.com/stepward/stepward/pkg/rollout/replay"
	"github.com/stepward/stepward/pkg/run/snapshot"
	"github.com/stepward/stepward/pkg/run/telemetry"
	"github.com/stepward/stepward/pkg/token"
)

const settings = `
issuers:
- { name: corp, issuer: "https://idp.example.com", audiences: ["https://api.example.com"] }
- { name: partner, issuer: "https://partner.example.com", audiences: ["https://api.example.com"], assurance: { claim: acrs } }
levels:
- { name: password, acr: ["1"] }
- { name: mfa, acr: ["2"] }
login_redirect: { url: "https://login.example.com/step-up", hosts: [app.example.com] }
`

const old = `package stepward.policy
import rego.v2
require contains {"level": "anonymous"} if input.request.path == "/"
require contains {"level": "authenticated"} if input.request.path != "/"
require contains {"level": "mfa", "max_age": "5m"} if input.request.segments[0] == "payments"
deny contains {"code": "closed"} if input.request.segments[0] == "closed"
`

// stricter asks for mfa in /reports, refuses /old, and no longer refuses /closed.
const stricter = `package stepward.policy
import rego.v2
require contains {"level": "anonymous"} if input.request.path == "/"
require contains {"level": "authenticated"} if input.request.path != "/"
require contains {"level": "mfa", "max_age": "5m"} if input.request.segments[0] == "payments"
require contains {"level": "mfa"} if input.request.segments[0] == "reports"
deny contains {"code": "gone", "status": 410} if input.request.segments[0] == "old"
`

func parsed(t testing.TB) config.Config {
	t.Helper()
	c, err := config.Parse("stepward.yaml", []byte(settings+"policy: { default: true }\n"), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func load(t testing.TB, text string) *rego.Policy {
	t.Helper()
	ladder, err := parsed(t).Ladder()
	if err != nil {
		t.Fatal(err)
	}
	p, err := rego.Load(t.Context(), []rego.Source{{Name: "p.rego", Text: []byte(text)}},
		rego.Options{Ladder: ladder, Timeout: wait.Bound})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

type nobody struct{}

func (nobody) Verify(context.Context, request.Request, credential.Credential) (*token.Token, error) {
	return nil, &token.Error{Code: token.Expired}
}

// callers are those whose decisions are recorded.
var callers = []scenario.Scenario{
	{Path: "/"},
	{Path: "/reports/2026", Token: map[string]any{"level": "password"}},
	{Path: "/reports/2026", Token: map[string]any{"level": "mfa", "auth_age": "1h"}},
	{Path: "/reports/2026?secret=SECRET-QUERY", Token: map[string]any{"level": "password"}, As: "browser"},
	{Path: "/reports/2026", Headers: map[string]string{"authorization": "Bearer bad"}},
	{Path: "/payments/12345678", Method: "POST", Token: map[string]any{"level": "mfa", "auth_age": "10m"},
		Body: json.RawMessage(`{"pin":"SECRET-BODY"}`)},
	{Path: "/payments/12345678", Token: map[string]any{"level": "mfa", "auth_age": "4m59s"}, Headers: map[string]string{
		"x-api-key": "SECRET-KEY"}},
	{Path: "/payments/9", Token: map[string]any{"iss": "partner", "acrs": []any{"2"}}},
	{Path: "/old", Token: map[string]any{"sub": nil, "client_id": "batch"}},
	{Path: "/closed", Token: map[string]any{"email": "SECRET-EMAIL"}},
	{Path: "/news", As: "browser"},
}

// record returns the log of deciding what callers ask, repeated n times.
func record(t testing.TB, p *rego.Policy, n int) []byte {
	t.Helper()
	a, err := snapshot.NewAuthorizer(parsed(t), nobody{}, p)
	if err != nil {
		t.Fatal(err)
	}
	stage := scenario.NewStage(a, parsed(t))
	var out bytes.Buffer
	c := zap.NewProductionEncoderConfig()
	o := telemetry.Observer{
		Metrics: telemetry.NewMetrics("test"),
		Log:     zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(c), zapcore.AddSync(&out), zap.InfoLevel)),
		Input: &telemetry.Input{Prefix: "x-stepward-", Masks: decisionlog.Masks{
			More: []string{"/input/token/claims/email"}}},
	}
	for range n {
		for _, s := range callers {
			r, err := stage.Decide(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			o.Observe(t.Context(), &r)
		}
	}
	return out.Bytes()
}

func player(t testing.TB, text string) *replay.Player {
	t.Helper()
	p := load(t, text)
	a, err := snapshot.NewAuthorizer(parsed(t), nobody{}, p)
	if err != nil {
		t.Fatal(err)
	}
	return &replay.Player{Judge: a, New: p, Tally: &divergence.Tally{}}
}

// The policy that decided decides the same of what it recorded, at the time of then.
func TestSamePolicySameAnswers(t *testing.T) {
	log := record(t, load(t, old), 3)
	if bytes.Contains(log, []byte("SECRET")) {
		t.Errorf("a secret is in the log: %s", log)
	}
	p := player(t, old)
	if err := p.Play(t.Context(), bytes.NewReader(log)); err != nil {
		t.Fatal(err)
	}
	r := p.Tally.Report(p.New.Traits().Revision)
	if want := int64(3 * len(callers)); r.Decisions != want || r.Differences() != 0 || len(r.Left) != 0 {
		t.Errorf("%+v", r)
	}
	if r.Erased != 3*4 { // the query, the body, the key, the email; one that is not there is not missed
		t.Errorf("%d decisions with something masked", r.Erased)
	}
}

func TestReport(t *testing.T) {
	log := record(t, load(t, old), 2)
	log = append(log, "{\"decision_id\":\"x\",\"policy_revision\":\"r\"}\n{\"msg\":\"ready\"}\nnot JSON\n\n"+
		`{"decision_id":"y","decided_at":"2026-01-01T00:00:00Z","input":{"request":7},"caller":{},"outcome":{}}`+"\n"+
		`{"decision_id":"z","input":{"request":{}},"caller":{},"outcome":{}}`...)
	p := player(t, stricter)
	if err := p.Play(t.Context(), bytes.NewReader(log)); err != nil {
		t.Fatal(err)
	}
	r := p.Tally.Report(p.New.Traits().Revision)
	for kind, want := range map[divergence.Kind]int64{divergence.NewlyChallenged: 4, divergence.NewlyRefused: 2,
		divergence.NewlyAllowed: 2, divergence.NewlyFailing: 0, divergence.Same: int64(2*len(callers) - 8)} {
		if r.Kinds[kind] != want {
			t.Errorf("%s: %d; want %d", kind, r.Kinds[kind], want)
		}
	}
	if got := fmt.Sprint(
		r.Left); got != "map[broken: not JSON, or not whole:2 no input was recorded (log.input):1 not a decision:1 the input is not one of a policy:1]" {
		t.Error(got)
	}
	var text bytes.Buffer
	if err := r.Print(&text, "text"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"4   18.18 %  newly challenged", "GET /reports/{}",
		"stepward.policy.require (p.rego:6)", "program", "corp", "allow → challenge insufficient_level acr 2"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
	var page, raw bytes.Buffer
	if err := r.Print(&page, "html"); err != nil || !strings.Contains(page.String(), "newly challenged") {
		t.Errorf("%v\n%s", err, page.String())
	}
	var again divergence.Report
	if err := r.Print(&raw, "json"); err != nil || json.Unmarshal(raw.Bytes(), &again) != nil ||
		again.Kinds[divergence.NewlyChallenged] != 4 {
		t.Errorf("%v\n%s", err, raw.String())
	}
}

// Both policies see the same masked input, so that masking makes no difference.
func TestOld(t *testing.T) {
	const reads = old + "require contains {\"level\": \"mfa\"} if input.request.query.secret[0] == \"SECRET-QUERY\"\n"
	log := record(t, load(t, reads), 1)
	p := player(t, reads)
	if err := p.Play(t.Context(), bytes.NewReader(log)); err != nil {
		t.Fatal(err)
	}
	if r := p.Tally.Report(""); r.Kinds[divergence.NoLongerChallenged] != 1 {
		t.Errorf("what is masked makes no difference: %v", r.Kinds)
	}
	p = player(t, reads)
	p.Old = p.New
	if err := p.Play(t.Context(), bytes.NewReader(log)); err != nil {
		t.Fatal(err)
	}
	if r := p.Tally.Report(""); r.Differences() != 0 {
		t.Errorf("under the same conditions they differ: %v", r.Kinds)
	}
}

// An event of OPA's decision logs, in an array on one line as they are sent.
func TestEventsOfOPA(t *testing.T) {
	var events []string
	for line := range bytes.Lines(record(t, load(t, old), 1)) {
		var e map[string]any
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(map[string]any{
			"decision_id": e["decision_id"], "timestamp": e["decided_at"], "revision": e["policy_revision"],
			"input": e["input"], "erased": e["erased"],
			"custom": map[string]any{"stepward": map[string]any{"caller": e["caller"], "outcome": e["outcome"]}},
			"result": e["outcome"], "labels": map[string]any{"id": "x"},
		})
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, string(text))
	}
	p := player(t, stricter)
	if err := p.Play(t.Context(), strings.NewReader("["+strings.Join(events, ",")+"]")); err != nil {
		t.Fatal(err)
	}
	if r := p.Tally.Report(""); r.Decisions != int64(len(callers)) || r.Kinds[divergence.NewlyChallenged] != 2 {
		t.Errorf("%+v", r)
	}
}

// A policy that fails is told, and not taken for one that refuses.
func TestFailing(t *testing.T) {
	p := player(t, old+"require contains {\"level\": \"mfa\", \"max_age\": to_number(input.request.path)}\n")
	if err := p.Play(t.Context(), bytes.NewReader(record(t, load(t, old), 1))); err != nil {
		t.Fatal(err)
	}
	if r := p.Tally.Report(""); r.Kinds[divergence.NewlyFailing] != int64(len(callers)) || len(r.Faults) == 0 {
		t.Errorf("%+v", r)
	}
}

// Memory does not grow with the log: STEPWARD_SOAK thousands of decisions, and ten times
// as many.
func TestMemoryIsFlat(t *testing.T) {
	thousands := 4
	if s := os.Getenv("STEPWARD_SOAK"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		thousands = n
	}
	log := record(t, load(t, old), 1000/len(callers))
	peak := func(times int) uint64 {
		p := player(t, stricter)
		runtime.GC()
		var m runtime.MemStats
		most := uint64(0)
		in := &repeated{text: log, left: times, look: func() {
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapInuse)
		}}
		if err := p.Play(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		r := p.Tally.Report("")
		t.Logf("%d decisions, %d MB of log, heap at most %d MiB", r.Decisions, len(log)*times>>20, most>>20)
		if r.Decisions != int64(times*(1000/len(callers))*len(callers)) {
			t.Errorf("%d decisions", r.Decisions)
		}
		return most
	}
	few, many := peak(thousands/4), peak(thousands*4)
	if many > few*3/2+(16<<20) {
		t.Errorf("heap of %d MiB, and of %d MiB for sixteen times as many", few>>20, many>>20)
	}
}

// repeated is text, over and over.
type repeated struct {
	text []byte
	at   int
	left int
	look func()
}

func (r *repeated) Read(b []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := copy(b, r.text[r.at:])
	if r.at += n; r.at == len(r.text) {
		r.at = 0
		r.left--
		r.look()
	}
	return n, nil
}
