// Package token is the third noun of the pipeline: who asks.
//
// A [Token] is what remains of a credential once it has been verified: who issued it, to
// whom, for whom, and how and when its subject authenticated. Package jwt makes it, package
// stepup and policies read it, and nobody changes it on the way. An [Error] says why a
// credential did not become a Token.
//
// The package knows nothing of JOSE, HTTP or policies.
package token

import (
	"time"

	"github.com/stepward/stepward/pkg/credential"
)

// Principal tells a person from a program.
type Principal string

const (
	// User is a subject that can be asked to authenticate again.
	User Principal = "user"
	// Client is an OAuth client that acts for itself: its token has no subject,
	// or the client is the subject (RFC 9068 §2.2). It has no user to step up.
	Client Principal = "client"
)

// Token is a verified credential.
//
// The zero Token proves nothing: it has no issuer, no subject and no levels. Nobody may
// change a Token, or the slices and maps in it, after the verifier has returned it, so
// goroutines may share it.
type Token struct {
	Issuer     string // iss, compared byte for byte with the configuration
	IssuerName string // the short name from the configuration
	Subject    string // sub; empty for some clients
	ClientID   string // client_id or azp, by profile
	Principal  Principal
	Scheme     credential.Scheme // how it was presented

	Audience []string // aud
	Scopes   []string // scope, split at spaces (RFC 9068 §2.2.3)

	// Proofs say how and when the subject authenticated, the strongest first. A bearer
	// token has exactly one, whatever it says; a session has one for each level. A token
	// without proofs proves nothing.
	Proofs []Proof

	IssuedAt  time.Time // iat; zero when the token does not say
	ExpiresAt time.Time // exp; never zero in a verified token

	// SenderConstrained is true when the token is bound to a key and the
	// caller has shown that it holds that key (RFC 9449, RFC 8705).
	SenderConstrained bool

	// Serial numbers the result of one verification, if the verifier remembers it. Tokens
	// with the same serial are equal except for Scheme and SenderConstrained. It is zero
	// for a token that may differ the next time.
	Serial Serial

	// Claims is the whole claim set, decoded from JSON with json.Number for
	// numbers. Policies see it without exp, iat, nbf, auth_time and jti.
	Claims map[string]any
}

// Serial is unique in the process, across all verifiers: Of is the verifier's random
// number, and N counts.
type Serial struct{ Of, N uint64 }

// Proof is one authentication of a subject: what it showed, and when. The two belong
// together: the time of one proof says nothing about the level of another.
type Proof struct {
	ACR string   // acr as sent, or empty
	AMR []string // amr as sent (RFC 8176)
	// Assurance holds the values of the claim that proves levels, if the issuer is
	// configured with a claim other than acr or amr.
	Assurance []string
	At        time.Time // auth_time; zero when the issuer does not say
	// Once is true for a proof that a session spends on this one request: nothing else
	// of a session meets a max_age of zero. A bearer token's proof is never spent.
	Once bool
}

// Strongest returns the first of the proofs. It stands for the token where only one proof
// can be shown: in headers, in logs and to policies. Without proofs it is zero.
func (t *Token) Strongest() Proof {
	if len(t.Proofs) == 0 {
		return Proof{}
	}
	return t.Proofs[0]
}
