package telemetry

import (
	"net/http"

	grpcprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/rollout/divergence"
	"github.com/stepward/stepward/pkg/stepup"
	"github.com/stepward/stepward/pkg/trust/revocation"
)

// Metrics counts decisions in its own registry.
type Metrics struct {
	registry *prometheus.Registry
	grpc     *grpcprom.ServerMetrics

	decisions *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	required  *prometheus.CounterVec
	completed *prometheus.CounterVec
	shadow    *prometheus.CounterVec
	failures  *prometheus.CounterVec
	policy    prometheus.Observer
	dropped   *prometheus.CounterVec

	refresh *prometheus.CounterVec
	asked   *prometheus.CounterVec

	revision *prometheus.GaugeVec
	reloads  *prometheus.CounterVec
	reloaded prometheus.Gauge
	reloadAt prometheus.Gauge

	compared  *prometheus.CounterVec
	diverged  *prometheus.CounterVec
	left      *prometheus.CounterVec
	candidate *prometheus.GaugeVec
}

// NewMetrics creates every possible series at start, as far as its labels are known, so
// that a rate can be computed before the first event.
func NewMetrics(version string) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), grpc: grpcprom.NewServerMetrics(
		grpcprom.WithServerHandlingTimeHistogram(grpcprom.WithHistogramBuckets(seconds)))}
	m.registry.MustRegister(m.grpc, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.declareDecisions()
	m.declareIssuers()
	m.declareConfiguration(version)
	m.declareCandidate()
	m.reloaded.Set(1)
	m.reloadAt.SetToCurrentTime()
	for _, sink := range []string{"decisions", "events", "opa"} {
		m.dropped.WithLabelValues(sink)
	}
	for _, result := range []string{"ok", "error"} {
		m.reloads.WithLabelValues(result)
	}
	m.decisions.WithLabelValues(string(stepup.ResultAllow), string(stepup.OK))
	for _, r := range stepup.Reasons() {
		if r.Status() >= 500 {
			m.decisions.WithLabelValues(string(stepup.ResultError), string(r))
		}
	}
	return m
}

// Handler serves the metrics in the formats that Prometheus asks for.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Enforced says which policy revision is enforced from now on.
func (m *Metrics) Enforced(revision string) {
	m.revision.Reset()
	m.revision.WithLabelValues(revision).Set(1)
}

// Candidate says which candidate policy is asked from now on; empty means none. The counts
// of earlier candidates stay.
func (m *Metrics) Candidate(revision string) {
	m.candidate.Reset()
	if revision != "" {
		m.candidate.WithLabelValues(revision).Set(1)
	}
}

// Compared counts a decision that a candidate policy was asked about.
func (m *Metrics) Compared(c divergence.Comparison) {
	k := c.Kind()
	m.compared.WithLabelValues(string(k)).Inc()
	if k != divergence.Same {
		m.diverged.WithLabelValues(string(k), c.Rule()).Inc()
	}
}

// NotCompared counts n decisions that a candidate policy was not asked about.
func (m *Metrics) NotCompared(why string, n int64) { m.left.WithLabelValues(why).Add(float64(n)) }

// Reloaded counts a reload of configuration and policy.
func (m *Metrics) Reloaded(err error) {
	if err != nil {
		m.reloads.WithLabelValues("error").Inc()
		m.reloaded.Set(0)
		return
	}
	m.reloads.WithLabelValues("ok").Inc()
	m.reloaded.Set(1)
	m.reloadAt.SetToCurrentTime()
}

// Dropped counts a line that was not written to a sink.
func (m *Metrics) Dropped(sink string) { m.dropped.WithLabelValues(sink).Inc() }

// Watch shows how many admitted calls a gate has not answered yet. It is called once.
func (m *Metrics) Watch(g *authz.Gate) {
	m.gaugeFunc("stepward_checks_in_flight", "Check calls that are being decided.",
		func() float64 { inFlight, _ := g.Load(); return float64(inFlight) })
}

// Interceptor counts calls of a gRPC server as grpc_server_*.
func (m *Metrics) Interceptor() grpc.UnaryServerInterceptor { return m.grpc.UnaryServerInterceptor() }

// Serves creates the series for the methods of s.
func (m *Metrics) Serves(s *grpc.Server) { m.grpc.InitializeMetrics(s) }

// Refreshed counts a fetch of an issuer's keys.
func (m *Metrics) Refreshed(issuerName string, err error) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	m.refresh.WithLabelValues(issuerName, result).Inc()
}

// Introspected counts a call to an issuer about a token.
func (m *Metrics) Introspected(issuerName string, active bool, err error) {
	result := "inactive"
	switch {
	case err != nil:
		result = "error"
	case active:
		result = "active"
	}
	m.asked.WithLabelValues(issuerName, result).Inc()
}

// WatchRevocations shows how many revocations are held. It is called once.
func (m *Metrics) WatchRevocations(x *revocation.Index) {
	m.gaugeFunc("stepward_revocations", "Revocations that requests are held against.",
		func() float64 { return float64(x.Len()) })
}

// count counts r, by the result of every stage.
func (m *Metrics) count(r *authz.Record) {
	result := r.Result()
	m.decisions.WithLabelValues(string(result), string(r.Reason())).Inc()
	m.duration.WithLabelValues(string(result)).Observe(r.Duration.Seconds())
	if r.Failure != nil {
		m.failures.WithLabelValues(r.Failure.IssuerName, string(r.Failure.Code)).Inc()
	}
	if !r.Stages.Evaluated.IsZero() {
		m.policy.Observe(r.Stages.Evaluated.Sub(r.Stages.Verified).Seconds())
	}
	if result == stepup.ResultAllow && (len(r.Shortfall.Ask.ACRValues) > 0 || r.Shortfall.Ask.MaxAge != stepup.Age{}) {
		m.completed.WithLabelValues(r.Shortfall.Level).Inc()
	}
	switch r.Reason() {
	case stepup.InsufficientLevel, stepup.StaleAuthentication:
		m.required.WithLabelValues(r.Shortfall.Level, channel(r)).Inc()
	}
	for _, g := range r.Shortfall.Shadowed {
		m.shadow.WithLabelValues(g.Requirement.Rule).Inc()
	}
}

func channel(r *authz.Record) string {
	if r.Request.Kind == request.Navigation {
		return "browser"
	}
	return "api"
}
