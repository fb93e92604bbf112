package conformance_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stepward/stepward/envoy"
	"github.com/stepward/stepward/pkg/run/conformance"
	"github.com/stepward/stepward/pkg/stepup"
)

func suite(t *testing.T) conformance.Suite {
	t.Helper()
	s, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Cases) < 150 {
		t.Fatalf("%d cases", len(s.Cases))
	}
	return s
}

func rig(t *testing.T, s conformance.Suite) *conformance.Rig {
	t.Helper()
	r, err := conformance.NewRig(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func envoyDriver(t *testing.T, r *conformance.Rig) conformance.Driver {
	t.Helper()
	path, err := envoy.Get(t.Context(), "", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	d, err := conformance.ThroughEnvoy(r, path)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// run makes a test of each case. atLeast is how many the driver must reach.
func run(t *testing.T, s conformance.Suite, d conformance.Driver, atLeast int) {
	defer d.Close()
	reached := 0
	for _, c := range s.Cases {
		t.Run(c.ID, func(t *testing.T) {
			r := conformance.RunCase(t.Context(), d, s, c)
			for _, p := range r.Problems {
				t.Errorf("%s (%s): %s", c.Title, c.Clause, p)
			}
			if r.Unreachable == "" {
				reached++
			}
		})
	}
	if reached < atLeast {
		t.Errorf("only %d cases reached", reached)
	}
}

func TestInProcess(t *testing.T) {
	s := suite(t)
	run(t, s, conformance.InProcess(rig(t, s)), len(s.Cases))
}

func TestOverGRPC(t *testing.T) {
	s := suite(t)
	run(t, s, conformance.OverGRPC(rig(t, s), ""), len(s.Cases)-6)
}

func TestThroughEnvoy(t *testing.T) {
	s := suite(t)
	run(t, s, envoyDriver(t, rig(t, s)), len(s.Cases)-32)
}

// A reason without a case is a reason that nobody has seen.
func TestEveryReasonHasACase(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range suite(t).Cases {
		seen[c.Expect.Reason] = true
	}
	for _, r := range stepup.Reasons() {
		if !seen[string(r)] {
			t.Errorf("no case for %s", r)
		}
	}
}

func TestEveryRuleHasACase(t *testing.T) {
	s := suite(t)
	for id := range s.Rules {
		if !slices.ContainsFunc(s.Cases, func(c conformance.Case) bool { return slices.Contains(c.Rules, id) }) {
			t.Errorf("no case shows %s", id)
		}
	}
}

// Who asks × what they have, through the real Envoy: what the service is for.
func TestWhoAsksAndHas(t *testing.T) {
	s := suite(t)
	d := envoyDriver(t, rig(t, s))
	defer d.Close()
	for name, id := range map[string]string{
		"a browser that has enough is let in with identity headers":     "browser-public",
		"a browser that has nothing is sent to the identity provider":   "browser-nothing",
		"a browser that has too little is sent with what is required":   "browser-stop-sign",
		"an API client that has enough is let in with identity headers": "identity-all",
		"an API client that has too little gets the step-up challenge":  "level-short",
		"an API client that has nothing gets a plain challenge":         "nothing",
		"fetch that has nothing gets a plain challenge":                 "browser-fetch",
		"a gRPC client that has too little gets a challenge":            "grpc-short",
		"a WebSocket that has nothing gets a challenge":                 "browser-websocket",
		"anyone the policy refuses gets a reason":                       "denied",
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			i := slices.IndexFunc(s.Cases, func(c conformance.Case) bool { return c.ID == id })
			if i < 0 {
				t.Fatalf("no case %s", id)
			}
			if r := conformance.RunCase(t.Context(), d, s, s.Cases[i]); !r.Passed {
				t.Errorf("%s %q", r.Unreachable, r.Problems)
			}
		})
	}
}

// A fixture that was written serves the cases when it is opened again.
func TestFixtureFolder(t *testing.T) {
	s := suite(t)
	dir := t.TempDir()
	if err := conformance.WriteFixture(s, dir); err != nil {
		t.Fatal(err)
	}
	r, err := conformance.OpenFixture(s, dir)
	if err != nil {
		t.Fatal(err)
	}
	d := conformance.InProcess(r)
	defer d.Close()
	for _, c := range s.Cases[:3] {
		if res := conformance.RunCase(t.Context(), d, s, c); !res.Passed {
			t.Errorf("%s: %q", c.ID, res.Problems)
		}
	}
	if _, err := conformance.OpenFixture(s, t.TempDir()); err == nil {
		t.Error("an empty folder is a fixture")
	}
}
