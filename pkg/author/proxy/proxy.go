// Package proxy examines the configuration of the proxy in front: Envoy configurations and
// dumps, Istio mesh configurations and authorization policies, Envoy Gateway security
// policies, Contour HTTPProxies and Gateway API routes. Stepward can refuse only requests
// that it is asked about, and only if its answer is honoured. [Check] finds what stands in
// the way of that.
//
// Each kind of problem is a [Rule] with its own code. An exam reads the files (exam.go,
// envoy.go, strict.go) and applies tables of rules: for the place that asks (ask_rules.go),
// for Envoy's connection managers and clusters, for the path of the call (hop.go), and for
// the objects of controllers. [MutationRule] writes the header mutation rule that a policy
// needs.
package proxy

import (
	"slices"
	"time"

	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/pkg/request"
)

// Service describes the Stepward to ask: what its configuration and its policy need from
// the proxy.
type Service struct {
	Listen            string        // host:port, or unix:///path
	TLS               bool          // of the listener
	ClientCertificate bool          // callers must bring one
	Deadline          time.Duration // of a decision
	TrustedHops       int           // proxies in front of Envoy
	HeaderPrefix      string        // of identity headers; ends with -
	Headers           []string      // that the policy may set on requests
	Reads             [][]string    // members of the input that the policy looks at
	// Route returns an error if we do not understand what a route asks for (context
	// extensions, metadata).
	Route func(request.Route) error
}

// reads reports whether the policy looks at a member of the input, or below it.
func (s Service) reads(path ...string) bool {
	for _, r := range s.Reads {
		if len(r) >= len(path) && slices.Equal(r[:len(path)], path) {
			return true
		}
	}
	return false
}

// File is a file to examine.
type File struct {
	Name string
	Text []byte
}

// Rule describes a kind of problem.
type Rule struct {
	Code    string // of its findings
	Refused bool   // it fails open or breaks; otherwise it is a warning
	What    string // what is wrong
	Why     string // its consequence
	Instead string // what to write
}

// Check examines files that belong together. Rules that fail open or break give findings,
// and the others give warnings.
func Check(files []File, s Service) (findings, warnings finding.List) {
	x := &exam{service: s}
	for _, f := range files {
		x.read(f)
	}
	x.look()
	for _, f := range x.found.Tidy() {
		if f.Severity == finding.Warning {
			warnings = append(warnings, f)
		} else {
			findings = append(findings, f)
		}
	}
	return findings, warnings
}

// Rules lists every kind of problem, in the order in which Check looks for them.
func Rules() []Rule {
	var all []Rule
	all = append(all, fileRules...)
	for _, r := range askRules {
		all = append(all, r.Rule)
	}
	for _, r := range managerRules {
		all = append(all, r.Rule)
	}
	for _, r := range clusterRules {
		all = append(all, r.Rule)
	}
	for _, r := range hopRules {
		all = append(all, r.Rule)
	}
	for _, r := range meshRules {
		all = append(all, r.Rule)
	}
	for _, r := range gatewayRules {
		all = append(all, r.Rule)
	}
	return all
}
