package proxy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/author/proxy"
	"github.com/stepward/stepward/pkg/internal/golden"
)

// TestReferenceEnvoy keeps docs/reference/envoy.md in step with the rules.
func TestReferenceEnvoy(t *testing.T) {
	var b strings.Builder
	b.WriteString(`# What is found in configurations of Envoy and of what configures it

Written by ` + "`make docs`" + ` from the rules of ` + "`stepward validate -c stepward.yaml --envoy FILE`" + `.
What fails open or breaks makes the exit code 1; the rest is a warning. Each code has
broken files beside their good twins in ` + "`pkg/author/proxy/testdata/broken.txtar`" + `.

| code | | what is wrong | what comes of it | what to do |
|---|---|---|---|---|
`)
	seen := map[string]bool{}
	for _, r := range proxy.Rules() {
		if seen[r.Code] {
			t.Errorf("%s stands twice", r.Code)
		}
		seen[r.Code] = true
		grade := "warning"
		if r.Refused {
			grade = "**refused**"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", r.Code, grade, r.What, r.Why, r.Instead)
	}
	golden.Check(t, "../../../docs/reference/envoy.md", b.String())
}
