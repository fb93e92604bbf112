package jwt

import (
	"slices"
	"strings"

	"github.com/stepward/stepward/pkg/token"
)

// Profile says what an issuer's access tokens look like, and so which of its
// other tokens are not access tokens (RFC 8725 §3.12).
type Profile string

// The profiles.
const (
	// RFC9068 is strict: header typ at+jwt, and all claims of RFC 9068 §2.2.
	RFC9068 Profile = "rfc9068"
	// Keycloak: typ at+jwt, or JWT with the claim typ Bearer or DPoP, by which Keycloak
	// tells its kinds of token apart; azp takes the place of client_id.
	Keycloak Profile = "keycloak"
	// Entra: version 2 access tokens of Microsoft Entra ID, told from ID tokens
	// by scp or roles or idtyp, which only access tokens have.
	Entra Profile = "entra"
	// Generic: typ absent, JWT or at+jwt. ID tokens are recognized by the claims that only
	// they have, and by their audience.
	Generic Profile = "generic"
)

// profile holds the rules of one Profile.
type profile struct {
	required []string
	client   string // the claim that names the client
	scope    string // the claim that lists the scopes
	typ      func(h header, claims map[string]any) bool
	// program reports whether a token without sub belongs to a program.
	program func(claims map[string]any) bool
}

// nobody reports that a token without a subject belongs to a program, unless its claims
// name a person (RFC 7662 §2.2: sub is optional in an answer, and username names the
// person).
func nobody(claims map[string]any) bool {
	_, person := claims["username"]
	return !person
}

// anybody reports that a token without a subject may belong to a person. Keycloak leaves
// sub out of users' tokens, too: if the client lacks the scope "basic", and in lightweight
// tokens.
func anybody(map[string]any) bool { return false }

var profiles = map[Profile]*profile{
	RFC9068: {
		required: []string{"iss", "exp", "aud", "sub", "client_id", "iat", "jti"}, client: "client_id", scope: "scope",
		typ:     func(h header, _ map[string]any) bool { return isAccessTokenType(h) },
		program: nobody,
	},
	Keycloak: {
		required: []string{"iss", "exp", "aud", "iat", "jti", "azp"}, client: "azp", scope: "scope",
		typ: func(h header, claims map[string]any) bool {
			kind, there := claims["typ"]
			bearer := kind == "Bearer" || kind == "DPoP"
			return isAccessTokenType(h) && (bearer || !there) || isPlainType(h) && h.hasTyp && bearer
		},
		program: anybody,
	},
	Entra: {
		required: []string{"iss", "exp", "aud", "iat", "sub", "azp", "ver"}, client: "azp", scope: "scp",
		typ: func(h header, claims map[string]any) bool {
			_, delegated := claims["scp"].(string)
			_, application := claims["roles"].([]any)
			return isPlainType(h) && h.hasTyp && claims["ver"] == "2.0" && (delegated || application)
		},
		program: nobody,
	},
	Generic: {
		required: []string{"iss", "exp", "aud", "sub"}, client: "client_id", scope: "scope",
		typ:     func(h header, _ map[string]any) bool { return isAccessTokenType(h) || isPlainType(h) },
		program: nobody,
	},
}

// ofOtherKinds lists claims that an access token never has: the claims of ID tokens (OpenID
// Connect Core §2, §3.1.3.6) and of security event and logout tokens (RFC 8417 §2.2).
var ofOtherKinds = []string{"nonce", "at_hash", "c_hash", "s_hash", "events"}

// checkKind refuses tokens of another kind, and tokens that lack a claim that the
// profile asks for.
func (i *issuer) checkKind(h header, claims map[string]any) *token.Error {
	p := profiles[i.Profile]
	if !p.typ(h, claims) {
		return fail(token.WrongType, i.Name, "not an access token of profile %s", i.Profile)
	}
	if slices.ContainsFunc(ofOtherKinds, func(name string) bool { _, there := claims[name]; return there }) {
		return fail(token.WrongType, i.Name, "a claim of another kind of token")
	}
	for _, name := range p.required {
		if _, there := claims[name]; !there {
			return fail(token.BadClaims, i.Name, "no %s, which profile %s requires", name, i.Profile)
		}
	}
	return nil
}

// isAccessTokenType compares typ as a media type, without regard to case and with an
// optional prefix (RFC 7515 §4.1.9, RFC 9068 §2.1).
func isAccessTokenType(h header) bool {
	return strings.TrimPrefix(strings.ToLower(h.typ), "application/") == "at+jwt"
}

func isPlainType(h header) bool {
	return !h.hasTyp || strings.TrimPrefix(strings.ToLower(h.typ), "application/") == "jwt"
}
