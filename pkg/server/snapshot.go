package server

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/jwt"
	"github.com/stepward/stepward/pkg/keyset"
	"github.com/stepward/stepward/pkg/rego"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/policies"
)

// Snapshot is everything of one configuration: the authorizer that it makes, the
// key sets that it needs, and the TLS side of the listener.
type Snapshot struct {
	Config     config.Config
	Authorizer *authz.Authorizer
	Keys       []Keys
	TLS        *tls.Config // nil without TLS

	replays map[string]*jwt.MemoryReplays // of DPoP proofs, by issuer
}

// Keys are the keys of one issuer.
type Keys struct {
	Name     string
	Optional bool // readiness does not wait for them
	Source   interface{ Loaded() bool }
	remote   *keyset.Remote // nil when they come from a file
	origin   origin
}

// origin is where keys are fetched. Two issuers of one origin have the same keys.
type origin struct{ name, issuer, uri string }

// SnapshotOptions are what is not configuration.
type SnapshotOptions struct {
	Client    *http.Client     // for keys; nil means one of its own
	Now       func() time.Time // nil means time.Now
	OnRefresh func(issuerName string, err error)
	Gate      *authz.Gate // nil admits everything
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
	ladders, err := c.Ladders()
	if err != nil {
		return nil, err
	}
	replays := replaysOf(c, o)
	keys, verifier, err := issuers(c, o, replays)
	if err != nil {
		return nil, err
	}
	sources, err := Sources(c.Policy.Paths)
	if err != nil {
		return nil, err
	}
	policy, err := rego.Load(ctx, sources, rego.Options{Ladder: ladder, HeaderPrefix: c.Upstream.HeaderPrefix, Timeout: time.Duration(c.Policy.Timeout)})
	if err != nil {
		return nil, err
	}
	answers, err := answers(c)
	if err != nil {
		return nil, err
	}
	listener, err := newTLS(c.TLS)
	if err != nil {
		return nil, err
	}
	if len(c.Issuers) == 1 { // who is not signed in yet will be asked in the words of the only issuer
		if own, ok := ladders[c.Issuers[0].Name]; ok {
			ladder = own
		}
	}
	return &Snapshot{Config: c, Keys: keys, TLS: listener, replays: replays, Authorizer: &authz.Authorizer{
		Normalize: normalization(c), Verifier: verifier, Policy: policy, Ladder: ladder, Ladders: ladders,
		Answers: answers, Deadline: time.Duration(c.Limits.Deadline), Gate: o.Gate, Now: o.Now, Rand: rand.Reader,
	}}, nil
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

// replaysOf are the proofs that each issuer's clients have used. They outlive a
// reload, or every reload would make them good again.
func replaysOf(c config.Config, o SnapshotOptions) map[string]*jwt.MemoryReplays {
	all := map[string]*jwt.MemoryReplays{}
	for _, i := range c.Issuers {
		if o.Previous != nil {
			all[i.Name] = o.Previous.replays[i.Name]
		}
		if len(i.DPoP.Origins) > 0 && all[i.Name] == nil {
			all[i.Name] = jwt.NewMemoryReplays(jwt.DefaultReplays, o.Now)
		}
	}
	return all
}

// newDPoP are an issuer's terms for proofs, or nil where it has none.
func newDPoP(d config.DPoP, replays jwt.Replays) (*jwt.DPoP, error) {
	if len(d.Origins) == 0 {
		return nil, nil
	}
	out := &jwt.DPoP{Origins: d.Origins, Algorithms: d.Algorithms, Window: time.Duration(d.IATWindow), Replays: replays}
	if d.NonceKeysFile == "" {
		return out, nil
	}
	text, err := os.ReadFile(d.NonceKeysFile)
	if err != nil {
		return nil, fmt.Errorf("dpop: %w", err)
	}
	var keys [][]byte
	for _, line := range strings.Fields(string(text)) {
		key, err := base64.RawURLEncoding.DecodeString(line)
		if err != nil {
			return nil, fmt.Errorf("dpop: %s holds what is not base64url", d.NonceKeysFile)
		}
		keys = append(keys, key)
	}
	if out.Nonces, err = jwt.NewNonces(keys); err != nil {
		return nil, fmt.Errorf("dpop: %s: %w", d.NonceKeysFile, err)
	}
	return out, nil
}

func issuers(c config.Config, o SnapshotOptions, replays map[string]*jwt.MemoryReplays) ([]Keys, *jwt.Verifier, error) {
	var keys []Keys
	var trusted []jwt.Issuer
	for _, i := range c.Issuers {
		k, source, err := newKeys(i, o)
		if err != nil {
			return nil, nil, err
		}
		keys = append(keys, k)
		dpop, err := newDPoP(i.DPoP, replays[i.Name])
		if err != nil {
			return nil, nil, fmt.Errorf("issuer %s: %w", i.Name, err)
		}
		claim := i.Assurance.Claim
		if claim == "acr" || claim == "amr" {
			claim = "" // the token has them anyway
		}
		trusted = append(trusted, jwt.Issuer{
			Name: i.Name, URL: i.Issuer, Audiences: i.Audiences, Algorithms: i.Algorithms,
			Profile: jwt.Profile(i.Profile), Leeway: time.Duration(i.Leeway), AssuranceClaim: claim, Keys: source, DPoP: dpop,
		})
	}
	verifier, err := jwt.NewVerifier(trusted, jwt.Options{MaxSize: int(c.Limits.Token)}, o.Now)
	return keys, verifier, err
}

func newKeys(i config.Issuer, o SnapshotOptions) (Keys, jwt.KeySource, error) {
	if i.JWKSFile != "" {
		text, err := os.ReadFile(i.JWKSFile)
		if err != nil {
			return Keys{}, nil, fmt.Errorf("keys of issuer %s: %w", i.Name, err)
		}
		static, err := keyset.NewStatic(i.JWKSFile, text)
		if err != nil {
			return Keys{}, nil, fmt.Errorf("keys of issuer %s: %w", i.Name, err)
		}
		return Keys{Name: i.Name, Optional: i.Optional, Source: static}, static, nil
	}
	from := origin{i.Name, i.Issuer, i.JWKSURI}
	if o.Previous != nil {
		for _, k := range o.Previous.Keys {
			if k.remote != nil && k.origin == from {
				return Keys{Name: i.Name, Optional: i.Optional, Source: k.remote, remote: k.remote, origin: from}, k.remote, nil
			}
		}
	}
	remote := keyset.NewRemote(keyset.RemoteConfig{
		Issuer: i.Issuer, JWKSURI: i.JWKSURI, Client: o.Client, Now: o.Now,
		OnRefresh: func(err error) {
			if o.OnRefresh != nil {
				o.OnRefresh(i.Name, err)
			}
		},
	})
	return Keys{Name: i.Name, Optional: i.Optional, Source: remote, remote: remote, origin: from}, remote, nil
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
