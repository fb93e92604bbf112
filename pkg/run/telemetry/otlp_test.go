package telemetry

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/internal/wait"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/stepup"
	"github.com/stepward/stepward/pkg/token"
)

// A collector gets the spans and the decision, and neither holds a secret.
func TestOTLP(t *testing.T) {
	var mu sync.Mutex
	got := map[string][]byte{}
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		got[r.URL.Path] = append(got[r.URL.Path], body...)
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
	tracing, err := NewTracing(t.Context(), os.Getenv, "v1")
	if err != nil || tracing == nil {
		t.Fatalf("%v, %v", tracing, err)
	}
	logs, core, err := NewLogs(t.Context(), "v1")
	if err != nil {
		t.Fatal(err)
	}
	q, err := request.New(request.Raw{Method: "POST", Host: "app.example.com", Target: "/pay?code=SECRET",
		Scheme: "https", Headers: []request.Field{
			{Name: "authorization", Value: "Bearer SECRET"}, {Name: "cookie", Value: "s=SECRET"},
		}}, request.Options{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	ctx, span := tracing.tracer.Start(t.Context(), "check")
	(&Observer{Log: zap.New(core), Metrics: NewMetrics("v1"), Tracing: tracing}).Observe(ctx, &authz.Record{
		ID: "decision-1", Time: now, Duration: time.Millisecond, Request: q, Judgement: authz.Judgement{
			Decision: stepup.Challenge{Why: stepup.InsufficientLevel}},
		Token:  &token.Token{Subject: "alice", IssuerName: "corp", Claims: map[string]any{"email": "SECRET"}},
		Stages: authz.Stages{Normalized: now, Verified: now, Evaluated: now},
	})
	span.End()
	limited := wait.Context(t)
	if err := tracing.Shutdown(limited); err != nil {
		t.Error(err)
	}
	if err := logs.Shutdown(limited); err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	for path, wants := range map[string][]string{"/v1/traces": {"decision-1", "evaluate", "verify"},
		"/v1/logs": {"decision-1", "insufficient_level", "/pay", "alice"}} {
		for _, want := range wants {
			if !bytes.Contains(got[path], []byte(want)) {
				t.Errorf("%s lacks %q", path, want)
			}
		}
		if bytes.Contains(got[path], []byte("SECRET")) {
			t.Errorf("%s holds a secret", path)
		}
	}
}
