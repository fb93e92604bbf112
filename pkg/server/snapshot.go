package server

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/extauthz"
	"github.com/stepward/stepward/pkg/jwt"
	"github.com/stepward/stepward/pkg/keyset"
	"github.com/stepward/stepward/pkg/outbound"
	"github.com/stepward/stepward/pkg/rego"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/revocation"
	"github.com/stepward/stepward/pkg/shadow"
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

	replays map[string]*jwt.MemoryReplays // of DPoP proofs, by issuer
	caller  caller
}

// SnapshotOptions are what is not configuration.
type SnapshotOptions struct {
	Client  *outbound.Client // for issuers; nil means one as the configuration says
	Now     func() time.Time // nil means time.Now
	OnFetch func(issuerName string, f keyset.Fetch)
	// OnAnswer is told of each call for introspection.
	OnAnswer func(issuerName string, active bool, err error)
	Gate     *authz.Gate // nil admits everything
	// Revocations are consulted on every request; nil means that nothing is revoked.
	Revocations *revocation.Index
	// Previous is the snapshot that this one is to replace. Keys that both fetch
	// are fetched once, and are there at once.
	Previous *Snapshot
}

// NewSnapshot makes a snapshot of c, which [config.Load] has checked. It reads
// the policy and key files, and reaches out to nobody: see [Snapshot.Run].
//
// An error of the policy is a [finding.List].
func NewSnapshot(ctx context.Context, c config.Config, o SnapshotOptions) (*Snapshot, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
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
	options := rego.Options{Ladder: ladder, HeaderPrefix: c.Upstream.HeaderPrefix, Timeout: time.Duration(c.Policy.Timeout)}
	policy, err := LoadPolicy(ctx, c, options, o.Now)
	if err != nil {
		return nil, err
	}
	candidate, err := candidate(ctx, c, options)
	if err != nil {
		return nil, err
	}
	listener, err := newTLS(c.TLS)
	if err != nil {
		return nil, err
	}
	a, err := NewAuthorizer(c, verifier, policy)
	if err != nil {
		return nil, err
	}
	a.Gate, a.Now = o.Gate, o.Now
	return &Snapshot{Config: c, Keys: keys, TLS: listener, Candidate: candidate, replays: replays, caller: out, Authorizer: a}, nil
}

func load(ctx context.Context, paths []string, o rego.Options) (*rego.Policy, error) {
	sources, err := Sources(paths)
	if err != nil {
		return nil, err
	}
	return rego.Load(ctx, sources, o)
}

// candidate is the policy that decides nothing, or nil. One evaluation that runs on after
// its time is enough of it.
func candidate(ctx context.Context, c config.Config, o rego.Options) (authz.Policy, error) {
	if len(c.Policy.Candidate.Paths) == 0 {
		return nil, nil
	}
	o.MaxAbandoned = 1
	p, err := load(ctx, c.Policy.Candidate.Paths, o)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// LoadPolicy loads the policy of c, of the kind that it says. now is the clock that one of
// opa-envoy-plugin may read; nil means time.Now. An error of the policy is a
// [finding.List].
func LoadPolicy(ctx context.Context, c config.Config, o rego.Options, now func() time.Time) (authz.Policy, error) {
	if c.Policy.Compat == config.OPAEnvoy {
		sources, err := rego.FromPaths(c.Policy.Paths)
		if err != nil {
			return nil, err
		}
		compat, err := Compat(c, o)
		if err != nil {
			return nil, err
		}
		compat.Now = now
		return rego.LoadCompat(ctx, sources, compat)
	}
	return load(ctx, c.Policy.Paths, o)
}

// Compat is what a policy of opa-envoy-plugin is loaded with under c.
func Compat(c config.Config, o rego.Options) (rego.CompatOptions, error) {
	options := rego.CompatOptions{Options: o, Path: c.Policy.Path, Body: request.BodyDecoding{Skip: c.Policy.SkipBody}, Network: c.Policy.Network}
	if c.Policy.ProtoDescriptor == "" {
		return options, nil
	}
	text, err := os.ReadFile(c.Policy.ProtoDescriptor)
	if err == nil {
		options.Body.Message, err = extauthz.Messages(text)
	}
	if err != nil {
		err = fmt.Errorf("policy.proto_descriptor: %w", err)
	}
	return options, err
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
func Sources(paths []string) ([]rego.Source, error) {
	library, err := rego.FromFS(policies.Library())
	if err != nil {
		return nil, err
	}
	var own []rego.Source
	if len(paths) == 0 {
		own, err = rego.FromFS(policies.Default())
	} else {
		own, err = rego.FromPaths(paths)
	}
	return append(own, library...), err
}

func normalization(c config.Config) request.Options {
	allows := func(name string) bool { return slices.Contains(c.Request.Allow, name) }
	return request.Options{
		AllowPathParameters: allows("path_parameters"), AllowEmptySegments: allows("empty_segments"),
		AllowMethodOverride: allows("method_override"), AllowURLOverride: allows("url_override"),
		FoldPathCase: c.Request.PathCase == "fold", TrustedHops: c.Request.TrustedHops, CertificateHop: c.Request.XFCC,
		MaxPath: int(c.Limits.Path), MaxHeaders: int(c.Limits.Headers),
	}
}

func answers(c config.Config) (authz.Answers, error) {
	login := authz.Login{Hosts: c.LoginRedirect.Hosts}
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
		Realm: c.Challenge.Realm, ResourceMetadata: c.Challenge.ResourceMetadata, HideRequirements: c.Challenge.Disclose == "none",
		FaultStatus: c.Errors.Status, CORS: authz.CORS{Origins: c.CORS.Origins, AllowHeaders: c.CORS.AllowHeaders}, Login: login,
	}, nil
}

// Waiting lists the issuers whose keys readiness still waits for.
func (s *Snapshot) Waiting() []string {
	var names []string
	for _, k := range s.Keys {
		if !k.Optional && !k.Source.Loaded() {
			names = append(names, k.Name)
		}
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
