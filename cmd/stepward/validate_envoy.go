package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stepward/stepward/pkg/author/analysis"
	"github.com/stepward/stepward/pkg/author/proxy"
	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/request"
)

// proxies looks over the configurations of proxies that the flags name, for what c and
// its policy need of them.
func (f *validateFlags) proxies(cmd *cobra.Command, v *validated, c config.Config, p authz.Policy) error {
	v.rule = proxy.MutationRule(c.Upstream.HeaderPrefix, p.Traits().RequestHeaders)
	if len(f.envoys) == 0 {
		return nil
	}
	s, err := serviceOf(c, p)
	if err != nil {
		return err
	}
	var files []proxy.File
	for _, name := range f.envoys {
		text, err := readFile(cmd, name)
		if err != nil {
			return usage(err)
		}
		files = append(files, proxy.File{Name: name, Text: text})
	}
	v.name += " with " + strings.Join(f.envoys, ", ")
	findings, warnings := proxy.Check(files, s)
	v.findings, v.warnings = append(v.findings, findings...), append(v.warnings, warnings...)
	return nil
}

// serviceOf is what c and its policy need of a proxy.
func serviceOf(c config.Config, p authz.Policy) (proxy.Service, error) {
	ladder, err := c.Ladder()
	if err != nil {
		return proxy.Service{}, usage(err)
	}
	var routes []string
	var reads [][]string
	switch p := p.(type) {
	case *rego.Policy:
		a, err := analyse(c)
		if err != nil {
			return proxy.Service{}, err
		}
		routes, reads = p.Routes(), a.Reads()
	case *rego.CompatPolicy:
		reads = p.Reads()
	}
	return proxy.Service{
		Listen: c.Listen, TLS: c.TLS.CertFile != "", ClientCertificate: c.TLS.ClientCAFile != "",
		Deadline:    time.Duration(c.Limits.Deadline),
		TrustedHops: c.Request.TrustedHops, HeaderPrefix: c.Upstream.HeaderPrefix, Headers: p.Traits().RequestHeaders,
		Reads: reads,
		Route: func(r request.Route) error {
			_, packages, err := policy.Floors(r, ladder)
			for _, name := range packages {
				if err == nil && !slices.Contains(routes, name) {
					err = fmt.Errorf("no package stepward.route.%s", name)
				}
			}
			return err
		},
	}, nil
}

// analyse makes an analysis of the policy of c.
func analyse(c config.Config) (*analysis.Analysis, error) {
	sources, options, err := policySources(c, c.Policy.Paths)
	if err != nil {
		return nil, err
	}
	a, err := analysis.Load(sources, options)
	return a, policyRefused(err)
}
