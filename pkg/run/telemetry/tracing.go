package telemetry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/contrib/bridges/otelzap"
	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/contrib/propagators/autoprop"
	"go.opentelemetry.io/contrib/propagators/b3"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc"

	"github.com/stepward/stepward/pkg/authz"
)

// Tracing exports a span for each Check and one for each stage of it. A nil Tracing
// does nothing.
type Tracing struct {
	provider   *sdktrace.TracerProvider
	tracer     trace.Tracer
	propagator propagation.TextMapPropagator
}

// NewTracing follows OpenTelemetry's environment variables: it is nil unless
// OTEL_TRACES_EXPORTER or an OTLP endpoint is set, and also if OTEL_SDK_DISABLED is true.
// It takes the trace from the call's metadata, in the formats of OTEL_PROPAGATORS, or
// otherwise W3C Trace Context, W3C Baggage and B3.
func NewTracing(ctx context.Context, getenv func(string) string, version string) (*Tracing, error) {
	if !exports(getenv, "TRACES") {
		return nil, nil
	}
	exporter, err := autoexport.NewSpanExporter(ctx)
	if err != nil {
		return nil, fmt.Errorf("telemetry: traces: %w", err)
	}
	return newTracing(sdktrace.NewBatchSpanProcessor(exporter), version)
}

func newTracing(processor sdktrace.SpanProcessor, version string) (*Tracing, error) {
	about, err := describe(version)
	if err != nil {
		return nil, err
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(processor), sdktrace.WithResource(about))
	return &Tracing{
		provider: provider, tracer: provider.Tracer("github.com/stepward/stepward"),
		propagator: autoprop.NewTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}, b3.New()),
	}, nil
}

// exports reports whether the environment asks for a signal to be exported.
func exports(getenv func(string) string, signal string) bool {
	if getenv("OTEL_SDK_DISABLED") == "true" || getenv("OTEL_"+signal+"_EXPORTER") == "none" {
		return false
	}
	return getenv("OTEL_"+signal+"_EXPORTER") != "" || getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" ||
		getenv("OTEL_EXPORTER_OTLP_"+signal+"_ENDPOINT") != ""
}

// describe returns what every span and log record says about its origin. OTEL_SERVICE_NAME
// and OTEL_RESOURCE_ATTRIBUTES win.
func describe(version string) (*resource.Resource, error) {
	about, err := resource.New(context.Background(),
		resource.WithAttributes(attribute.String("service.name", "stepward"), attribute.String("service.version",
			version)),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("telemetry: OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	return about, nil
}

// ServerOption returns what a gRPC server needs to take part in traces.
func (t *Tracing) ServerOption() grpc.ServerOption {
	return grpc.StatsHandler(otelgrpc.NewServerHandler(otelgrpc.WithTracerProvider(t.provider),
		otelgrpc.WithPropagators(t.propagator)))
}

// Shutdown sends what is left, as long as ctx permits.
func (t *Tracing) Shutdown(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// draw makes a span for each stage that r went through, under the span of the call.
func (t *Tracing) draw(ctx context.Context, r *authz.Record) {
	span := trace.SpanFromContext(ctx)
	if t == nil || !span.IsRecording() {
		return
	}
	span.SetAttributes(
		attribute.String("stepward.decision_id", r.ID), attribute.String("stepward.result", string(r.Result())),
		attribute.String("stepward.reason", string(r.Reason())), attribute.String("stepward.required_level",
			r.Shortfall.Level),
		attribute.String("stepward.policy_revision", r.Revision),
	)
	begin := r.Time
	for _, stage := range []struct {
		name string
		end  time.Time
	}{{"normalize", r.Stages.Normalized}, {"verify", r.Stages.Verified}, {"evaluate", r.Stages.Evaluated},
		{"answer", r.Time.Add(r.Duration)}} {
		if stage.end.IsZero() {
			continue
		}
		_, child := t.tracer.Start(ctx, stage.name, trace.WithTimestamp(begin))
		child.End(trace.WithTimestamp(stage.end))
		begin = stage.end
	}
}

// Logs exports log records by OTLP, as OpenTelemetry's environment variables say.
type Logs struct{ provider *sdklog.LoggerProvider }

// NewLogs makes an exporter of log records, and the core that feeds it. If the exporter is
// too slow, the SDK's own queue drops records.
func NewLogs(ctx context.Context, version string) (*Logs, zapcore.Core, error) {
	exporter, err := autoexport.NewLogExporter(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("telemetry: logs: %w", err)
	}
	about, err := describe(version)
	if err != nil {
		return nil, nil, errors.Join(err, exporter.Shutdown(ctx))
	}
	provider := sdklog.NewLoggerProvider(sdklog.WithProcessor(sdklog.NewBatchProcessor(exporter)),
		sdklog.WithResource(about))
	return &Logs{provider: provider}, otelzap.NewCore("stepward.decisions", otelzap.WithLoggerProvider(provider)), nil
}

// Shutdown sends what is left, as long as ctx permits.
func (l *Logs) Shutdown(ctx context.Context) error { return l.provider.Shutdown(ctx) }
