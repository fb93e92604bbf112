package server_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/stepward/stepward/pkg/author/scenario"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/pkg/internal/wait"
	"github.com/stepward/stepward/pkg/response"
	"github.com/stepward/stepward/pkg/run/snapshot"
	"github.com/stepward/stepward/policies"
)

// Whatever a policy does, nobody is let in by it, the refusal names the reason, and the
// next request under a good policy is decided as ever.
func TestHostilePolicies(t *testing.T) {
	t.Parallel()
	archive, err := txtar.ParseFile(filepath.Join("testdata", "hostile-policies.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	if len(archive.Files) < 60 {
		t.Fatalf("%d policies", len(archive.Files))
	}
	c, err := config.Parse("stepward.yaml", []byte(`
issuers: [{ name: corp, issuer: "https://idp.example.com", audiences: [api] }]
levels: [{ name: password, acr: ["1"] }, { name: mfa, acr: ["2"] }, { name: phishing-resistant, acr: [phr] }]
policy: { default: true }
`), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ladder, err := c.Ladder()
	if err != nil {
		t.Fatal(err)
	}
	open := func(text []byte, limit time.Duration) (*scenario.Stage, error) {
		library, err := rego.FromFS(policies.Library())
		if err != nil {
			t.Fatal(err)
		}
		p, err := rego.Load(t.Context(), append(library, rego.Source{Name: "p.rego", Text: text}),
			rego.Options{Ladder: ladder, Timeout: limit})
		if err != nil {
			return nil, err
		}
		a, err := snapshot.NewAuthorizer(c, nil, p)
		if err != nil {
			t.Fatal(err)
		}
		return scenario.NewStage(a, c), nil
	}
	good, err := open([]byte("package stepward.policy\nimport rego.v2\nrequire contains {\"level\": \"mfa\"}\n"),
		wait.Bound)
	if err != nil {
		t.Fatal(err)
	}
	unaffected := func(name string) {
		t.Helper()
		for level, want := range map[string]string{"mfa": "ok", "password": "insufficient_level"} {
			r, err := good.Decide(t.Context(), scenario.Scenario{Path: "/x", Token: map[string]any{"level": level}})
			if err != nil || string(r.Reason()) != want {
				t.Errorf("after %s: %s, %v; want %s", name, r.Reason(), err, want)
			}
		}
	}
	for _, f := range archive.Files {
		t.Run(f.Name, func(t *testing.T) {
			line, text, _ := bytes.Cut(f.Data, []byte("\n"))
			want := strings.TrimPrefix(string(line), "# ")
			limit := wait.Bound
			if want == "policy_timeout" {
				limit = 300 * time.Millisecond
			}
			stage, err := open(text, limit)
			if code, refused := strings.CutPrefix(want, "load "); refused {
				var list finding.List
				if !errors.As(err, &list) || list[0].Code != code || list[0].Line < 1 {
					t.Errorf("loads as %v; want %s", err, code)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, token := range []map[string]any{{"level": "phishing-resistant"}, {"sub": "alice", "level": "mfa"}} {
				r, err := stage.Decide(t.Context(), scenario.Scenario{Path: "/x", Token: token})
				if err != nil || string(r.Reason()) != want || (r.Response.Kind == response.Allow) {
					t.Errorf("%s, allowed %t, %v, %v; want %s", r.Reason(), (r.Response.Kind == response.Allow),
						r.Fault, err, want)
				}
			}
			unaffected(f.Name)
		})
	}
}

// TestAbandonedMemory: four evaluations that were given up, and allocate until they
// notice, do not take the process with them.
func TestAbandonedMemory(t *testing.T) {
	const greedy = `package stepward.policy
import rego.v2
require contains {"level": "authenticated"}
deny contains {"code": "x"} if count({sprintf("%d-%d", [a, b]) | some a in numbers.range(1, 3000); some b in numbers.range(1, 3000)}) == 0
`
	c, err := config.Parse("stepward.yaml",
		[]byte(
			"issuers: [{ name: corp, issuer: \"https://idp.example.com\", audiences: [api] }]\npolicy: { default: true }\n"), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := rego.Load(t.Context(), []rego.Source{{Name: "p.rego", Text: []byte(greedy)}}, rego.Options{Timeout: 50 * time.Millisecond}) // clock: this is to be too short
	if err != nil {
		t.Fatal(err)
	}
	a, err := snapshot.NewAuthorizer(c, nil, p)
	if err != nil {
		t.Fatal(err)
	}
	stage := scenario.NewStage(a, c)
	debug.FreeOSMemory()
	idle, running := resident(t), runtime.NumGoroutine()
	for range 4 {
		if r, err := stage.Decide(t.Context(), scenario.Scenario{Path: "/x", Token: map[string]any{}}); err != nil ||
			r.Reason() != "policy_timeout" {
			t.Fatalf("%s, %v", r.Reason(), err)
		}
	}
	highest := resident(t)
	wait.Until(t, "they end", func() bool {
		highest = max(highest, resident(t))
		return runtime.NumGoroutine() <= running
	})
	if highest > idle+512<<20 {
		t.Errorf("%d MiB more than idle", (highest-idle)>>20)
	}
}

// resident returns the memory of this process that is in use, in bytes.
func resident(t *testing.T) uint64 {
	t.Helper()
	if text, err := os.ReadFile("/proc/self/statm"); err == nil {
		fields := strings.Fields(string(text))
		var pages uint64
		for _, c := range fields[1] {
			pages = pages*10 + uint64(c-'0')
		}
		return pages * uint64(os.Getpagesize())
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Sys
}
