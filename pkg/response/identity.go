package response

import "strings"

// The headers that tell an upstream who the caller is, by their names after the prefix that
// is configured.
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

// Names are the identity headers under one prefix, spelt out once. The zero Names have no
// prefix, and nothing can be told under them.
type Names struct {
	prefix    string
	full      map[string]string
	spellings []string
}

// NewNames returns the names under prefix, such as "x-stepward-".
func NewNames(prefix string) Names {
	n := Names{prefix: prefix, full: map[string]string{}}
	for _, name := range IdentityHeaders() {
		n.full[name] = prefix + name
		n.spellings = append(n.spellings, prefix+name,
			strings.ReplaceAll(prefix+name, "-", "_"), strings.ReplaceAll(prefix+name, "-", "."))
	}
	return n
}

// Prefix returns what every name begins with.
func (n Names) Prefix() string { return n.prefix }

// Header returns the whole name of one of [IdentityHeaders].
func (n Names) Header(name string) string { return n.full[name] }

// Spellings lists each name as it is set, and as a careless upstream may read it too: with
// "_" or "." for "-". Nobody may change the list.
func (n Names) Spellings() []string { return n.spellings }
