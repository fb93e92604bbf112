// Package testidp is a real identity provider for tests and the demo: an HTTP or
// HTTPS server with discovery and keys, which signs whatever it is told to and
// fails in whatever way it is told to.
//
// It signs with the standard library alone, so that what the verifier accepts
// was not made by the library that verifies.
package testidp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stepward/stepward/pkg/trust/outbound"
)

// Audience is the audience of minted tokens unless they say otherwise.
const Audience = "https://api.example.com"

// Options say how the provider runs. The zero Options is plain HTTP on a free
// port of 127.0.0.1 with the real clock.
type Options struct {
	TLS bool
	Now func() time.Time
	// Issuer, where set, is what tokens name in place of the server's address.
	Issuer string
}

// IDP is a running identity provider. Its methods may be called from many
// goroutines.
type IDP struct {
	URL string // the issuer

	now    func() time.Time
	server *http.Server
	tls    *tls.Config // nil for plain HTTP
	at     string      // host:port
	mux    *http.ServeMux
	roots  *x509.CertPool
	hits   atomic.Int64
	fault  atomic.Pointer[http.HandlerFunc]

	mu     sync.Mutex
	paths  map[string]int           // requests by path
	keys   map[string]crypto.Signer // by kid; "rogue" is not published
	hidden map[string]bool
	extra  map[string]any            // of the metadata
	opaque map[string]map[string]any // answers of introspection, by token
	knows  func(*http.Request) bool
	lists  map[string]string // signed status lists, by path
}

// New is a provider that signs, with keys of its own, and serves nobody.
func New(o Options) (*IDP, error) {
	p := &IDP{URL: o.Issuer, now: o.Now, mux: http.NewServeMux(), keys: map[string]crypto.Signer{},
		paths: map[string]int{}, opaque: map[string]map[string]any{}, knows: basic, lists: map[string]string{},
		hidden: map[string]bool{"rogue": true}}
	if p.now == nil {
		p.now = time.Now
	}
	p.mux.HandleFunc("/.well-known/openid-configuration", p.metadata)
	p.mux.HandleFunc("/jwks", p.jwks)
	p.mux.HandleFunc("/introspect", p.introspect)
	p.mux.HandleFunc("/statuslists/", p.statusList)
	for _, kid := range []string{"rs", "ps", "es", "ed", "rogue"} {
		if err := p.AddKey(kid); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// Start runs a provider until Close.
func Start(o Options) (*IDP, error) {
	p, err := New(o)
	if err != nil {
		return nil, err
	}
	if o.TLS {
		certificate, err := p.certificate()
		if err != nil {
			return nil, err
		}
		p.tls = &tls.Config{Certificates: []tls.Certificate{certificate}}
	}
	if err := p.Up(); err != nil {
		return nil, err
	}
	if p.URL == "" {
		p.URL = p.Address()
	}
	return p, nil
}

// Up serves: at a free port at first, and after Close at the address that it had.
func (p *IDP) Up() error {
	if p.at == "" {
		p.at = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", p.at)
	if err != nil {
		return err
	}
	p.at = listener.Addr().String()
	if p.tls != nil {
		listener = tls.NewListener(listener, p.tls)
	}
	p.server = &http.Server{Handler: http.HandlerFunc(p.serve), ReadHeaderTimeout: 10 * time.Second,
		ErrorLog: log.New(io.Discard, "", 0)}
	go p.server.Serve(listener) // ends with Close
	return nil
}

// Address is where the provider serves.
func (p *IDP) Address() string {
	if p.tls != nil {
		return "https://" + p.at
	}
	return "http://" + p.at
}

// Save writes the private keys into a folder, from which Load reads them.
func (p *IDP) Save(dir string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for kid, key := range p.keys {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return err
		}
		text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
		if err := os.WriteFile(filepath.Join(dir, kid+".pem"), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// Load replaces the keys by those that Save has written.
func (p *IDP) Load(dir string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for kid := range p.keys {
		text, err := os.ReadFile(filepath.Join(dir, kid+".pem"))
		if err != nil {
			return err
		}
		block, _ := pem.Decode(text)
		if block == nil {
			return fmt.Errorf("testidp: %s.pem is not PEM", kid)
		}
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return err
		}
		signer, ok := key.(crypto.Signer)
		if !ok {
			return fmt.Errorf("testidp: %s.pem cannot sign", kid)
		}
		p.keys[kid] = signer
	}
	return nil
}

// Close stops the server, until Up.
func (p *IDP) Close() { p.server.Close() }

// Handle adds a page.
func (p *IDP) Handle(pattern string, h http.HandlerFunc) { p.mux.HandleFunc(pattern, h) }

// Hits counts the requests so far.
func (p *IDP) Hits() int { return int(p.hits.Load()) }

// Metadata changes what the discovery document says.
func (p *IDP) Metadata(changes map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.extra = changes
}

// HitsOf counts the requests for a path so far.
func (p *IDP) HitsOf(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.paths[path]
}

// Fail answers every request with h; nil ends it.
func (p *IDP) Fail(h http.HandlerFunc) {
	if h == nil {
		p.fault.Store(nil)
		return
	}
	p.fault.Store(&h)
}

// Roots are the authorities that have signed the provider's certificate.
func (p *IDP) Roots() *x509.CertPool { return p.roots }

// Authority is what has signed the provider's certificate, in PEM.
func (p *IDP) Authority() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.tls.Certificates[0].Certificate[0]})
}

// Client is a client that trusts the provider, and calls loopback.
func (p *IDP) Client() *outbound.Client {
	return outbound.New(outbound.Config{Roots: p.roots, Allow: []string{"127.0.0.1"}, Timeout: 5 * time.Second})
}

func (p *IDP) serve(w http.ResponseWriter, r *http.Request) {
	p.hits.Add(1)
	p.mu.Lock()
	p.paths[r.URL.Path]++
	p.mu.Unlock()
	if h := p.fault.Load(); h != nil {
		(*h)(w, r)
		return
	}
	p.mux.ServeHTTP(w, r)
}

func (p *IDP) metadata(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	writeJSON(w, merged(map[string]any{"issuer": p.URL, "jwks_uri": p.URL + "/jwks"}, p.extra))
}

func (p *IDP) jwks(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Write(p.JWKS())
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

// AddKey makes and publishes a key. The first letters of kid choose its type: rs
// and ps are RSA, ed is Ed25519, everything else EC on P-256.
func (p *IDP) AddKey(kid string) error {
	var key crypto.Signer
	var err error
	switch {
	case len(kid) >= 2 && (kid[:2] == "rs" || kid[:2] == "ps"):
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case len(kid) >= 2 && kid[:2] == "ed":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys[kid] = key
	return err
}

// RemoveKey stops publishing a key, with which Mint can still sign.
func (p *IDP) RemoveKey(kid string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hidden[kid] = true
}

// JWKS is the published key set.
func (p *IDP) JWKS() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	keys := []map[string]string{}
	for kid, key := range p.keys {
		if !p.hidden[kid] {
			jwk := publicJWK(key.Public())
			jwk["kid"], jwk["use"], jwk["alg"] = kid, "sig", algorithmOf(kid, key)
			keys = append(keys, jwk)
		}
	}
	b, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		panic(err) // strings only
	}
	return b
}

func algorithmOf(kid string, key crypto.Signer) string {
	switch key.(type) {
	case *rsa.PrivateKey:
		if kid[:2] == "ps" {
			return "PS256"
		}
		return "RS256"
	case ed25519.PrivateKey:
		return "EdDSA"
	}
	return "ES256"
}

func publicJWK(public crypto.PublicKey) map[string]string {
	switch k := public.(type) {
	case *rsa.PublicKey:
		return map[string]string{"kty": "RSA", "n": b64(k.N.Bytes()), "e": b64(big.NewInt(int64(k.E)).Bytes())}
	case ed25519.PublicKey:
		return map[string]string{"kty": "OKP", "crv": "Ed25519", "x": b64(k)}
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			panic(err) // a key of our own making
		}
		return map[string]string{"kty": "EC", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])}
	}
	return nil
}

