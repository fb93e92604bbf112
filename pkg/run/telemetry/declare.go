package telemetry

import (
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
)

// seconds lists the buckets of durations, from 50 µs.
var seconds = []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1}

// declareDecisions declares what is counted for each decision.
func (m *Metrics) declareDecisions() {
	m.decisions = m.counter("stepward_decisions_total", "Decisions by result and reason.", "result", "reason")
	m.duration = m.histogram("stepward_check_duration_seconds", "Time from request to answer, by result.", "result")
	m.required = m.counter("stepward_stepup_required_total",
		"Answers that asked for more, by level and by who was asked.", "level", "channel")
	m.completed = m.counter("stepward_stepup_completed_total",
		"Requests let in that needed more than a valid token, by level.", "level")
	m.shadow = m.counter("stepward_shadow_unmet_total",
		"Requirements that are only observed and were not met, by rule.", "rule")
	m.failures = m.counter("stepward_token_failures_total",
		"Credentials that were not accepted, by the issuer's short name (empty when unknown) and reason.",
		"issuer_name", "reason")
	m.policy = m.histogram("stepward_policy_eval_duration_seconds", "Time of floors and policy together.").
		WithLabelValues()
	m.dropped = m.counter("stepward_log_dropped_total", "Log lines that a sink was too slow for.", "sink")
}

// declareIssuers declares what is counted for calls to issuers.
func (m *Metrics) declareIssuers() {
	m.refresh = m.counter("stepward_jwks_refresh_total", "Fetches of an issuer's keys, by result.",
		"issuer_name", "result")
	m.asked = m.counter("stepward_introspection_total",
		"Calls of an issuer about a token, by result: active, inactive or error.", "issuer_name", "result")
}

// declareConfiguration declares the metrics for what is in force, and for reloads.
func (m *Metrics) declareConfiguration(version string) {
	goVersion := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		goVersion = info.GoVersion
	}
	m.gauge("stepward_build_info", "1 for the version that runs.", "version", "go_version").
		WithLabelValues(version, goVersion).Set(1)
	m.revision = m.gauge("stepward_policy_revision_info", "1 for the policy revision that is enforced.", "revision")
	m.reloads = m.counter("stepward_config_reloads_total", "Reloads of configuration and policy, by result.", "result")
	m.reloaded = m.gauge("stepward_config_last_reload_success",
		"1 when the last reload was good or there was none; 0 while an older configuration stays in force.").
		WithLabelValues()
	m.reloadAt = m.gauge("stepward_config_last_reload_success_timestamp_seconds",
		"When configuration and policy were last read well, in Unix time.").
		WithLabelValues()
}

// declareCandidate declares the metrics for comparing the candidate policy.
func (m *Metrics) declareCandidate() {
	m.compared = m.counter("stepward_candidate_decisions_total",
		"Decisions that the candidate policy was asked about, by how its answer differs; same where it does not.",
		"difference")
	m.diverged = m.counter("stepward_candidate_divergences_total",
		"Decisions that the candidate policy would change, by how and by the rule behind it.", "difference", "rule")
	m.left = m.counter("stepward_candidate_left_out_total",
		"Decisions that the candidate policy was not asked about, by why: behind or resting.", "why")
	m.candidate = m.gauge("stepward_candidate_revision_info", "1 for the revision of the candidate policy.", "revision")
}

// counter registers a counter.
func (m *Metrics) counter(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	m.registry.MustRegister(c)
	return c
}

// gauge registers a gauge.
func (m *Metrics) gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	m.registry.MustRegister(g)
	return g
}

// histogram registers a histogram of durations.
func (m *Metrics) histogram(name, help string, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: seconds}, labels)
	m.registry.MustRegister(h)
	return h
}

// gaugeFunc registers a gauge that is read whenever metrics are.
func (m *Metrics) gaugeFunc(name, help string, now func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, now))
}
