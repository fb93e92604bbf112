package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/config/files"
)

// Listen opens a TCP address, or a socket where address is unix:///path. A socket
// that a process left behind is replaced; one on which somebody answers is not.
// mode is that of the socket, from the first moment: nobody else can connect before it is
// set.
func Listen(address string, mode os.FileMode) (net.Listener, error) {
	path, isSocket := strings.CutPrefix(address, "unix://")
	if !isSocket {
		return net.Listen("tcp", address)
	}
	if info, err := os.Lstat(path); err == nil {
		if info.Mode()&os.ModeSocket == 0 {
			return nil, fmt.Errorf("%s is there and is no socket", path)
		}
		if conn, err := net.Dial("unix", path); err == nil {
			conn.Close()
			return nil, fmt.Errorf("%s is served by another process", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	l, err := bind(path, mode)
	if err != nil {
		return nil, err
	}
	// The umask may have taken away more than was asked for.
	if err := os.Chmod(path, mode); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// newTLS is the TLS side of the Check listener, or nil where it has none.
func newTLS(c config.TLS, look *files.Look) (*tls.Config, error) {
	if c.CertFile == "" {
		return nil, nil
	}
	chain, err := look.Read(c.CertFile, files.MaxFile)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	key, err := look.Read(c.KeyFile, files.MaxFile)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	certificate, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("tls: %s: %w", c.CertFile, err)
	}
	// A certificate that is over would be refused by every caller, one by one.
	if leaf := certificate.Leaf; time.Now().After(leaf.NotAfter) {
		return nil, fmt.Errorf("tls: %s has expired at %s", c.CertFile, leaf.NotAfter.UTC().Format(time.RFC3339))
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
		return nil, fmt.Errorf("tls: no certificate in %s", c.ClientCAFile)
	}
	t.ClientAuth = tls.RequireAndVerifyClientCert
	t.VerifyConnection = func(s tls.ConnectionState) error { return checkCaller(s, c.ClientIDs) }
	return t, nil
}

// checkCaller holds the one SPIFFE ID of a verified certificate against those that
// may call (X.509-SVID §5.2: exactly one URI).
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