// Token says how a minted token differs from a good one.
type Token struct {
	Key     string                     // kid of the key to sign with; empty means es
	Header  map[string]any             // members to set; nil values are left out
	Claims  map[string]any             // likewise
	Payload []byte                     // in place of the claims
	Sign    func(signed string) []byte // in place of the signature
}

// Mint is a signed access token as RFC 9068 has it, good for five minutes: user
// alice, client web, authenticated now, changed as t says.
func (p *IDP) Mint(t Token) (string, error) {
	kid := t.Key
	if kid == "" {
		kid = "es"
	}
	p.mu.Lock()
	key := p.keys[kid]
	p.mu.Unlock()
	if key == nil {
		return "", fmt.Errorf("testidp: no key %q", kid)
	}
	header := merged(map[string]any{"typ": "at+jwt", "kid": kid, "alg": algorithmOf(kid, key)}, t.Header)
	payload := t.Payload
	if payload == nil {
		payload = encode(merged(p.claims(), t.Claims))
	}
	signed := b64(encode(header)) + "." + b64(payload)
	if t.Sign != nil {
		return signed + "." + b64(t.Sign(signed)), nil
	}
	alg, _ := header["alg"].(string)
	signature, err := sign(alg, key, signed)
	return signed + "." + b64(signature), err
}

func (p *IDP) claims() map[string]any {
	now := p.now().Unix()
	return map[string]any{
		"iss": p.URL, "aud": Audience, "sub": "alice", "client_id": "web", "jti": b64(random(12)),
		"iat": now, "exp": now + 300, "auth_time": now,
	}
}

func merged(base, changes map[string]any) map[string]any {
	out := maps.Clone(base)
	for name, value := range changes {
		if value == nil {
			delete(out, name)
		} else {
			out[name] = value
		}
	}
	return out
}

// sign makes the signature that alg names if the key can, else the one that the
// key makes: for tokens whose alg lies.
func sign(alg string, key crypto.Signer, signed string) ([]byte, error) {
	digest := sha256.Sum256([]byte(signed))
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if alg == "PS256" {
			return rsa.SignPSS(rand.Reader, k, crypto.SHA256, digest[:], &rsa.PSSOptions{
				SaltLength: rsa.PSSSaltLengthEqualsHash})
		}
		return rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, digest[:])
	case ed25519.PrivateKey:
		return ed25519.Sign(k, []byte(signed)), nil
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, k, digest[:])
		if err != nil {
			return nil, err
		}
		out := make([]byte, 64)
		r.FillBytes(out[:32])
		s.FillBytes(out[32:])
		return out, nil
	}
	return nil, errors.New("testidp: no such key")
}

// Signer is the private key named kid, for signatures of a test's own.
func (p *IDP) Signer(kid string) crypto.Signer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.keys[kid]
}

func (p *IDP) certificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, err
	}
	p.roots = x509.NewCertPool()
	p.roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // what tests put in is plain
	}
	return b
}

func random(n int) []byte {
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		panic(err) // never, since Go 1.24
	}
	return b
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
