package snapshot

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/config/files"
)

// newTLS makes the TLS side of the Check listener, or returns nil if it has none.
func newTLS(c config.TLS, look *files.Look) (*tls.Config, error) {
	if c.CertFile == "" {
		return nil, nil
	}
	certificate, err := readCertificate(c, look)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"}, Certificates: []tls.Certificate{
		certificate}}
	if c.ClientCAFile == "" {
		return t, nil
	}
	text, err := look.Read(c.ClientCAFile, files.MaxFile)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	t.ClientCAs = x509.NewCertPool()
	if !t.ClientCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("tls: %s holds no certificate in PEM", c.ClientCAFile)
	}
	t.ClientAuth = tls.RequireAndVerifyClientCert
	t.VerifyConnection = func(s tls.ConnectionState) error { return checkCaller(s, c.ClientIDs) }
	return t, nil
}

// readCertificate reads the listener's certificate and key. An expired certificate is an
// error here, because otherwise each caller in turn would refuse it.
func readCertificate(c config.TLS, look *files.Look) (tls.Certificate, error) {
	chain, err := look.Read(c.CertFile, files.MaxFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := look.Read(c.KeyFile, files.MaxFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	certificate, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("%s: %w", c.CertFile, err)
	}
	if leaf := certificate.Leaf; time.Now().After(leaf.NotAfter) {
		return tls.Certificate{}, fmt.Errorf("%s has expired at %s", c.CertFile,
			leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return certificate, nil
}

// checkCaller compares the one SPIFFE ID of a verified certificate with the IDs that may
// call (X.509-SVID §5.2: exactly one URI).
func checkCaller(s tls.ConnectionState, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	uris := s.PeerCertificates[0].URIs
	if len(uris) != 1 || !slices.Contains(ids, uris[0].String()) {
		return errors.New("the caller's certificate names no SPIFFE ID that may call")
	}
	return nil
}
