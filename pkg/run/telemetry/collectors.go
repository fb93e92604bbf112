package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stepward/stepward/pkg/trust/keyset"
)

// WatchKeys shows the state of each issuer's keys, by its name, whenever metrics are read.
// It is called once.
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

// Registerer accepts the metrics of a part that has its own.
func (m *Metrics) Registerer() prometheus.Registerer { return m.registry }

// Source describes the state of a source of policies or data.
type Source struct {
	Kind    string // bundle or data
	Name    string
	At      time.Time // when it was last known to be correct; zero for never
	Failing bool      // the last attempt to get it failed, or it is too old
}

// WatchSources shows the state of sources whenever metrics are read. It is called once.
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
