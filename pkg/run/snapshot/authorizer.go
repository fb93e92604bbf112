package snapshot

import (
	"crypto/rand"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/response"
	"github.com/stepward/stepward/pkg/trust/jwt"
)

// NewAuthorizer makes an authorizer that decides by c, with a given verifier and policy. It
// reads no file, and nobody observes it: it is for commands and tests.
func NewAuthorizer(c config.Config, v authz.Verifier, p authz.Policy) (*authz.Authorizer, error) {
	ladder, err := c.Ladder()
	if err != nil {
		return nil, err
	}
	ladders, err := c.Ladders()
	if err != nil {
		return nil, err
	}
	answers, err := answers(c)
	if err != nil {
		return nil, err
	}
	if len(c.Issuers) == 1 { // we ask a caller who is not signed in in the words of the only issuer
		if own, ok := ladders[c.Issuers[0].Name]; ok {
			ladder = own
		}
	}
	return &authz.Authorizer{
		Normalize: normalization(c.Request, c.Limits), Verifier: v, Policy: p, Ladder: ladder, Ladders: ladders,
		Answers: answers, Deadline: time.Duration(c.Limits.Deadline), Now: time.Now, Rand: rand.Reader,
	}, nil
}

// normalization says how requests are read.
func normalization(c config.Request, l config.Limits) request.Options {
	o := request.Options{
		FoldPathCase: c.PathCase == "fold", TrustedHops: c.TrustedHops, CertificateHop: c.XFCC,
		MaxPath: int(l.Path), MaxSegments: l.Segments, MaxQuery: int(l.Query), MaxParameters: l.QueryParameters,
		MaxHeaders: int(l.Headers), MaxLines: l.HeaderLines,
	}
	for _, name := range c.Allow {
		o.Allow(name) // the check of the configuration has refused unknown names
	}
	return o
}

// answers says how decisions are worded.
func answers(c config.Config) (authz.Answers, error) {
	hidden := c.Challenge.Disclose == "none"
	login, err := loginRedirect(c)
	if err != nil {
		return authz.Answers{}, err
	}
	return authz.Answers{
		DPoPAlgorithms:      proofAlgorithms(c.Issuers),
		Names:               response.NewNames(c.Upstream.HeaderPrefix),
		RemoveAuthorization: c.Upstream.Authorization == "remove",
		Realm:               c.Challenge.Realm, ResourceMetadata: c.Challenge.ResourceMetadata,
		HideRequirements: hidden,
		FaultStatus:      c.Errors.Status, CORS: authz.CORS{Origins: c.CORS.Origins, AllowHeaders: c.CORS.AllowHeaders},
		Login: login,
	}, nil
}

// loginRedirect says where browsers are sent to log in, with nothing sealed.
func loginRedirect(c config.Config) (authz.LoginRedirect, error) {
	hidden := c.Challenge.Disclose == "none" || c.LoginRedirect.SealingKeysFile != ""
	login := authz.LoginRedirect{Hosts: c.LoginRedirect.Hosts, Hide: hidden}
	if c.LoginRedirect.URL == "" {
		return login, nil
	}
	u, err := url.Parse(c.LoginRedirect.URL)
	if err != nil {
		return authz.LoginRedirect{}, fmt.Errorf("login_redirect.url: %w", err)
	}
	login.URL = u
	return login, nil
}

// proofAlgorithms lists the algorithms of DPoP proofs that any issuer accepts, without
// duplicates.
func proofAlgorithms(issuers []config.Issuer) []string {
	var all []string
	for _, i := range issuers {
		if len(i.DPoP.Origins) == 0 {
			continue
		}
		algorithms := i.DPoP.Algorithms
		if len(algorithms) == 0 {
			algorithms = jwt.DefaultProofAlgorithms
		}
		for _, a := range algorithms {
			if !slices.Contains(all, a) {
				all = append(all, a)
			}
		}
	}
	return all
}
