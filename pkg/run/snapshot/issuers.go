package snapshot

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"time"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/trust/jwt"
	"github.com/stepward/stepward/pkg/trust/keyset"
)

// Keys holds the keys of one issuer.
type Keys struct {
	Name     string
	Optional bool // readiness does not wait for them
	Source   interface {
		Loaded() bool
		Status() keyset.Status
	}
	remote *keyset.Remote // nil if they come from a file
	origin origin
}

// origin says where keys are fetched, and how. Two issuers with the same origin have the
// same keys.
type origin struct {
	name, issuer, uri, cache string
	bounds                   keyset.Bounds
	caller                   [sha256.Size]byte
}

// trust makes the parts that verify issuers' tokens, all for one snapshot.
type trust struct {
	options Options
	calls   config.Outbound // with the hosts of all issuers
	caller  caller
	replays map[string]*jwt.MemoryReplays
}

// issuers makes the keys of each issuer of c, and the verifier that trusts them all.
func (t trust) issuers(c config.Config) ([]Keys, *jwt.Verifier, error) {
	var keys []Keys
	var trusted []jwt.Issuer
	for _, i := range c.Issuers {
		k, x, err := t.issuer(i)
		if err != nil {
			return nil, nil, err
		}
		if i.Introspection.Endpoint != "" {
			ladder, err := c.LadderOf(i.Name)
			if err == nil {
				x.Introspection, err = t.introspection(i, x, ladder)
			}
			if err != nil {
				return nil, nil, fmt.Errorf("introspection of issuer %s: %w", i.Name, err)
			}
		}
		keys, trusted = append(keys, k), append(trusted, x)
	}
	options := jwt.Options{MaxSize: int(c.Limits.Token)}
	if t.options.Revocations != nil {
		options.Revoked = t.options.Revocations.Revoked
	}
	verifier, err := jwt.NewVerifier(trusted, options, t.options.Now)
	return keys, verifier, err
}

// issuer makes the keys of i, and what the verifier knows about it, except introspection.
func (t trust) issuer(i config.Issuer) (Keys, jwt.Issuer, error) {
	keys, source, err := t.keys(i)
	if err != nil {
		return Keys{}, jwt.Issuer{}, fmt.Errorf("keys of issuer %s: %w", i.Name, err)
	}
	dpop, err := newDPoP(i.DPoP, t.replays[i.Issuer], t.options.Look)
	if err != nil {
		return Keys{}, jwt.Issuer{}, fmt.Errorf("issuer %s: %w", i.Name, err)
	}
	x := jwt.Issuer{
		Name: i.Name, URL: i.Issuer, Audiences: i.Audiences, Algorithms: i.Algorithms,
		Profile: jwt.Profile(i.Profile), Leeway: time.Duration(i.Leeway), Keys: source, DPoP: dpop,
	}
	if claim := i.Assurance.Claim; claim != "acr" && claim != "amr" { // a token has these two in any case
		x.AssuranceClaim = claim
	}
	x.Lists = t.lists(i, x)
	return keys, x, nil
}

// keys makes the keys of i, from a file or from the address where the issuer publishes
// them.
func (t trust) keys(i config.Issuer) (Keys, jwt.KeySource, error) {
	keys := Keys{Name: i.Name, Optional: i.Optional}
	if i.JWKSFile != "" {
		text, err := t.options.Look.Read(i.JWKSFile, files.MaxFile)
		if err != nil {
			return Keys{}, nil, err
		}
		static, err := keyset.NewStatic(i.JWKSFile, text)
		keys.Source = static
		return keys, static, err
	}
	keys.origin = t.originOf(i)
	keys.remote = t.remote(i, keys.origin)
	keys.Source = keys.remote
	return keys, keys.remote, nil
}

func (t trust) originOf(i config.Issuer) origin {
	from := origin{name: i.Name, issuer: i.Issuer, uri: i.JWKSURI, caller: t.caller.print, bounds: keyset.Bounds{
		RefreshMin: time.Duration(i.Keys.RefreshMin), RefreshMax: time.Duration(i.Keys.RefreshMax),
		Cooldown:     time.Duration(i.Keys.UnknownKidCooldown),
		RemovedAfter: time.Duration(i.Keys.RemovedAfter), StaleIfError: time.Duration(i.Keys.StaleIfError),
	}}
	if i.Keys.CacheDir != "" {
		from.cache = filepath.Join(i.Keys.CacheDir, i.Name+".json")
	}
	return from
}

// remote makes fetched keys. It keeps the previous snapshot's keys if the origin is the
// same.
func (t trust) remote(i config.Issuer, from origin) *keyset.Remote {
	if previous := t.options.Previous; previous != nil {
		for _, k := range previous.Keys {
			if k.remote != nil && k.origin == from {
				return k.remote
			}
		}
	}
	return keyset.NewRemote(keyset.RemoteConfig{
		Issuer: i.Issuer, JWKSURI: i.JWKSURI, Client: t.caller.client, Bounds: from.bounds, CacheFile: from.cache,
		Now: t.options.Now,
		OnFetch: func(f keyset.Fetch) {
			if t.options.OnFetch != nil {
				t.options.OnFetch(i.Name, f)
			}
		},
	})
}

// replaysOf returns the proofs that each issuer's clients have used, by the issuer's
// URL: a proof stays used when a reload gives the issuer another name.
func replaysOf(issuers []config.Issuer, o Options) map[string]*jwt.MemoryReplays {
	all := map[string]*jwt.MemoryReplays{}
	for _, i := range issuers {
		if o.Previous != nil {
			all[i.Issuer] = o.Previous.replays[i.Issuer]
		}
		if len(i.DPoP.Origins) > 0 && all[i.Issuer] == nil {
			all[i.Issuer] = jwt.NewMemoryReplays(jwt.DefaultReplays, o.Now)
		}
	}
	return all
}

// newDPoP makes an issuer's terms for proofs, or returns nil if it has none.
func newDPoP(d config.DPoP, replays jwt.Replays, look *files.Look) (*jwt.DPoP, error) {
	if len(d.Origins) == 0 {
		return nil, nil
	}
	out := &jwt.DPoP{Origins: d.Origins, Algorithms: d.Algorithms, Window: time.Duration(d.IATWindow), Replays: replays}
	if d.NonceKeysFile == "" {
		key := make([]byte, 32)
		rand.Read(key)
		var err error
		out.Early, err = jwt.NewNonces([][]byte{key})
		return out, err
	}
	keys, err := readKeys(d.NonceKeysFile, look)
	if err != nil {
		return nil, fmt.Errorf("dpop: %w", err)
	}
	if out.Nonces, err = jwt.NewNonces(keys); err != nil {
		return nil, fmt.Errorf("dpop: %s: %w", d.NonceKeysFile, err)
	}
	return out, nil
}
