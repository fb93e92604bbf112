package server_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/stepward/stepward/pkg/internal/testidp"
	"github.com/stepward/stepward/pkg/internal/wait"
	"github.com/stepward/stepward/pkg/run/server"
)

// authority issues certificates for tests.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pem  string
}

func newAuthority(t testing.TB) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour),
		IsCA:     true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{key: key, cert: cert, pem: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
}

// issue makes a certificate for localhost that names uris.
func (a authority) issue(t testing.TB, until time.Time, uris ...string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until,
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.ParseIP("127.0.0.1")},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, u := range uris {
		parsed, err := url.Parse(u)
		if err != nil {
			t.Fatal(err)
		}
		template.URIs = append(template.URIs, parsed)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &private.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}))
}

// calls reports whether a caller with these credentials is answered at all.
func calls(t testing.TB, target string, c credentials.TransportCredentials) error {
	t.Helper()
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(c))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = grpc_health_v1.NewHealthClient(conn).Check(wait.Context(t), &grpc_health_v1.HealthCheckRequest{})
	return err
}

// Only a caller whose certificate the CA has signed and whose SPIFFE ID is on the
// list is answered; a certificate that is replaced is used for the next handshake.
func TestTLS(t *testing.T) {
	ours, other := newAuthority(t), newAuthority(t)
	files := variant("a")
	files["stepward.yaml"] += "tls: { cert_file: cert.pem, key_file: key.pem, client_ca_file: ca.pem, client_ids: [\"spiffe://example.com/envoy\"] }\n"
	files["cert.pem"], files["key.pem"] = ours.issue(t, time.Now().Add(time.Hour))
	files["ca.pem"] = ours.pem
	f := serveFolder(t, files, server.Options{})
	target := f.Addr().String()
	as := func(by authority, until time.Time, uris ...string) credentials.TransportCredentials {
		roots := x509.NewCertPool()
		roots.AddCert(ours.cert)
		cert, key := by.issue(t, until, uris...)
		pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
		if err != nil {
			t.Fatal(err)
		}
		return credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: "localhost", Certificates: []tls.Certificate{
			pair}})
	}
	hour := time.Now().Add(time.Hour)
	for name, v := range map[string]struct {
		c  credentials.TransportCredentials
		ok bool
	}{
		"on the list":         {as(ours, hour, "spiffe://example.com/envoy"), true},
		"another SPIFFE ID":   {as(ours, hour, "spiffe://example.com/envoy2"), false},
		"two of them":         {as(ours, hour, "spiffe://example.com/envoy", "spiffe://example.com/x"), false},
		"no SPIFFE ID":        {as(ours, hour), false},
		"another CA":          {as(other, hour, "spiffe://example.com/envoy"), false},
		"expired":             {as(ours, time.Now().Add(-time.Hour), "spiffe://example.com/envoy"), false},
		"plain text":          {insecure.NewCredentials(), false},
		"without certificate": {credentials.NewTLS(&tls.Config{InsecureSkipVerify: true}), false},
		"an old version": {credentials.NewTLS(&tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}),
			false},
	} {
		if err := calls(t, target, v.c); (err == nil) != v.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	serial := func() string {
		conn, err := tls.Dial("tcp", target, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
		if err != nil {
			return err.Error()
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	was := serial()
	next := map[string]string{}
	next["cert.pem"], next["key.pem"] = ours.issue(t, hour)
	write(t, f.dir, map[string]string{"cert.pem": next["cert.pem"]}) // the key is another's: refused
	eventually(t, "a mismatch is told of", func() bool {
		_, body := page(t, f.running, "/readyz?verbose")
		return strings.Contains(body, "private key does not match")
	})
	if serial() != was {
		t.Error("half of a certificate is in force")
	}
	write(t, f.dir, map[string]string{"key.pem": next["key.pem"]})
	eventually(t, "the new certificate", func() bool { return serial() != was })
}

// A socket that was left behind is replaced, one that is served is not, and a file
// of that name is not touched.
func TestUnixSocket(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s.sock")
	first, err := server.Listen("unix://"+path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if _, err := server.Listen("unix://"+path, 0o600); err == nil || !strings.Contains(
		err.Error(), "served by another") {
		t.Errorf("a socket that is served: %v", err)
	}
	first.(*net.UnixListener).SetUnlinkOnClose(false)
	first.Close()
	second, err := server.Listen("unix://"+path, 0o600)
	if err != nil {
		t.Fatalf("a socket that was left behind: %v", err)
	}
	second.Close()
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Listen("unix://"+path, 0o600); err == nil {
		t.Error("a file is replaced by a socket")
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "precious" {
		t.Errorf("%q %v", text, err)
	}
}

func TestServesOnASocket(t *testing.T) {
	idp, err := testidp.Start(testidp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer idp.Close()
	c := settings(t, idp, "")
	c.Listen = "unix://" + filepath.Join(t.TempDir(), "check.sock")
	c.Admin = "127.0.0.1:0"
	s, err := server.New(t.Context(), c, server.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	defer func() { cancel(); <-done }()
	if err := calls(t, c.Listen, insecure.NewCredentials()); err != nil {
		t.Error(err)
	}
}
