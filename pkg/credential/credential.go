// Package credential is the second noun of the pipeline: what a caller presents to prove
// who it is. That is the bearer or DPoP token of the Authorization header (RFC 6750 §2.1,
// RFC 9449 §7.1).
//
// The package looks at syntax only. The verifier reads what is inside a credential, and
// finds what to check it against, such as the method or a client certificate, in the
// request.
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

// Ambient reports whether a browser adds credentials of this scheme by itself. The sender
// of such a request may not know about the credential, so a bad one counts as none.
func (s Scheme) Ambient() bool { return s == Session }

// Credential holds what was presented, unchanged. The zero Credential means that nothing
// was.
type Credential struct {
	Scheme Scheme
	Raw    string // the token itself: never logged
	Proof  string // the DPoP header that proves a bound token (RFC 9449 §4); never logged
}

// Present reports whether anything was presented.
func (c Credential) Present() bool { return c.Scheme != "" }
