package server_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"go.uber.org/goleak"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/internal/testidp"
	"github.com/stepward/stepward/pkg/rollout/divergence"
	"github.com/stepward/stepward/pkg/run/control"
	"github.com/stepward/stepward/pkg/run/server"
	"github.com/stepward/stepward/pkg/stepup"
)

const enforcedPolicy = `package stepward.policy

import rego.v2

require contains {"level": "anonymous"} if input.request.segments[0] in {"news", "closed", "shop"}
`

// candidates are policies that would change everything, or do harm.
var candidates = map[string]string{
	"stricter": enforcedPolicy +
		"\nrequire contains {\"level\": \"mfa\"} if input.request.segments[0] == \"shop\"\n\ndeny contains {\"code\": \"closed\"} if input.request.segments[0] == \"closed\"\n",
	"loops": enforcedPolicy +
		"\nrequire contains {\"level\": \"mfa\"} if {\n\tsome x in numbers.range(1, 100000)\n\tsome y in numbers.range(1, 100000)\n\tx + y < 0\n}\n",
	"hangs": enforcedPolicy +
		"\nrequire contains {\"level\": \"mfa\"} if regex.match(\"^((((a+)+)+)+)+$\", input.request.headers[\"x-long\"])\n",
	"grows": enforcedPolicy +
		"\nx0 := concat(\"\", [s | some _ in numbers.range(1, 100000); s := \"0123456789\"])\n\nx1 := concat(\"\", [s | some _ in numbers.range(1, 400); s := x0])\n\nrequire contains {\"level\": \"mfa\"} if contains(x1, \"never\")\n",
	"fails": enforcedPolicy +
		"\nrequire contains {\"level\": \"mfa\", \"max_age\": to_number(input.request.path)}\n",
}

// shadowed serves the enforced policy, with a candidate beside it unless that is empty.
func shadowed(t testing.TB, idp *testidp.IDP, candidate string) (running, *control.Client) {
	t.Helper()
	dir, err := os.MkdirTemp("", "shadow") // a short name: it holds a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	write(t, dir, map[string]string{"enforced/p.rego": enforcedPolicy, "candidate/p.rego": candidate})
	c := settings(t, idp, "control: unix://"+filepath.Join(dir, "s")+"\n")
	c.Policy = config.Policy{Paths: []string{filepath.Join(dir, "enforced")}, Timeout: c.Policy.Timeout}
	if candidate != "" {
		c.Policy.Candidate.Paths = []string{filepath.Join(dir, "candidate")}
		c.Policy.Timeout = config.Duration(200 * time.Millisecond)
	}
	r := run(t, c, server.Options{})
	eventually(t, "ready", r.Ready)
	client, err := control.NewClient(c.Control)
	if err != nil {
		t.Fatal(err)
	}
	return r, client
}

// A candidate is asked about every decision, tells what it would change, and changes
// nothing.
func TestCandidate(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent()) // after the provider has hung up
	idp, err := testidp.Start(testidp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer idp.Close()
	r, client := shadowed(t, idp, candidates["stricter"])
	for range 5 {
		for path, status := range map[string]int32{"/news": 0, "/shop": 0, "/closed": 0, "/elsewhere": 7} {
			if res := r.check(t, path, nil); res.GetStatus().GetCode() != status {
				t.Fatalf("%s: %v", path, res)
			}
		}
	}
	var report divergence.Report
	eventually(t, "everything is compared", func() bool {
		if report, err = client.Candidate(t.Context()); err != nil {
			t.Fatal(err)
		}
		return report.Decisions+report.Left["behind"] == 20
	})
	for kind, want := range map[divergence.Kind]int64{divergence.NewlyChallenged: 5, divergence.NewlyRefused: 5,
		divergence.Same: 10} {
		if report.Left["behind"] == 0 && report.Kinds[kind] != want {
			t.Errorf("%s: %d; want %d", kind, report.Kinds[kind], want)
		}
	}
	if !slices.ContainsFunc(report.Rules, func(g divergence.Group) bool {
		return g.Name == "stepward.policy.require (p.rego:7)"
	}) {
		t.Errorf("no rule: %+v", report.Rules)
	}
	_, metrics := page(t, r, "/metrics")
	for _, want := range []string{`stepward_candidate_decisions_total{difference="newly_challenged"}`,
		`stepward_candidate_divergences_total{difference="newly_refused",rule="stepward.policy.deny (p.rego:9)"}`,
		"stepward_candidate_revision_info{"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s", want)
		}
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}

	alone, client := shadowed(t, idp, "")
	if _, err := client.Candidate(t.Context()); err == nil {
		t.Error("there is a report of no candidate")
	}
	if err := alone.stop(); err != nil {
		t.Error(err)
	}
}

