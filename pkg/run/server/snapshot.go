package server

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/rollout/bundle"
	"github.com/stepward/stepward/pkg/rollout/shadow"
	"github.com/stepward/stepward/pkg/trust/jwt"
	"github.com/stepward/stepward/pkg/trust/keyset"
	"github.com/stepward/stepward/pkg/trust/outbound"
	"github.com/stepward/stepward/pkg/trust/revocation"
	"github.com/stepward/stepward/policies"
)

// Snapshot is everything of one configuration: the authorizer that it makes, the
// key sets that it needs, and the TLS side of the listener.
type Snapshot struct {
	Config     config.Config
	Authorizer *authz.Authorizer
	Keys       []Keys
	TLS        *tls.Config  // nil without TLS
	Candidate  authz.Policy // asked beside the enforced policy; nil without one

	shadow *shadow.Runner // of the candidate; nil without one

	replays map[string]*jwt.MemoryReplays // of DPoP proofs, by the issuer's URL
	caller  caller
	policy  loaded
}

// SnapshotOptions are what is not configuration.
type SnapshotOptions struct {
	// Look is what files are read by; nil means a look of its own. Where it is sealed, all
	// that it has read is there: see [Read].
	Look    *files.Look
	Client  *outbound.Client // for issuers; nil means one as the configuration says
	Now     func() time.Time // nil means time.Now
	OnFetch func(issuerName string, f keyset.Fetch)
	// OnAnswer is told of each call for introspection.
	OnAnswer func(issuerName string, active bool, err error)
	Gate     *authz.Gate // nil admits everything
	// InsecureOrigin is [authz.Login.InsecureOrigin], for a demonstration; a service leaves it nil.
	InsecureOrigin func(host string) string
	// Revocations are consulted on every request; nil means that nothing is revoked.
	Revocations *revocation.Index
	// Bundles are what has come from bundle servers; nil means nothing yet.
	Bundles *bundle.Set
	// Confirmed is when the server of a bundle last said what it should be; nil means
	// never.
	Confirmed func(bundle string) time.Time
	// Taken reports whether a bundle's revision is the name of other sources already; nil
	// means that none is.
	Taken func(revision, hash string) bool
	// Previous is the snapshot that this one is to replace. Keys that both fetch
	// are fetched once, and are there at once.
	Previous *Snapshot
}

