// Package credential finds what a caller presents to prove who it is: the bearer
// or DPoP token of the Authorization header (RFC 6750 §2.1, RFC 9449 §7.1).
//
// It looks at syntax only. What is in a credential is the verifier's business.
package credential

import "github.com/stepward/stepward/pkg/token"

// Credential is what was presented, as it was presented. The zero Credential is
// none at all.
type Credential struct {
	Scheme token.Scheme
	Raw    string // the token itself: never logged

	// By what a binding of the token is checked.
	Proof       string // the DPoP header (RFC 9449 §4); never logged
	Certificate string // the proxy's peer certificate: PEM, percent-encoded (RFC 8705 §3)
	// CertificateDigest is the SHA-256 digest, in base64url, of a certificate that a
	// trusted proxy has forwarded. It stands in place of the peer's: that is the proxy's.
	CertificateDigest string
	Method            string
	Host              string
	Path              string // as sent, up to the query
}

// Present reports whether anything was presented.
func (c Credential) Present() bool { return c.Scheme != "" }
