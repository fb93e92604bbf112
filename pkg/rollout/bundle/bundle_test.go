package bundle_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	sdktest "github.com/open-policy-agent/opa/v1/sdk/test"
	"go.uber.org/goleak"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/internal/testbundles"
	"github.com/stepward/stepward/pkg/internal/wait"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/rollout/bundle"
	"github.com/stepward/stepward/policies"
)

const manifest = `{"revision": "r1", "roots": ["stepward/policy", "risk", "system/log"]}`

const usesLibrary = `package stepward.policy

import rego.v2

import data.stepward.lib.risk

# METADATA
# labels:
#   severity: high
require contains {"level": "mfa"} if risk.at_least(data.risk, input.token.subject, 50)
`

// sets gathers what a manager hands out.
type sets struct {
	mu     sync.Mutex
	all    []bundle.Set
	lines  []string
	refuse error
}

func (s *sets) take(_ context.Context, x bundle.Set) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil {
		return s.refuse
	}
	s.all = append(s.all, x)
	return nil
}

func (s *sets) tell(l bundle.Line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, fmt.Sprint(l.Level, " ", l.Message, " ", l.Fields))
}

func (s *sets) last() (bundle.Set, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) == 0 {
		return bundle.Set{}, 0
	}
	return s.all[len(s.all)-1], len(s.all)
}