func (o SnapshotOptions) withDefaults() SnapshotOptions {
	if o.Look == nil {
		o.Look = files.NewLook()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// NewSnapshot makes a snapshot of c, which [config.Load] has checked. It reads
// the policy and key files, and reaches out to nobody: see [Snapshot.Run].
//
// An error of the policy is a [finding.List].
func NewSnapshot(ctx context.Context, c config.Config, o SnapshotOptions) (*Snapshot, error) {
	o = o.withDefaults()
	ladder, err := c.Ladder()
	if err != nil {
		return nil, err
	}
	replays := replaysOf(c, o)
	out, err := newCaller(c, o)
	if err != nil {
		return nil, err
	}
	keys, verifier, err := issuers(c, o, out, replays)
	if err != nil {
		return nil, err
	}
	policy, err := loadPolicy(ctx, c, ladder, o)
	if err != nil {
		return nil, err
	}
	candidate, err := candidate(ctx, c, ladder, o)
	if err != nil {
		return nil, err
	}
	listener, err := newTLS(c.TLS, o.Look)
	if err != nil {
		return nil, err
	}
	a, err := NewAuthorizer(c, verifier, policy.Policy)
	if err != nil {
		return nil, err
	}
	if a.Answers.Login.Seal, err = newSealer(c.LoginRedirect, o); err != nil {
		return nil, err
	}
	a.Gate, a.Now, a.Answers.Login.InsecureOrigin = o.Gate, o.Now, o.InsecureOrigin
	return &Snapshot{Config: c, Keys: keys, TLS: listener, Candidate: candidate, replays: replays, caller: out,
		policy: policy, Authorizer: a}, nil
}

// NewAuthorizer decides by c, with a verifier and a policy that were made elsewhere. It
// reads no file.
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
	if len(c.Issuers) == 1 { // who is not signed in yet will be asked in the words of the only issuer
		if own, ok := ladders[c.Issuers[0].Name]; ok {
			ladder = own
		}
	}
	return &authz.Authorizer{
		Normalize: normalization(c), Verifier: v, Policy: p, Ladder: ladder, Ladders: ladders,
		Answers: answers, Deadline: time.Duration(c.Limits.Deadline), Now: time.Now, Rand: rand.Reader,
	}, nil
}

// Sources are the files of the policy at paths, or the shipped one where there
// are none, with the library beside it.
func Sources(paths []string) ([]rego.Source, error) { return sourcesOf(paths, files.NewLook()) }

func sourcesOf(paths []string, look *files.Look) ([]rego.Source, error) {
	library, err := rego.FromFS(policies.Library())
	if err != nil {
		return nil, err
	}
	var own []rego.Source
	if len(paths) == 0 {
		own, err = rego.FromFS(policies.Default())
	} else {
		own, err = rego.FromLook(look, paths)
	}
	return append(own, library...), err
}

func normalization(c config.Config) request.Options {
	o := request.Options{
		FoldPathCase: c.Request.PathCase == "fold", TrustedHops: c.Request.TrustedHops, CertificateHop: c.Request.XFCC,
		MaxPath: int(c.Limits.Path), MaxSegments: c.Limits.Segments, MaxQuery: int(c.Limits.Query),
		MaxParameters: c.Limits.QueryParameters,
		MaxHeaders:    int(c.Limits.Headers), MaxLines: c.Limits.HeaderLines,
	}
	for _, name := range c.Request.Allow {
		o.Allow(name) // that it is one was checked with the configuration
	}
	return o
}

func answers(c config.Config) (authz.Answers, error) {
	hidden := c.Challenge.Disclose == "none"
	login := authz.Login{Hosts: c.LoginRedirect.Hosts, Hide: hidden || c.LoginRedirect.SealingKeysFile != ""}
	if c.LoginRedirect.URL != "" {
		u, err := url.Parse(c.LoginRedirect.URL)
		if err != nil {
			return authz.Answers{}, fmt.Errorf("login_redirect.url: %w", err)
		}
		login.URL = u
	}
	var proofs []string
	for _, i := range c.Issuers {
		algorithms := i.DPoP.Algorithms
		if len(algorithms) == 0 {
			algorithms = jwt.DefaultProofAlgorithms
		}
		for _, a := range algorithms {
			if len(i.DPoP.Origins) > 0 && !slices.Contains(proofs, a) {
				proofs = append(proofs, a)
			}
		}
	}
	return authz.Answers{
		DPoPAlgorithms: proofs,
		HeaderPrefix:   c.Upstream.HeaderPrefix, RemoveAuthorization: c.Upstream.Authorization == "remove",
		Realm: c.Challenge.Realm, ResourceMetadata: c.Challenge.ResourceMetadata, HideRequirements: hidden,
		FaultStatus: c.Errors.Status, CORS: authz.CORS{Origins: c.CORS.Origins, AllowHeaders: c.CORS.AllowHeaders},
		Login: login,
	}, nil
}

// Waiting lists what readiness still waits for: keys of issuers, and bundles.
func (s *Snapshot) Waiting() []string {
	var names []string
	for _, k := range s.Keys {
		if !k.Optional && !k.Source.Loaded() {
			names = append(names, "keys of "+k.Name)
		}
	}
	for _, b := range s.policy.missing {
		names = append(names, "bundle "+b)
	}
	return names
}

// Run keeps the keys of every issuer fresh until ctx ends. A [Server] does so by
// itself.
func (s *Snapshot) Run(ctx context.Context) {
	ring := newKeyring(ctx)
	ring.start(s.Keys)
	<-ctx.Done()
	ring.retain()
}
