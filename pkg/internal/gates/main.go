// Command gates runs the checks that a change must pass, one after another even if one
// fails, and sums up what passed, what failed, what was left out, and how long each took.
// The Makefile calls it: `make unit`, `make test`, `make test-all`.
//
// There is one switch for tests: `go test -short` leaves out tests that take long or need
// Node, a JDK or Chromium. `make unit` and `make test` set it, `make test-all` does not.
// With CI=true a test fails if such a tool is missing.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"time"
)

// step is a command, and the text shown before it runs.
type step struct {
	name  string
	says  string
	dir   string
	argv  []string
	tests bool // it is `go test`, whose events are counted
}

// slow lists the packages that start Envoy, browsers, providers or whole services. They are
// too slow for the half-minute loop.
var slow = []string{
	"cmd/stepward", "examples", "envoy", "pkg/run/server", "pkg/run/conformance", "pkg/run/demo",
	"pkg/author/analysis", "pkg/author/playground", "pkg/author/scenario", "pkg/engine/rego", "pkg/trust/jwt",
	"pkg/internal/golden",
}

// plans lists the steps of each target.
var plans = map[string][]step{
	"unit": {
		{name: "unit tests", says: "fast packages", tests: true, argv: []string{"bash", "-c",
			"go test -short -json $(go list ./... | grep -vE '/(" + strings.Join(slow, "|") + ")$')"}},
	},
	"test": {
		{name: "build", says: "compiles bin/stepward: two minutes the first time, then seconds", argv: []string{
			"make", "build"}},
		{
			name: "tests",
			says: "unit tests, and tests with the real Envoy: two to four minutes, on a cold machine twice that",
			argv: []string{"go", "test", "-short", "-json", "-parallel", "8", "-timeout", "20m", "./..."}, tests: true},
		{name: "policies", argv: []string{"bin/stepward", "test"}},
		{name: "conformance", says: "every case through the real Envoy", argv: []string{"bin/stepward", "conformance",
			"--envoy"}},
		{name: "demo", argv: []string{"bin/stepward", "demo", "--once"}},
	},
	"all": {
		{name: "build", says: "compiles bin/stepward: two minutes the first time, then seconds", argv: []string{
			"make", "build"}},
		{name: "producers", says: "installs libraries that make tokens (npm, pip)", argv: []string{
			"make", "producers"}},
		{name: "providers", says: "installs Keycloak and oidc-provider (mvn, npm)", argv: []string{
			"make", "providers"}},
		{name: "browser", says: "installs axe-core, and Chromium where it may", argv: []string{"make", "browser"}},
		{name: "tests", says: "every test, with the race detector: ten to twenty minutes", argv: []string{
			"go", "test", "-race", "-json", "-parallel", "8", "-timeout", "30m", "./..."}, tests: true},
		{
			name: "manifests",
			says: "envoy/ against Envoy Gateway, Istio, Helm and Kubernetes: up to six minutes the first time",
			dir:  "envoy/validate", argv: []string{"go", "test", "-json", "-timeout", "30m", "./..."}, tests: true},
		{name: "release", says: "the binaries, image and chart of a release", dir: "pkg/internal/release",
			argv: []string{"go", "test", "-json", "-timeout", "30m", "./..."}, tests: true},
		{name: "policies", argv: []string{"bin/stepward", "test"}},
		{name: "fuzz", says: "every target for some seconds", argv: []string{"make", "fuzz"}},
		{name: "conformance", says: "every case through the real Envoy", argv: []string{"bin/stepward", "conformance",
			"--envoy"}},
		{name: "demo", argv: []string{"bin/stepward", "demo", "--once"}},
	},
}

// leftOut says what a target leaves out, and which target runs it.
var leftOut = map[string]string{
	"unit": "packages that start servers, Envoy or a browser: `make test`",
	"test": "the race detector, fuzzing, long cases, manifests (envoy/validate), and what needs " +
		"Node, a JDK or Chromium (providers, producers, browser): `make test-all`; soak: `make soak`",
	"all": "soak: `make soak`; planted bugs: `make mutants`",
}

func main() { os.Exit(run(os.Args[1:], os.Stdout)) }

func run(args []string, out io.Writer) int {
	if len(args) != 1 || plans[args[0]] == nil {
		fmt.Fprintln(os.Stderr, "usage: gates unit|test|all")
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	return carryOut(ctx, plans[args[0]], leftOut[args[0]], out)
}

// carryOut runs steps, says how they went, and returns the exit status.
func carryOut(ctx context.Context, steps []step, left string, out io.Writer) int {
	var all counts
	var summary strings.Builder
	for _, s := range steps {
		if ctx.Err() != nil {
			break
		}
		fmt.Fprintf(out, "\n== %s%s\n", s.name, strings.TrimSuffix(": "+s.says, ": "))
		begin := time.Now()
		c := s.run(ctx, out)
		result := "passed"
		if c.failed > 0 {
			result = "FAILED"
		}
		fmt.Fprintf(&summary, "  %-12s %-7s %7s", s.name, result, time.Since(begin).Round(time.Second))
		if s.tests {
			fmt.Fprintf(&summary, "  %d passed, %d failed, %d left out", c.passed, c.failed, c.skipped)
		}
		fmt.Fprintln(&summary)
		all.add(c)
	}
	fmt.Fprintf(out, "\n== summary\n%s\nleft out: %s\n%d passed, %d failed, %d skipped\n", summary.String(), left,
		all.passed, all.failed, all.skipped)
	if all.failed > 0 || ctx.Err() != nil {
		return 1
	}
	return 0
}

// counts holds numbers of tests; a step that is not `go test` counts as one.
type counts struct{ passed, failed, skipped int }

func (c *counts) add(d counts) {
	c.passed, c.failed, c.skipped = c.passed+d.passed, c.failed+d.failed, c.skipped+d.skipped
}

func (s step) run(ctx context.Context, out io.Writer) counts {
	cmd := exec.CommandContext(ctx, s.argv[0], s.argv[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Dir, cmd.Stderr = s.dir, out
	if !s.tests {
		cmd.Stdout = out
		if err := cmd.Run(); err != nil {
			fmt.Fprintf(out, "%s: %v\n", strings.Join(s.argv, " "), err)
			return counts{failed: 1}
		}
		return counts{passed: 1}
	}
	events, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(out, err)
		return counts{failed: 1}
	}
	c := read(events, out)
	if err := cmd.Wait(); err != nil && c.failed == 0 {
		fmt.Fprintf(out, "%s: %v\n", strings.Join(s.argv, " "), err)
		c.failed = 1
	}
	return c
}
