package snapshot

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/config/address"
	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/trust/outbound"
)

// caller says how issuers are called. Two callers with the same print call in the same way.
type caller struct {
	client *outbound.Client
	print  [sha256.Size]byte
}

// newCaller makes a caller from c. It keeps the previous snapshot's caller if nothing has
// changed.
func newCaller(c config.Outbound, o Options) (caller, error) {
	if o.Client != nil {
		return caller{client: o.Client}, nil
	}
	settings, print, err := outboundOf(c, o.Look)
	if err != nil {
		return caller{}, err
	}
	if o.Previous != nil && o.Previous.caller.print == print {
		return o.Previous.caller, nil
	}
	return caller{client: outbound.New(settings), print: print}, nil
}

// outboundOf reads the files of c. The print covers their whole content.
func outboundOf(c config.Outbound, look *files.Look) (outbound.Config, [sha256.Size]byte, error) {
	out := outbound.Config{Allow: c.Allow, Timeout: time.Duration(c.Timeout), Proxy: http.ProxyFromEnvironment}
	digest := sha256.New()
	fmt.Fprintf(digest, "%q %d\n", out.Allow, out.Timeout)
	var pem [3][]byte
	for i, name := range []string{c.CAFile, c.CertFile, c.KeyFile} {
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
			return out, print, fmt.Errorf("outbound: %s holds no certificate in PEM", c.CAFile)
		}
	}
	if pem[1] != nil {
		certificate, err := tls.X509KeyPair(pem[1], pem[2])
		if err != nil {
			return out, print, fmt.Errorf("outbound: %s: %w", c.CertFile, err)
		}
		out.Certificates = []tls.Certificate{certificate}
	}
	return out, print, nil
}

// reachable returns c with all hosts that may be at private addresses: the hosts that it
// lists, and literal addresses in the issuers' own configuration.
func reachable(c config.Outbound, issuers []config.Issuer) config.Outbound {
	c.Allow = slices.Clone(c.Allow)
	for _, i := range issuers {
		for _, written := range []string{i.Issuer, i.JWKSURI, i.Introspection.Endpoint} {
			if host, ok := address.Literal(written); ok {
				c.Allow = append(c.Allow, host)
			}
		}
	}
	return c
}
