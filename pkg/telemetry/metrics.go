package telemetry

import (
	"net/http"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/stepup"
)

// Metrics counts decisions in a registry of its own.
type Metrics struct {
	registry  *prometheus.Registry
	decisions *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	required  *prometheus.CounterVec
	failures  *prometheus.CounterVec
	refresh   *prometheus.CounterVec
	revision  *prometheus.GaugeVec
	shadow    *prometheus.CounterVec
}

// NewMetrics makes every series that there can be at start, as far as its labels
// are known, so that a rate can be taken before the first event.
func NewMetrics(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stepward_decisions_total", Help: "Decisions by result and reason.",
		}, []string{"result", "reason"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "stepward_check_duration_seconds", Help: "Time from request to answer, by result.",
			Buckets: []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1},
		}, []string{"result"}),
		required: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stepward_stepup_required_total", Help: "Answers that asked for more, by level and by who was asked.",
		}, []string{"level", "channel"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stepward_token_failures_total", Help: "Credentials that were not accepted, by issuer (empty when unknown) and reason.",
		}, []string{"issuer", "reason"}),
		refresh: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stepward_jwks_refresh_total", Help: "Fetches of an issuer's keys, by result.",
		}, []string{"issuer", "result"}),
		revision: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "stepward_policy_revision_info", Help: "1 for the policy revision that is enforced.",
		}, []string{"revision"}),
		shadow: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stepward_shadow_unmet_total", Help: "Requirements that are only observed and were not met, by rule.",
		}, []string{"rule"}),
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "stepward_build_info", Help: "1 for the version that runs."}, []string{"version", "go_version"})
	info, _ := debug.ReadBuildInfo()
	goVersion := ""
	if info != nil {
		goVersion = info.GoVersion
	}
	build.WithLabelValues(version, goVersion).Set(1)
	m.registry.MustRegister(m.decisions, m.duration, m.required, m.failures, m.refresh, m.revision, m.shadow, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
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

// Refreshed counts a fetch of an issuer's keys.
func (m *Metrics) Refreshed(issuerName string, err error) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	m.refresh.WithLabelValues(issuerName, result).Inc()
}

func (m *Metrics) count(r authz.Record) {
	result := r.Result()
	m.decisions.WithLabelValues(string(result), string(r.Reason())).Inc()
	m.duration.WithLabelValues(string(result)).Observe(r.Duration.Seconds())
	if r.Failure != nil {
		m.failures.WithLabelValues(r.Failure.Issuer, string(r.Failure.Code)).Inc()
	}
	switch r.Reason() {
	case stepup.InsufficientLevel, stepup.StaleAuthentication:
		m.required.WithLabelValues(r.Shortfall.Level, channel(r)).Inc()
	}
	for _, g := range r.Shortfall.Shadowed {
		m.shadow.WithLabelValues(g.Requirement.Rule).Inc()
	}
}

func channel(r authz.Record) string {
	if r.Request.Kind == request.Navigation {
		return "browser"
	}
	return "api"
}
