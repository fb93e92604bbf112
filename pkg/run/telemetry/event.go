// Package telemetry turns the record of a decision into what operators look at: one wide
// log event, and metrics.
//
// An [Observer] sees each decision of a snapshot. Nothing that it writes holds a
// credential, a cookie or a query string, and no metric has a label that a client chooses.
package telemetry

import (
	"context"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/response"
	"github.com/stepward/stepward/pkg/rollout/decisionlog"
	"github.com/stepward/stepward/pkg/stepup"
)

// Observer writes one event for each decision, counts it, and draws its stages into
// the trace of the call. Its methods may be called from many goroutines.
type Observer struct {
	Log     *zap.Logger // nil writes nothing
	Metrics *Metrics
	Tracing *Tracing // nil traces nothing
	// Input, if set, logs the policy's input with the decision, so that the decision can be
	// replayed.
	Input *Input
}

// Input says how inputs are logged.
type Input struct {
	Prefix string // of identity headers, which no policy sees
	Masks  decisionlog.Masks
}

// fields returns the fields for the input of r, and none if no policy was asked.
func (i *Input) fields(r *authz.Record) []zap.Field {
	if i == nil {
		return nil
	}
	e, ok := decisionlog.Of(r, i.Prefix, i.Masks)
	if !ok {
		return nil
	}
	return []zap.Field{zap.String("decided_at", e.Time.UTC().Format(time.RFC3339Nano)), zap.Any("input", e.Input),
		zap.Strings("erased", e.Erased), zap.Any("caller", e.Caller), zap.Any("outcome", e.Outcome)}
}

// Observe writes and counts r, which was decided in ctx.
func (o *Observer) Observe(ctx context.Context, r *authz.Record) {
	o.Metrics.count(r)
	o.Tracing.draw(ctx, r)
	if o.Log == nil {
		return
	}
	level := zap.InfoLevel
	if r.Result() == stepup.ResultError {
		level = zap.WarnLevel
	}
	if entry := o.Log.Check(level, "decision"); entry != nil {
		entry.Write(append(fields(ctx, r), o.Input.fields(r)...)...)
	}
}

// fields makes the event for r. It leaves out members that say nothing.
func fields(ctx context.Context, r *authz.Record) []zap.Field {
	f := []zap.Field{
		zap.String("decision_id", r.ID),
		zap.String("result", string(r.Result())),
		zap.String("reason", string(r.Reason())),
		zap.String("method", short(r.Request.Method)),
		zap.String("host", short(r.Request.Host)),
		zap.String("path", short(pathOf(r))),
		zap.String("kind", string(r.Request.Kind)),
		zap.String("held_level", r.Held),
		zap.String("required_level", r.Shortfall.Level),
		zap.String("policy_revision", r.Revision),
		zap.Float64("duration_ms", float64(r.Duration.Microseconds())/1000),
	}
	if r.Response.Kind != response.Allow { // the upstream chooses the status of an allow
		f = append(f, zap.Int("status", r.Response.Status))
	}
	text := func(name, value string) {
		if value != "" {
			f = append(f, zap.String(name, short(value)))
		}
	}
	text("request_id", r.Request.ID)
	text("trace_id", traceOf(ctx, r))
	text("rule", r.Rule())
	if r.Token != nil {
		text("issuer", r.Token.Issuer)
		text("issuer_name", r.Token.IssuerName)
		text("subject", r.Token.Subject)
		text("client_id", r.Token.ClientID)
		text("acr", r.Token.Strongest().ACR)
	}
	if age, ok := r.Shortfall.Age.Get(); ok {
		f = append(f, zap.Int64("auth_age", int64(age.Seconds())))
	}
	if r.Failure != nil {
		text("issuer", r.Failure.Issuer)
		text("issuer_name", r.Failure.IssuerName)
		text("detail", r.Failure.Detail)
	}
	if r.Fault != nil {
		text("detail", r.Fault.Error())
	}
	if d, ok := r.Decision.(stepup.Deny); ok {
		text("policy_code", d.Denial.Code)
		text("policy_reason", d.Denial.Reason)
	} else if len(r.Shortfall.Unmet) > 0 {
		text("policy_reason", r.Shortfall.Unmet[0].Requirement.Reason)
	}
	for _, g := range r.Shortfall.Shadowed {
		f = append(f, zap.String("shadow_rule", g.Requirement.Rule), zap.String("shadow_missing", string(g.Part)))
		break // one is enough to find it; the metrics count them all
	}
	return f
}

// pathOf returns the path of r, or the path as sent if it could not be read. Without it
// nobody could find the caller whose requests are refused.
func pathOf(r *authz.Record) string {
	if r.Request.Path != "" {
		return r.Request.Path
	}
	return r.Request.Asked
}

// short cuts a value that a client may have chosen. The JSON encoder escapes what could
// forge a line.
func short(s string) string {
	const limit = 1024
	if len(s) > limit {
		return strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return s
}

// traceOf returns the trace that the call belongs to, or otherwise the one that the
// client's request names.
func traceOf(ctx context.Context, r *authz.Record) string {
	if span := trace.SpanContextFromContext(ctx); span.HasTraceID() {
		return span.TraceID().String()
	}
	return traceID(r.Request.Headers.Get("traceparent"))
}

// traceID returns the trace id of a W3C traceparent header, or nothing if it is not
// well-formed (Trace Context §3.2).
func traceID(traceparent string) string {
	parts := strings.Split(traceparent, "-")
	if len(parts) < 4 || len(parts[1]) != 32 || strings.Trim(parts[1], "0123456789abcdef") != "" ||
		strings.Trim(parts[1], "0") == "" {
		return ""
	}
	return parts[1]
}
