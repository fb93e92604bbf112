package stepup

import (
	"slices"

	"github.com/stepward/stepward/pkg/token"
)

// Reason says why a request was answered as it was. The list is closed. Logs, metrics,
// metadata and problem documents carry these values, and each means one thing that an
// operator can act on.
type Reason string

// Every reason, in the order of their HTTP statuses. Package token has the words for why a
// credential fails.
const (
	OK Reason = "ok"

	RequestAmbiguous    Reason = "request_ambiguous"
	CredentialMalformed Reason = "credential_malformed"
	CredentialRepeated  Reason = "credential_repeated"
	BodyUnreadable      Reason = "body_unreadable"

	NoCredentials Reason = "no_credentials"

	TokenMalformed       Reason = Reason(token.Malformed)
	TokenWrongType       Reason = Reason(token.WrongType)
	TokenUntrustedIssuer Reason = Reason(token.UntrustedIssuer)
	TokenAlgorithm       Reason = Reason(token.BadAlgorithm)
	TokenUnknownKey      Reason = Reason(token.UnknownKey)
	TokenBadSignature    Reason = Reason(token.BadSignature)
	TokenExpired         Reason = Reason(token.Expired)
	TokenNotYetValid     Reason = Reason(token.NotYetValid)
	TokenWrongAudience   Reason = Reason(token.WrongAudience)
	TokenClaims          Reason = Reason(token.BadClaims)
	TokenBinding         Reason = Reason(token.BadBinding)
	TokenInactive        Reason = Reason(token.Inactive)
	TokenRevoked         Reason = Reason(token.Revoked)
	TokenTooOld          Reason = "token_too_old"
	NotSenderConstrained Reason = "not_sender_constrained"
	DPoPProof            Reason = Reason(token.DPoPProof)
	DPoPNonce            Reason = Reason(token.DPoPNonce)

	InsufficientLevel   Reason = "insufficient_level"
	StaleAuthentication Reason = "stale_authentication"

	InsufficientScope   Reason = "insufficient_scope"
	InsufficientMethods Reason = "insufficient_methods"
	PolicyDenied        Reason = "policy_denied"
	PolicyNoMatch       Reason = "policy_no_match"
	PolicyUnsatisfiable Reason = "policy_unsatisfiable"

	PolicyError     Reason = "policy_error"
	PolicyTimeout   Reason = "policy_timeout"
	RouteConfig     Reason = "route_config"
	KeysUnavailable Reason = Reason(token.KeysUnavailable)
	Introspection   Reason = Reason(token.IntrospectionOut)
	Deadline        Reason = Reason(token.DeadlinePassed)
	Overloaded      Reason = Reason(token.Overloaded)
	NotReady        Reason = "not_ready"
	Internal        Reason = "internal"
)

// status maps each reason to its HTTP status. [PolicyDenied] may name another, and a 401
// becomes a redirect if a person can follow it.
var status = map[Reason]int{
	OK: 200,

	RequestAmbiguous: 400, CredentialMalformed: 400, CredentialRepeated: 400, BodyUnreadable: 400,

	NoCredentials:  401,
	TokenMalformed: 401, TokenWrongType: 401, TokenUntrustedIssuer: 401, TokenAlgorithm: 401,
	TokenUnknownKey: 401, TokenBadSignature: 401, TokenExpired: 401, TokenNotYetValid: 401,
	TokenWrongAudience: 401, TokenClaims: 401, TokenBinding: 401, TokenInactive: 401, TokenRevoked: 401,
	TokenTooOld: 401, NotSenderConstrained: 401, DPoPProof: 401, DPoPNonce: 401,
	InsufficientLevel: 401, StaleAuthentication: 401,

	InsufficientScope: 403, InsufficientMethods: 403,
	PolicyDenied: 403, PolicyNoMatch: 403, PolicyUnsatisfiable: 403,

	PolicyError: 503, PolicyTimeout: 503, RouteConfig: 503, KeysUnavailable: 503, Introspection: 503,
	Deadline: 503, Overloaded: 503, NotReady: 503, Internal: 503,
}

// Status returns the HTTP status for r. A reason that is not on the list is our own fault:
// 503.
func (r Reason) Status() int {
	if s, ok := status[r]; ok {
		return s
	}
	return 503
}

// Reasons lists every reason, sorted by name.
func Reasons() []Reason {
	all := make([]Reason, 0, len(status))
	for r := range status {
		all = append(all, r)
	}
	slices.Sort(all)
	return all
}

// The error codes of RFC 6750 §3.1, RFC 9470 §3 and RFC 9449 §7.1, §9.
const (
	ErrorInvalidRequest             = "invalid_request"
	ErrorInvalidToken               = "invalid_token"
	ErrorInsufficientScope          = "insufficient_scope"
	ErrorInsufficientAuthentication = "insufficient_user_authentication"
	ErrorInvalidProof               = "invalid_dpop_proof"
	ErrorUseNonce                   = "use_dpop_nonce"
)

// ErrorCode returns the OAuth error code of r, or empty if there is none. We tell no error
// to a caller without credentials (RFC 6750 §3.1), or to one that no credential would help.
func (r Reason) ErrorCode() string {
	switch r {
	case InsufficientLevel, StaleAuthentication:
		return ErrorInsufficientAuthentication
	case InsufficientScope:
		return ErrorInsufficientScope
	case DPoPProof:
		return ErrorInvalidProof
	case DPoPNonce:
		return ErrorUseNonce
	case NoCredentials:
		return ""
	}
	switch r.Status() {
	case 400:
		return ErrorInvalidRequest
	case 401:
		return ErrorInvalidToken
	}
	return ""
}
