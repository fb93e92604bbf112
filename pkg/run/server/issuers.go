package server

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/config/address"
	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/trust/jwt"
	"github.com/stepward/stepward/pkg/trust/keyset"
	"github.com/stepward/stepward/pkg/trust/outbound"
)

// Keys are the keys of one issuer.
type Keys struct {
	Name     string
	Optional bool // readiness does not wait for them
	Source   interface {
		Loaded() bool
		Status() keyset.Status
	}
	remote *keyset.Remote // nil when they come from a file
	origin origin
}

// origin is where keys are fetched, and how. Two issuers of one origin have the same
// keys.
type origin struct {
	name, issuer, uri, cache string
	bounds                   keyset.Bounds
	caller                   [sha256.Size]byte
}

// caller is how issuers are called. Two of one print call alike.
type caller struct {
	client *outbound.Client
	print  [sha256.Size]byte
}

// newCaller calls as c.Outbound says. That of the previous snapshot goes on where
// nothing has changed.
func newCaller(c config.Config, o SnapshotOptions) (caller, error) {
	if o.Client != nil {
		return caller{client: o.Client}, nil
	}
	settings, print, err := outboundOf(c, c.Outbound.CertFile, c.Outbound.KeyFile, o.Look)
	if err != nil {
		return caller{}, err
	}
	if o.Previous != nil && o.Previous.caller.print == print {
		return o.Previous.caller, nil
	}
	return caller{client: outbound.New(settings), print: print}, nil
}

// outboundOf reads the files of c.Outbound, and shows the given certificate, if any.
// The print is of all that is in them.
func outboundOf(c config.Config, certFile, keyFile string, look *files.Look) (outbound.Config, [sha256.Size]byte,
	error) {
	out := outbound.Config{Allow: allowed(c), Timeout: time.Duration(c.Outbound.Timeout),
		Proxy: http.ProxyFromEnvironment}
	digest := sha256.New()
	fmt.Fprintf(digest, "%q %d\n", out.Allow, out.Timeout)
	var pem [3][]byte
	for i, name := range []string{c.Outbound.CAFile, certFile, keyFile} {
		if name == "" {
			continue
		}
		var err error
		if pem[i], err = look.Read(name, files.MaxFile); err != nil {
			return out, [sha256.Size]byte{}, fmt.Errorf("outbound: %w", err)
		}
		fmt.Fprintf(digest, "%d %q\n", i, pem[i])
	}
	print := [sha256.Size]byte(digest.Sum(nil))
	if pem[0] != nil {
		out.Roots = x509.NewCertPool()
		if !out.Roots.AppendCertsFromPEM(pem[0]) {
			return out, print, fmt.Errorf("outbound: %s holds no certificate", c.Outbound.CAFile)
		}
	}
	if pem[1] != nil {
		certificate, err := tls.X509KeyPair(pem[1], pem[2])
		if err != nil {
			return out, print, fmt.Errorf("outbound: %s: %w", certFile, err)
		}
		out.Certificates = []tls.Certificate{certificate}
	}
	return out, print, nil
}

// allowed are the hosts that may be at private addresses: those that are listed, and
// addresses that the configuration itself writes out.
func allowed(c config.Config) []string {
	hosts := append([]string(nil), c.Outbound.Allow...)
	for _, i := range c.Issuers {
		for _, written := range []string{i.Issuer, i.JWKSURI, i.Introspection.Endpoint} {
			if host, ok := address.Literal(written); ok {
				hosts = append(hosts, host)
			}
		}
	}
	return hosts
}

// replaysOf returns the proofs that each issuer's clients have used, by the issuer's
// URL: a proof stays used when a reload gives the issuer another name.
func replaysOf(c config.Config, o SnapshotOptions) map[string]*jwt.MemoryReplays {
	all := map[string]*jwt.MemoryReplays{}
	for _, i := range c.Issuers {
		if o.Previous != nil {
			all[i.Issuer] = o.Previous.replays[i.Issuer]
		}
		if len(i.DPoP.Origins) > 0 && all[i.Issuer] == nil {
			all[i.Issuer] = jwt.NewMemoryReplays(jwt.DefaultReplays, o.Now)
		}
	}
	return all
}