// Whatever a candidate does, the enforced policy answers; a candidate that keeps exceeding
// its time rests.
func TestCandidateThatDoesHarm(t *testing.T) {
	idp, err := testidp.Start(testidp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer idp.Close()
	for name, candidate := range candidates {
		t.Run(name, func(t *testing.T) {
			r, client := shadowed(t, idp, candidate)
			headers := map[string]string{"x-long": strings.Repeat("a", 4000) + "!"}
			ask := func(path string, status int32) {
				t.Helper()
				var res *authv3.CheckResponse
				// The short time for a policy is of both: a busy machine may miss it.
				eventually(t, "an answer in time", func() bool {
					res = r.check(t, path, headers)
					return res.GetDynamicMetadata().GetFields()["reason"].GetStringValue() != string(
						stepup.PolicyTimeout)
				})
				if res.GetStatus().GetCode() != status {
					t.Fatalf("%s: %v", path, res)
				}
			}
			for range 200 {
				ask("/shop", 0)
				ask("/elsewhere", 7)
			}
			if name == "loops" {
				eventually(t, "the candidate rests", func() bool {
					ask("/shop", 0)
					report, err := client.Candidate(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					return report.Suspended
				})
			}
			report, err := client.Candidate(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if left := report.Left["behind"] + report.Left["resting"]; report.Decisions+left < 300 {
				t.Errorf("%d compared, %v left out", report.Decisions, report.Left)
			}
			if err := r.stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A broken candidate is refused like any configuration, and the enforced policy stays.
func TestBrokenCandidate(t *testing.T) {
	t.Parallel()
	files := variant("a")
	files["stepward.yaml"] = strings.Replace(files["stepward.yaml"], "paths: [policy]",
		"paths: [policy], candidate: { paths: [next] }", 1)
	files["next/policy.rego"] = variant("b")["policy/policy.rego"]
	f := serveFolder(t, files, server.Options{})
	write(t, f.dir, map[string]string{"next/policy.rego": "package stepward.policy\nrequire contains"})
	eventually(t, "the reload is refused",
		func() bool { _, text := page(t, f.running, "/readyz?verbose"); return strings.Contains(text, "failed") })
	if res := f.check(t, "/public", nil); res.GetStatus().GetCode() != 0 {
		t.Errorf("%v", res)
	}
	write(t, f.dir, map[string]string{"next/policy.rego": variant("b")["policy/policy.rego"]})
	eventually(t, "the mended one is taken", func() bool {
		_, text := page(t, f.running, "/readyz?verbose")
		return !strings.Contains(text, "failed")
	})
}

// BenchmarkCandidate measures the p99 of decisions at a steady rate, with a candidate against
// without one: the median of the ratios of rounds that take turns. Without a candidate on
// either side it is 1, give or take what the machine does.
func BenchmarkCandidate(b *testing.B) {
	idp, err := testidp.Start(testidp.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer idp.Close()
	without, _ := shadowed(b, idp, "")
	same, _ := shadowed(b, idp, "")
	with, client := shadowed(b, idp, candidates["stricter"])
	var ratios, noise []float64
	round := 0
	for b.Loop() {
		var base, other, none time.Duration
		if round++; round%2 == 0 {
			base, other, none = p99(b, without), p99(b, with), p99(b, same)
		} else {
			none, other, base = p99(b, same), p99(b, with), p99(b, without)
		}
		ratios, noise = append(ratios, float64(other)/float64(base)), append(noise, float64(none)/float64(base))
	}
	report, err := client.Candidate(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(median(ratios), "p99-ratio")
	b.ReportMetric(median(noise), "p99-ratio-of-none")
	b.ReportMetric(float64(report.Decisions)/float64(report.Decisions+report.Left["behind"]), "compared")
}

// p99 asks r a thousand times a second, for two seconds.
func p99(b *testing.B, r running) time.Duration {
	const workers, each, every = 4, 500, 4 * time.Millisecond
	req := &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{
		Http: &authv3.AttributeContext_HttpRequest{Method: "GET", Path: "/shop", Host: "app.example.com",
			Scheme: "https"},
	}}}
	var mu sync.Mutex
	var all sync.WaitGroup
	var times []time.Duration
	for range workers {
		all.Go(func() {
			own := make([]time.Duration, 0, each)
			tick := time.NewTicker(every)
			defer tick.Stop()
			for range each {
				<-tick.C
				start := time.Now()
				if res, err := r.auth.Check(b.Context(), req); err != nil || res.GetStatus().GetCode() != 0 {
					b.Errorf("%v, %v", res, err)
					return
				}
				own = append(own, time.Since(start))
			}
			mu.Lock()
			defer mu.Unlock()
			times = append(times, own...)
		})
	}
	all.Wait()
	slices.Sort(times)
	return times[len(times)*99/100]
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}
