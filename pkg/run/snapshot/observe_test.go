package snapshot_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/internal/wait"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/response"
	"github.com/stepward/stepward/pkg/rollout/bundle"
	"github.com/stepward/stepward/pkg/rollout/divergence"
	"github.com/stepward/stepward/pkg/run/snapshot"
)

// open and closed let everyone in, and nobody.
const (
	open   = "package stepward.policy\n\nimport rego.v2\n\nrequire contains {\"level\": \"anonymous\"}\n"
	closed = open + "\ndeny contains {\"code\": \"closed\"}\n"
)

// folder writes files, by name, and returns where they are.
func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// configured returns the configuration of text, which lies in dir, beside an issuer and
// levels.
func configured(t testing.TB, dir, text string) config.Config {
	t.Helper()
	c, err := config.Parse(filepath.Join(dir, "stepward.yaml"), []byte(`
issuers: [{ name: corp, issuer: "https://idp.example.com", audiences: [x] }]
levels: [{ name: mfa, acr: ["2"] }, { name: phishing-resistant, acr: [phr] }]
limits: { deadline: 10s }
`+text), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// bundles returns a complete set of one bundle.
func bundles(revision, policy string) *bundle.Set {
	return &bundle.Set{Revisions: map[string]string{"authz": revision},
		Sources: []rego.Source{{Name: "bundles:authz/policy.rego", Text: []byte(policy), Bundled: true}}}
}

// decide asks x about a request, and returns whether it is let in.
func decide(t testing.TB, x *snapshot.Snapshot) bool {
	t.Helper()
	r := x.Authorizer.Authorize(t.Context(), request.Raw{Method: "GET", Host: "app.example.com", Target: "/x",
		Scheme: "https"})
	return r.Response.Kind == response.Allow
}

// A snapshot that can decide is observed, however it was made: by its observer once for
// each decision, as itself, and by its shadow.
func TestEverySnapshotIsObserved(t *testing.T) {
	dir := folder(t, map[string]string{"p/p.rego": open, "c/c.rego": closed, "p/risk.json": `{"risk": {"alice": 1}}`,
		"opa.yaml": "services: { c: { url: \"https://c.example.com\" } }\nbundles: { authz: { service: c } }\n"})
	candidate := "candidate: { paths: [" + filepath.Join(dir, "c") + "] }"
	files := configured(t, dir, "policy: { timeout: 10s, paths: ["+filepath.Join(dir, "p")+"], "+candidate+
		" }\ndata: { max_age: { risk: 1h } }\n")
	bundled := configured(t, dir, "policy: { timeout: 10s, "+candidate+" }\nbundles: { config_file: "+filepath.Join(
		dir, "opa.yaml")+" }\n")
	bundled.Bundles.Text = "services: { c: { url: \"https://c.example.com\" } }\nbundles: { authz: { service: c } }\n"
	var seen []*snapshot.Snapshot
	var records []*authz.Record
	compared := make(chan divergence.Comparison, 10)
	now := time.Now()
	o := snapshot.Options{
		Now: func() time.Time { return now },
		Observe: func(_ context.Context, x *snapshot.Snapshot, r *authz.Record) {
			seen, records = append(seen, x), append(records, r)
		},
		Shadow: snapshot.ShadowEvents{OnCompared: func(c divergence.Comparison) { compared <- c }},
	}
	must := func(x *snapshot.Snapshot, err error) *snapshot.Snapshot {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	with := func(previous *snapshot.Snapshot, set *bundle.Set) snapshot.Options {
		more := o
		more.Previous, more.Bundles = previous, set
		return more
	}
	first := must(snapshot.New(t.Context(), files, o))
	waiting := must(snapshot.New(t.Context(), bundled, o))
	now = now.Add(2 * time.Hour)
	if !first.Outdated(now) {
		t.Fatal("data of two hours ago is believed for one")
	}
	for name, x := range map[string]*snapshot.Snapshot{
		"at start":                  first,
		"after a reload":            must(snapshot.New(t.Context(), files, with(first, nil))),
		"when data has become old":  must(first.Renewed(t.Context(), o)),
		"when bundles have come":    must(waiting.WithBundles(t.Context(), with(nil, bundles("r1", open)))),
		"when files and bundles do": must(snapshot.New(t.Context(), bundled, with(waiting, bundles("r1", open)))),
	} {
		t.Run(name, func(t *testing.T) {
			seen, records = nil, nil
			if !decide(t, x) {
				t.Fatalf("refused: %v", records[0].Fault)
			}
			if len(seen) != 1 || seen[0] != x || records[0].Revision != x.Authorizer.Policy.Traits().Revision {
				t.Fatalf("observed %d times: %+v", len(seen), records)
			}
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { defer close(done); x.Shadow().Run(ctx) }()
			defer func() { stop(); <-done }()
			var c divergence.Comparison
			wait.Until(t, "the candidate is compared", func() bool {
				select {
				case c = <-compared:
					return true
				default:
					return false
				}
			})
			if c.DecisionID != records[0].ID || c.Kind() != divergence.NewlyRefused {
				t.Errorf("%+v", c)
			}
		})
	}
	seen = nil
	if decide(t, waiting) || len(seen) != 1 || len(waiting.Waiting()) == 0 {
		t.Error("nothing has come yet, and the request is let in, or nobody is told")
	}
}

// Nobody makes a snapshot without saying who observes it.
func TestObserverIsRequired(t *testing.T) {
	c := configured(t, "", "policy: { default: true }\n")
	if _, err := snapshot.New(t.Context(), c, snapshot.Options{}); err == nil {
		t.Error("New makes a snapshot that nobody observes")
	}
	x, err := snapshot.New(t.Context(), c, snapshot.Options{Observe: snapshot.Unobserved})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.Renewed(t.Context(), snapshot.Options{}); err == nil {
		t.Error("Renewed makes a snapshot that nobody observes")
	}
	if _, err := x.WithBundles(t.Context(), snapshot.Options{}); err == nil {
		t.Error("WithBundles makes a snapshot that nobody observes")
	}
	if x.Shadow() != nil {
		t.Error("there is a shadow of no candidate")
	}
}

// What was counted of a candidate stays counted as long as it is the same.
func TestTallyOutlivesAReload(t *testing.T) {
	dir := folder(t, map[string]string{"p/p.rego": open, "c/c.rego": closed, "d/d.rego": open})
	settings := func(candidate string) config.Config {
		return configured(t, dir, "policy: { paths: ["+filepath.Join(dir, "p")+"], candidate: { paths: ["+filepath.Join(
			dir, candidate)+"] } }\n")
	}
	build := func(candidate string, previous *snapshot.Snapshot) *snapshot.Snapshot {
		t.Helper()
		x, err := snapshot.New(t.Context(), settings(candidate), snapshot.Options{Observe: snapshot.Unobserved,
			Previous: previous})
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	first := build("c", nil)
	same, other := build("c", first), build("d", first)
	if same.Shadow().Tally() != first.Shadow().Tally() {
		t.Error("a reload forgets what was counted")
	}
	if other.Shadow().Tally() == first.Shadow().Tally() {
		t.Error("another candidate is counted with the one before")
	}
}
