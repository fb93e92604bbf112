// Package testidp is a real identity provider for tests and the demo: an HTTP or HTTPS
// server with discovery and keys, which signs and fails as told.
//
// It signs only with the standard library, so that the library that verifies did not make
// the signatures.
package testidp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
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

// Options say how the provider runs. The zero Options mean plain HTTP on a free port of
// 127.0.0.1 with the real clock.
type Options struct {
	TLS bool
	Now func() time.Time
	// Issuer, if set, is the issuer in tokens instead of the server's address.
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

// New makes a provider that signs with its own keys, but serves nobody.
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

// Up starts serving: on a free port at first, and after Close at the earlier address.
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

// Address returns where the provider serves.
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

// Load replaces the keys with those that Save wrote.
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

// Fail answers every request with h; nil ends that.
func (p *IDP) Fail(h http.HandlerFunc) {
	if h == nil {
		p.fault.Store(nil)
		return
	}
	p.fault.Store(&h)
}

// Roots returns the authorities that signed the provider's certificate.
func (p *IDP) Roots() *x509.CertPool { return p.roots }

// Authority returns the authority that signed the provider's certificate, in PEM.
func (p *IDP) Authority() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.tls.Certificates[0].Certificate[0]})
}

// Client makes a client that trusts the provider, and calls loopback.
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
