package telemetry

import (
	"context"
	"net"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/internal/wait"
	"github.com/stepward/stepward/pkg/stepup"
)

// health answers a call as Check does: within the span of the call.
type health struct {
	grpc_health_v1.UnimplementedHealthServer
	tracing *Tracing
}

func (h health) Check(ctx context.Context, _ *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse,
	error) {
	start := time.Now()
	h.tracing.draw(ctx, &authz.Record{
		ID: "d1", Time: start, Duration: 4 * time.Millisecond, Judgement: authz.Judgement{
			Decision: stepup.Challenge{Why: stepup.InsufficientLevel}},
		Stages: authz.Stages{Normalized: start.Add(time.Millisecond), Verified: start.Add(2 * time.Millisecond)},
	})
	return &grpc_health_v1.HealthCheckResponse{}, nil
}

// A call joins the trace that its metadata names, in either format, and has a span
// for each stage that it went through.
func TestTracing(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	tracing, err := newTracing(sdktrace.NewSimpleSpanProcessor(spans), "v1")
	if err != nil {
		t.Fatal(err)
	}
	defer tracing.Shutdown(context.Background())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(tracing.ServerOption())
	grpc_health_v1.RegisterHealthServer(server, health{tracing: tracing})
	go server.Serve(listener)
	defer server.Stop()
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	for name, value := range map[string]string{"traceparent": "00-" + id + "-00f067aa0ba902b7-01",
		"b3": id + "-00f067aa0ba902b7-1"} {
		spans.Reset()
		ctx := metadata.AppendToOutgoingContext(t.Context(), name, value)
		if _, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{}); err != nil {
			t.Fatal(err)
		}
		wait.Until(t, "four spans", func() bool { return len(spans.GetSpans()) >= 4 })
		names := map[string]time.Duration{}
		for _, s := range spans.GetSpans() {
			if s.SpanContext.TraceID().String() != id {
				t.Errorf("%s: %s is of trace %s", name, s.Name, s.SpanContext.TraceID())
			}
			names[s.Name] = s.EndTime.Sub(s.StartTime)
		}
		if len(names) != 4 || names["normalize"] != time.Millisecond || names["verify"] != time.Millisecond ||
			names["answer"] != 2*time.Millisecond {
			t.Errorf("%s: %v", name, names)
		}
	}
}

func TestTracingIsOffUnlessAskedFor(t *testing.T) {
	for name, v := range map[string]struct {
		env map[string]string
		on  bool
	}{
		"nothing":     {nil, false},
		"an exporter": {map[string]string{"OTEL_TRACES_EXPORTER": "console"}, true},
		"none": {map[string]string{"OTEL_TRACES_EXPORTER": "none",
			"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, false},
		"an endpoint":         {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, true},
		"another's endpoint":  {map[string]string{"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://127.0.0.1:4318"}, false},
		"switched off by all": {map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "true"}, false},
	} {
		if got := exports(func(k string) string { return v.env[k] }, "TRACES"); got != v.on {
			t.Errorf("%s: %t", name, got)
		}
	}
	var off *Tracing
	off.draw(t.Context(), &authz.Record{})
	if err := off.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}
