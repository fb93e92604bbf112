package validation

import (
	"fmt"
	"slices"
	"time"

	"github.com/stepward/stepward/pkg/author/proxy"
	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/engine/opaenvoy"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/run/rehearsal"
)

// serviceOf says what c and its policy need from a proxy.
func serviceOf(c config.Config, p authz.Policy) (proxy.Service, error) {
	ladder, err := c.Ladder()
	if err != nil {
		return proxy.Service{}, err
	}
	var routes []string
	var reads [][]string
	switch p := p.(type) {
	case *rego.Policy:
		a, err := rehearsal.Analyse(c, c.Policy.Paths)
		if err != nil {
			return proxy.Service{}, err
		}
		routes, reads = p.Routes(), a.Reads()
	case *opaenvoy.Policy:
		reads = p.Reads()
	}
	return proxy.Service{
		Listen: c.Listen, TLS: c.TLS.CertFile != "", ClientCertificate: c.TLS.ClientCAFile != "",
		Deadline: time.Duration(c.Limits.Deadline), TrustedHops: c.Request.TrustedHops,
		HeaderPrefix: c.Upstream.HeaderPrefix, Headers: p.Traits().RequestHeaders, Reads: reads,
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