func library(t testing.TB) []rego.Source {
	t.Helper()
	l, err := rego.FromFS(policies.Library())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func settings(t testing.TB, text string) bundle.Settings {
	t.Helper()
	s, err := bundle.Parse(filepath.Join(t.TempDir(), "opa.yaml"), []byte(text), bundle.ParseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func start(t testing.TB, s bundle.Settings, got *sets) (*bundle.Manager, func()) {
	t.Helper()
	m, err := bundle.New(s, bundle.Options{Library: library(t), OnChange: got.take, OnLog: got.tell,
		Flush: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return m, stop
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	wait.Until(t, what, is)
}

// OPA's own mock server, and a policy that imports the library without holding it.
func TestActivation(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	server := sdktest.MustNewServer(sdktest.RawBundles(true), sdktest.MockBundle("/bundles/authz.tar.gz",
		map[string]string{
			".manifest": manifest, "policy.rego": usesLibrary, "risk/data.json": `{"alice": {"score": 10}}`,
		}))
	defer server.Stop()
	got := &sets{}
	m, stop := start(t, settings(t, `services: { opa: { url: "`+server.URL()+`" } }
bundles: { authz: { service: opa, resource: /bundles/authz.tar.gz, polling: { min_delay_seconds: 1, max_delay_seconds: 1 } } }
`), got)
	eventually(t, "a set", func() bool { _, n := got.last(); return n > 0 || t.Failed() })
	set, _ := got.last()
	var names []string
	for _, s := range set.Sources {
		names = append(names, s.Name)
	}
	if !slices.Equal(names, []string{"bundles:authz/policy.rego", "bundles:data.json"}) || set.Revision() != "r1" ||
		!set.Complete() {
		t.Errorf("%v, %+v", names, set)
	}
	eventually(t, "a status", func() bool { s := m.Status(); return len(s) == 1 && s[0].Revision == "r1" })
	stop()
}

func TestRefused(t *testing.T) {
	server := sdktest.MustNewServer(sdktest.RawBundles(true), sdktest.MockBundle("/bundles/authz.tar.gz",
		map[string]string{".manifest": manifest, "policy.rego": usesLibrary}))
	defer server.Stop()
	got := &sets{refuse: errors.New("not to our liking")}
	m, _ := start(t, settings(t, `services: { opa: { url: "`+server.URL()+`" } }
bundles: { authz: { service: opa, resource: /bundles/authz.tar.gz, polling: { min_delay_seconds: 1, max_delay_seconds: 1 } } }
`), got)
	eventually(t, "a status", func() bool {
		s := m.Status()
		return len(s) == 1 && strings.Contains(s[0].Error, "not to our liking") && s[0].Revision == ""
	})
}

// Decisions of a new policy are masked by the masks that came with it, from the first
// decision on.
func TestMasks(t *testing.T) {
	s := testbundles.New()
	defer s.Close()
	s.Put("authz.tar.gz", testbundles.Pack(map[string]string{
		".manifest": `{"revision": "r1", "roots": ["stepward/policy", "system/log"]}`, "policy.rego": usesLibrary,
		"mask.rego": "package system.log\n\nimport rego.v1\n\nmask contains \"/input/request/host\"\n",
	}))
	var m *bundle.Manager
	decided := bundle.Decided{Record: &authz.Record{ID: "d1", Stages: authz.Stages{Evaluated: time.Unix(1, 0)},
		Request: request.Request{Method: "GET", Host: "secret.example.com", Path: "/x"}}}
	m, err := bundle.New(settings(t, `services: { control: { url: "`+s.URL+`" } }
bundles: { authz: { service: control, resource: bundles/authz.tar.gz } }
decision_logs: { service: control, reporting: { min_delay_seconds: 1, max_delay_seconds: 1 } }
`), bundle.Options{Library: library(t), OnLog: func(bundle.Line) {}, OnChange: func(ctx context.Context, _ bundle.Set) error {
		m.Observe(ctx, decided)            // it is in force, and decides
		time.Sleep(200 * time.Millisecond) // clock: time for it to be logged too soon
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	defer func() { cancel(); <-done }()
	eventually(t, "the decision is uploaded", func() bool { return len(s.Events()) > 0 })
	if e := fmt.Sprint(s.Events()); strings.Contains(e, "secret.example.com") || !strings.Contains(
		e, "/input/request/host") {
		t.Errorf("%s", e)
	}
}

// What an OPA configuration must not say, each with something that it may.
func TestSettings(t *testing.T) {
	const services = `services: { c: { url: "https://c.example.com" } }` + "\n"
	for text, want := range map[string]string{
		services + `bundles: { a: { service: c } }`:                                                    "",
		`services: [{ name: c, url: "http://127.0.0.1:1" }]` + "\n" + `bundles: { a: { service: c } }`: "",
		`services: { c: { url: "http://c.example.com" } }` + "\n" +
			`bundles: { a: { service: c } }`: "services.c.url",
		`services: { c: { url: "https://c.example.com", allow_insecure_tls: true } }` +
			"\nbundles: { a: {} }": "allow_insecure_tls",
		services + `keys: { k: { key: x } }` + "\n" +
			`bundles: { a: { service: c } }`: "bundles.a.signing",
		services + `keys: { k: { key: x } }` + "\n" + `bundles: { a: { service: c, signing: { keyid: k } } }`: "",
		services + `keys: { k: { key: x } }` + "\n" +
			`discovery: { resource: x }`: "discovery.signing",
		services + `bundle: { name: a }`:                 "bundle: is the old form",
		services + `bundles: { a: { trigger: manual } }`: "bundles.a.trigger",
		services + `bundles: {}`:                         "bundles",
		services + `bundles: [a]`:                        "bundles",
		services + `decision_logs: { plugin: x }`:        "decision_logs.plugin",
		services + `decision_logs: { reporting: { buffer_type: size, max_decisions_per_second: 1 } }`: "without end",
		services + `decision_logs: { service: c }`:                                                    "",
		services + `status: 1`:                                           "status",
		services + `statuss: {}` + "\n" + `bundles: { a: {} }`:           "statuss: unknown key",
		services + `plugins: { mine: {} }` + "\n" + `bundles: { a: {} }`: "plugins.mine",
		services: "names neither", `- a`: "not an object", ``: "names neither",
		"services: {": "a comma is missing here, or the } of the {",
	} {
		_, err := bundle.Parse("opa.yaml", []byte(text), bundle.ParseOptions{})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", text, err, want)
		}
	}
	s, err := bundle.Parse("opa.yaml", []byte(`services: { c: { url: "http://c.example.com" } }`+
		"\nbundles: { a: { service: c } }\ndefault_decision: x"), bundle.ParseOptions{Insecure: true})
	if err != nil || len(s.Warnings) != 1 || bundle.Check(s) != nil {
		t.Errorf("%v, %v, %v", err, s.Warnings, bundle.Check(s))
	}
	if s, err = bundle.Parse("opa.yaml", []byte(services+"bundles: { a: { service: nowhere } }"),
		bundle.ParseOptions{}); err != nil || bundle.Check(s) == nil {
		t.Errorf("a service that is not there: %v", err)
	}
}
