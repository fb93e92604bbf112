package telemetry

import (
	"net/http"
	"runtime/debug"
	"time"

	grpcprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/rollout/divergence"
	"github.com/stepward/stepward/pkg/stepup"
	"github.com/stepward/stepward/pkg/trust/keyset"
	"github.com/stepward/stepward/pkg/trust/revocation"
)

// Metrics counts decisions in a registry of its own.
type Metrics struct {
	registry  *prometheus.Registry
	decisions *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	required  *prometheus.CounterVec
	failures  *prometheus.CounterVec
	refresh   *prometheus.CounterVec
	asked     *prometheus.CounterVec
	revision  *prometheus.GaugeVec
	shadow    *prometheus.CounterVec
	completed *prometheus.CounterVec
	policy    prometheus.Histogram
	reloads   *prometheus.CounterVec
	reloaded  prometheus.Gauge
	reloadAt  prometheus.Gauge
	dropped   *prometheus.CounterVec
	compared  *prometheus.CounterVec
	diverged  *prometheus.CounterVec
	left      *prometheus.CounterVec
	candidate *prometheus.GaugeVec
	grpc      *grpcprom.ServerMetrics
}

// seconds are the buckets of durations, from 50 µs.
var seconds = []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1}

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
			Buckets: seconds,
		}, []string{"result"}),
		required: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stepward_stepup_required_total", Help: "Answers that asked for more, by level and by who was asked.",
		}, []string{"level", "channel"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stepward_token_failures_total",
			Help: "Credentials that were not accepted, by the issuer's short name (empty when unknown) and reason.",
		}, []string{"issuer_name", "reason"}),
		asked: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stepward_introspection_total",
			Help: "Calls of an issuer about a token, by result: active, inactive or error.",
		}, []string{"issuer_name", "result"}),
		refresh: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stepward_jwks_refresh_total", Help: "Fetches of an issuer's keys, by result.",
		}, []string{"issuer_name", "result"}),
		revision: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "stepward_policy_revision_info", Help: "1 for the policy revision that is enforced.",
		}, []string{"revision"}),
		shadow: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stepward_shadow_unmet_total", Help: "Requirements that are only observed and were not met, by rule.",
		}, []string{"rule"}),
		completed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stepward_stepup_completed_total",
			Help: "Requests let in that needed more than a valid token, by level.",
		}, []string{"level"}),
		policy: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "stepward_policy_eval_duration_seconds", Help: "Time of floors and policy together.",
			Buckets: seconds,
		}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stepward_config_reloads_total", Help: "Reloads of configuration and policy, by result.",
		}, []string{"result"}),
		reloaded: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "stepward_config_last_reload_success",
			Help: "1 when the last reload was good or there was none; 0 while an older configuration stays in force.",
		}),
		reloadAt: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "stepward_config_last_reload_success_timestamp_seconds",
			Help: "When configuration and policy were last read well, in Unix time.",
		}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stepward_log_dropped_total", Help: "Log lines that a sink was too slow for.",
		}, []string{"sink"}),
		compared: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stepward_candidate_decisions_total",
			Help: "Decisions that the candidate policy was asked about, by how its answer differs; same where it does not.",
		}, []string{"difference"}),
		diverged: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stepward_candidate_divergences_total",
			Help: "Decisions that the candidate policy would change, by how and by the rule behind it.",
		}, []string{"difference", "rule"}),
		left: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stepward_candidate_left_out_total",
			Help: "Decisions that the candidate policy was not asked about, by why: behind or resting.",
		}, []string{"why"}),
		candidate: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "stepward_candidate_revision_info", Help: "1 for the revision of the candidate policy.",
		}, []string{"revision"}),
		grpc: grpcprom.NewServerMetrics(grpcprom.WithServerHandlingTimeHistogram(
			grpcprom.WithHistogramBuckets(seconds))),
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "stepward_build_info",
		Help: "1 for the version that runs."}, []string{"version", "go_version"})
	info, _ := debug.ReadBuildInfo()
	goVersion := ""
	if info != nil {
		goVersion = info.GoVersion
	}
	build.WithLabelValues(version, goVersion).Set(1)
	m.registry.MustRegister(m.decisions, m.duration, m.required, m.failures, m.refresh, m.asked, m.revision, m.shadow,
		m.completed,
		m.policy, m.reloads, m.reloaded, m.reloadAt, m.dropped, m.compared, m.diverged, m.left, m.candidate, m.grpc,
		build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
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

// Candidate says which candidate policy is asked from now on; empty means none. What was
// counted of another one stays.
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

// Watch shows how many calls a gate has let in that are not answered yet. It is
// called once.
func (m *Metrics) Watch(g *authz.Gate) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "stepward_checks_in_flight", Help: "Check calls that are being decided.",
	}, func() float64 { inFlight, _ := g.Load(); return float64(inFlight) }))
}

