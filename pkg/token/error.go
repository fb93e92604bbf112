package token

// Code names one way in which a presented credential fails. The values are
// reason codes of the closed list that logs, metrics and metadata carry.
type Code string

// The codes of RFC 6750 §3.1 invalid_token, told apart for the operator.
const (
	Malformed        Code = "token_malformed"           // not a compact JWS, or broken inside
	WrongType        Code = "token_wrong_type"          // another kind of JWT (RFC 8725 §3.12)
	UntrustedIssuer  Code = "token_untrusted_issuer"    // iss is not configured
	BadAlgorithm     Code = "token_algorithm"           // alg is not allowed for the issuer or the key
	UnknownKey       Code = "token_unknown_key"         // the issuer has no such key
	BadSignature     Code = "token_bad_signature"       // the signature does not verify
	Expired          Code = "token_expired"             // exp has passed
	NotYetValid      Code = "token_not_yet_valid"       // nbf or iat lies in the future
	WrongAudience    Code = "token_wrong_audience"      // aud does not name us
	BadClaims        Code = "token_claims"              // a claim is missing or of the wrong type
	BadBinding       Code = "token_binding"             // cnf could not be checked, or does not fit
	Inactive         Code = "token_inactive"            // introspection says inactive (RFC 7662 §2.2)
	Revoked          Code = "token_revoked"             // revoked by id, session or subject
	DPoPProof        Code = "dpop_proof"                // RFC 9449 §4.3
	DPoPNonce        Code = "dpop_nonce"                // RFC 9449 §9
	KeysUnavailable  Code = "keys_unavailable"          // our fault: no keys of this issuer are available
	IntrospectionOut Code = "introspection_unavailable" // our fault: introspection did not answer
	DeadlinePassed   Code = "deadline"                  // our fault: no time was left to find out
	Overloaded       Code = "overloaded"                // our fault: there is no room to remember it
)

// Error says why a presented credential is not a [Token].
//
// It does not mean that the request must be refused: where a policy requires
// nothing, a bad credential is ignored.
type Error struct {
	Code Code
	// Detail is for the operator's log. It never holds the token or a claim value that the
	// issuer did not sign.
	Detail string
	// Issuer is the URL of the issuer whose rules were applied, and IssuerName its short
	// name, when the token got that far; empty otherwise.
	Issuer, IssuerName string
	// Nonce must go into the client's next proof (RFC 9449 §9), unless it is empty.
	Nonce string
}

// Error returns the operator's text.
func (e *Error) Error() string {
	if e.Detail == "" {
		return "token: " + string(e.Code)
	}
	return "token: " + string(e.Code) + ": " + e.Detail
}

// OwnFault reports whether the failure says nothing about the credential: it
// could not be judged. Such a request is answered with 503, not 401.
func (e *Error) OwnFault() bool {
	switch e.Code {
	case KeysUnavailable, IntrospectionOut, DeadlinePassed, Overloaded:
		return true
	}
	return false
}
