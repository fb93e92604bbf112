package response

// The headers that tell an upstream who the caller is: their names after the configured
// prefix.
const (
	IdentitySubject    = "subject"
	IdentityIssuer     = "issuer"
	IdentityLevel      = "level"
	IdentityACR        = "acr"
	IdentityAMR        = "amr"
	IdentityAuthTime   = "auth-time"
	IdentityClientID   = "client-id"
	IdentityDecisionID = "decision-id"
)

// IdentityHeaders lists those names. Each is removed from a request if we do not set it;
// otherwise a client could forge it.
func IdentityHeaders() []string {
	return []string{IdentitySubject, IdentityIssuer, IdentityLevel, IdentityACR, IdentityAMR, IdentityAuthTime,
		IdentityClientID, IdentityDecisionID}
}