// Interceptor counts calls of a gRPC server as grpc_server_*.
func (m *Metrics) Interceptor() grpc.UnaryServerInterceptor { return m.grpc.UnaryServerInterceptor() }

// Serves makes the series of the methods that s has.
func (m *Metrics) Serves(s *grpc.Server) { m.grpc.InitializeMetrics(s) }

// Refreshed counts a fetch of an issuer's keys.
func (m *Metrics) Refreshed(issuerName string, err error) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	m.refresh.WithLabelValues(issuerName, result).Inc()
}

// Introspected counts a call of an issuer about a token.
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
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "stepward_revocations", Help: "Revocations that requests are held against.",
	}, func() float64 { return float64(x.Len()) }))
}

// WatchKeys shows how the keys of each issuer stand, by its name, whenever metrics
// are read. It is called once.
func (m *Metrics) WatchKeys(now func() map[string]keyset.Status) {
	m.registry.MustRegister(keysCollector(now))
}

// keysCollector makes metrics of the keys at the time of a scrape.
type keysCollector func() map[string]keyset.Status

var (
	keysUsable = prometheus.NewDesc("stepward_jwks_usable",
		"1 while tokens of the issuer can be verified, 0 while they are answered with 503.", []string{"issuer_name"},
		nil)
	keysCount = prometheus.NewDesc("stepward_jwks_keys", "Keys of the issuer that are trusted.",
		[]string{"issuer_name"}, nil)
	keysSkipped = prometheus.NewDesc("stepward_jwks_skipped_keys", "Members of the issuer's set that are not used.",
		[]string{"issuer_name"}, nil)
	keysAt = prometheus.NewDesc("stepward_jwks_last_success_timestamp_seconds",
		"When the issuer's keys were last fetched; not there for keys from a file.", []string{"issuer_name"}, nil)
)

// Describe implements [prometheus.Collector].
func (keysCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{keysUsable, keysCount, keysSkipped, keysAt} {
		to <- d
	}
}

// Collect implements [prometheus.Collector].
func (c keysCollector) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, issuer string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, issuer)
	}
	for issuer, s := range c() {
		usable := 0.0
		if s.Usable {
			usable = 1
		}
		gauge(keysUsable, usable, issuer)
		gauge(keysCount, float64(s.Count), issuer)
		gauge(keysSkipped, float64(len(s.Skipped)), issuer)
		if !s.At.IsZero() {
			gauge(keysAt, float64(s.At.UnixMilli())/1000, issuer)
		}
	}
}

// Registerer takes the metrics of a part that has its own.
func (m *Metrics) Registerer() prometheus.Registerer { return m.registry }

// Source is where policies or data come from, as it stands.
type Source struct {
	Kind    string // bundle or data
	Name    string
	At      time.Time // when it was last known to be right; zero for never
	Failing bool      // the last attempt to get it failed, or it is too old
}

// WatchSources shows how sources stand whenever metrics are read. It is called once.
func (m *Metrics) WatchSources(now func() []Source) { m.registry.MustRegister(sourcesCollector(now)) }

// sourcesCollector makes metrics of the sources at the time of a scrape.
type sourcesCollector func() []Source

var (
	sourceAge = prometheus.NewDesc("stepward_data_age_seconds",
		"Since a bundle's server confirmed it, or since watched data was written; not there for what never came.",
		[]string{"kind", "source"}, nil)
	sourceFailing = prometheus.NewDesc("stepward_source_failing",
		"1 while a bundle cannot be had anew, or watched data is too old to be believed.", []string{"kind", "source"},
		nil)
)

// Describe implements [prometheus.Collector].
func (sourcesCollector) Describe(to chan<- *prometheus.Desc) {
	to <- sourceAge
	to <- sourceFailing
}

// Collect implements [prometheus.Collector].
func (c sourcesCollector) Collect(to chan<- prometheus.Metric) {
	for _, s := range c() {
		failing := 0.0
		if s.Failing {
			failing = 1
		}
		to <- prometheus.MustNewConstMetric(sourceFailing, prometheus.GaugeValue, failing, s.Kind, s.Name)
		if !s.At.IsZero() {
			to <- prometheus.MustNewConstMetric(sourceAge, prometheus.GaugeValue, max(time.Since(s.At).Seconds(), 0),
				s.Kind, s.Name)
		}
	}
}

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