// newDPoP are an issuer's terms for proofs, or nil where it has none.
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

func issuers(c config.Config, o SnapshotOptions, out caller, replays map[string]*jwt.MemoryReplays) (
	[]Keys, *jwt.Verifier, error) {
	var keys []Keys
	var trusted []jwt.Issuer
	for _, i := range c.Issuers {
		k, source, err := newKeys(i, o, out)
		if err != nil {
			return nil, nil, err
		}
		keys = append(keys, k)
		dpop, err := newDPoP(i.DPoP, replays[i.Issuer], o.Look)
		if err != nil {
			return nil, nil, fmt.Errorf("issuer %s: %w", i.Name, err)
		}
		x := jwt.Issuer{
			Name: i.Name, URL: i.Issuer, Audiences: i.Audiences, Algorithms: i.Algorithms,
			Profile: jwt.Profile(i.Profile), Leeway: time.Duration(i.Leeway), Keys: source, DPoP: dpop,
		}
		if claim := i.Assurance.Claim; claim != "acr" && claim != "amr" { // which the token has anyway
			x.AssuranceClaim = claim
		}
		x.Lists = newLists(i, o, out, x)
		if x.Introspection, err = newIntrospection(c, i, o, out, x); err != nil {
			return nil, nil, fmt.Errorf("introspection of issuer %s: %w", i.Name, err)
		}
		trusted = append(trusted, x)
	}
	options := jwt.Options{MaxSize: int(c.Limits.Token)}
	if o.Revocations != nil {
		options.Revoked = o.Revocations.Revoked
	}
	verifier, err := jwt.NewVerifier(trusted, options, o.Now)
	return keys, verifier, err
}

func newKeys(i config.Issuer, o SnapshotOptions, out caller) (Keys, jwt.KeySource, error) {
	if i.JWKSFile != "" {
		text, err := o.Look.Read(i.JWKSFile, files.MaxFile)
		if err != nil {
			return Keys{}, nil, fmt.Errorf("keys of issuer %s: %w", i.Name, err)
		}
		static, err := keyset.NewStatic(i.JWKSFile, text)
		if err != nil {
			return Keys{}, nil, fmt.Errorf("keys of issuer %s: %w", i.Name, err)
		}
		return Keys{Name: i.Name, Optional: i.Optional, Source: static}, static, nil
	}
	from := origin{name: i.Name, issuer: i.Issuer, uri: i.JWKSURI, caller: out.print, bounds: keyset.Bounds{
		RefreshMin: time.Duration(i.Keys.RefreshMin), RefreshMax: time.Duration(i.Keys.RefreshMax),
		Cooldown:     time.Duration(i.Keys.UnknownKidCooldown),
		RemovedAfter: time.Duration(i.Keys.RemovedAfter), StaleIfError: time.Duration(i.Keys.StaleIfError),
	}}
	if i.Keys.CacheDir != "" {
		from.cache = filepath.Join(i.Keys.CacheDir, i.Name+".json")
	}
	if o.Previous != nil {
		for _, k := range o.Previous.Keys {
			if k.remote != nil && k.origin == from {
				return Keys{Name: i.Name, Optional: i.Optional, Source: k.remote, remote: k.remote, origin: from},
					k.remote, nil
			}
		}
	}
	remote := keyset.NewRemote(keyset.RemoteConfig{
		Issuer: i.Issuer, JWKSURI: i.JWKSURI, Client: out.client, Bounds: from.bounds, CacheFile: from.cache,
		Now: o.Now,
		OnFetch: func(f keyset.Fetch) {
			if o.OnFetch != nil {
				o.OnFetch(i.Name, f)
			}
		},
	})
	return Keys{Name: i.Name, Optional: i.Optional, Source: remote, remote: remote, origin: from}, remote, nil
}
