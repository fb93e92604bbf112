// Package credential is the second noun of the pipeline: what a caller presents to prove
// who it is. That is the bearer or DPoP token of the Authorization header (RFC 6750 §2.1,
// RFC 9449 §7.1).
//
// It looks at syntax only. What is in a credential is the verifier's business, and what it
// is checked against, such as the method or a client certificate, is in the request.
package credential

// Scheme is the way in which a credential is presented.
type Scheme string

const (
	// Bearer is RFC 6750.
	Bearer Scheme = "bearer"
	// DPoP is RFC 9449.
	DPoP Scheme = "dpop"
	// Session is Stepward's own browser session.
	Session Scheme = "session"
)

// Ambient reports whether a browser adds credentials of this scheme by itself. Whoever sends
// such a request may not know of the credential, so a bad one is no credential at all.
func (s Scheme) Ambient() bool { return s == Session }

// Credential is what was presented, as it was presented. The zero Credential is
// none at all.
type Credential struct {
	Scheme Scheme
	Raw    string // the token itself: never logged
	Proof  string // the DPoP header, by which a bound token is checked (RFC 9449 §4); never logged
}

// Present reports whether anything was presented.
func (c Credential) Present() bool { return c.Scheme != "" }
