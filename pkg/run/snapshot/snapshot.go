package snapshot

import (
	"context"
	"crypto/tls"
	"errors"
	"time"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/rollout/bundle"
	"github.com/stepward/stepward/pkg/rollout/shadow"
	"github.com/stepward/stepward/pkg/trust/jwt"
	"github.com/stepward/stepward/pkg/trust/keyset"
	"github.com/stepward/stepward/pkg/trust/outbound"
	"github.com/stepward/stepward/pkg/trust/revocation"
)

// Snapshot holds everything made from one configuration. Nothing in it changes after that,
// except the parts that fetch keys and count.
type Snapshot struct {
	Config     config.Config
	Authorizer *authz.Authorizer
	Keys       []Keys
	TLS        *tls.Config  // nil without TLS
	Candidate  authz.Policy // asked in addition to the enforced policy; nil without one

	shadow *shadow.Runner // of the candidate; nil without one
	labels map[string]map[string]any

	replays map[string]*jwt.MemoryReplays // of DPoP proofs, by the issuer's URL
	caller  caller
	policy  sourced
}

// Options holds everything that is not configuration. Observe is required.
type Options struct {
	// Observe is called once with each decision and with the snapshot that made it, before
	// the answer is returned. It must not block. If nobody needs to see decisions, say so
	// with [Unobserved].
	Observe func(context.Context, *Snapshot, *authz.Record)
	// Shadow receives the results of comparing the candidate policy.
	Shadow ShadowEvents

	// Look reads files; nil means a new one. A sealed look has already read everything
	// needed: see [Read].
	Look    *files.Look
	Client  *outbound.Client // for issuers; nil means one made from the configuration
	Now     func() time.Time // nil means time.Now
	OnFetch func(issuerName string, f keyset.Fetch)
	// OnAnswer is called with each introspection call.
	OnAnswer func(issuerName string, active bool, err error)
	Gate     *authz.Gate // nil admits everything
	// InsecureOrigin is [authz.LoginRedirect.InsecureOrigin], for a demonstration; a service leaves it nil.
	InsecureOrigin func(host string) string
	// Revocations are consulted on every request; nil means that nothing is revoked.
	Revocations *revocation.Index
	// Bundles holds what has arrived from bundle servers; nil means nothing yet.
	Bundles *bundle.Set
	// Confirmed returns when the server of a bundle last said what it should be; nil means
	// never.
	Confirmed func(bundle string) time.Time
	// Taken reports whether a bundle's revision already names other sources; nil means that
	// none does.
	Taken func(revision, hash string) bool
	// Previous is the snapshot that this one will replace. Keys that both need are fetched
	// once, and are available at once.
	Previous *Snapshot
}

// Unobserved is the [Options.Observe] of snapshots that serve nobody, such as those of
// commands.
func Unobserved(context.Context, *Snapshot, *authz.Record) {}

// errUnobserved says what to do about a snapshot that nobody would see decide.
var errUnobserved = errors.New(
	"snapshot: Options.Observe is not set; a snapshot that serves nobody has Unobserved there")

// complete returns o with its defaults. It fails if Observe is missing.
func (o Options) complete() (Options, error) {
	if o.Observe == nil {
		return o, errUnobserved
	}
	return o.withDefaults(), nil
}

func (o Options) withDefaults() Options {
	if o.Look == nil {
		o.Look = files.NewLook()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// New makes a snapshot of c, which [config.Load] has checked. It reads the policy and key
// files, but makes no network calls: see [Snapshot.Run].
//
// An error in the policy is a [finding.List].
func New(ctx context.Context, c config.Config, o Options) (*Snapshot, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	terms, err := policyTermsOf(c)
	if err != nil {
		return nil, err
	}
	x := &Snapshot{Config: c, replays: replaysOf(c.Issuers, o)}
	calls := reachable(c.Outbound, c.Issuers)
	if x.caller, err = newCaller(calls, o); err != nil {
		return nil, err
	}
	trusted := trust{options: o, calls: calls, caller: x.caller, replays: x.replays}
	keys, verifier, err := trusted.issuers(c)
	if err != nil {
		return nil, err
	}
	x.Keys = keys
	if x.policy, err = terms.enforced(ctx, o); err != nil {
		return nil, err
	}
	if x.Candidate, err = terms.candidate(ctx, o); err != nil {
		return nil, err
	}
	if x.TLS, err = newTLS(c.TLS, o.Look); err != nil {
		return nil, err
	}
	a, err := NewAuthorizer(c, authz.Verifiers{credential.Bearer: verifier, credential.DPoP: verifier}, x.policy.Policy)
	if err != nil {
		return nil, err
	}
	if a.Answers.Login, err = newLogin(c, o); err != nil {
		return nil, err
	}
	a.Gate, a.Now = o.Gate, o.Now
	x.observed(a, x.tally(o.Previous), o)
	return x, nil
}

// Waiting lists what readiness still waits for: keys of issuers, and bundles.
func (x *Snapshot) Waiting() []string {
	var names []string
	for _, k := range x.Keys {
		if !k.Optional && !k.Source.Loaded() {
			names = append(names, "keys of "+k.Name)
		}
	}
	for _, b := range x.policy.missing {
		names = append(names, "bundle "+b)
	}
	return names
}

// Run keeps the keys of every issuer fresh until ctx ends. A server does so by itself.
func (x *Snapshot) Run(ctx context.Context) {
	ring := NewKeyring(ctx)
	ring.Start(x.Keys)
	<-ctx.Done()
	ring.Retain()
}
