package testidp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"
)

// Holder is a client that holds a key, to which tokens can be bound.
type Holder struct{ key *ecdsa.PrivateKey }

// NewHolder makes a key.
func NewHolder() (*Holder, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return &Holder{key}, err
}

// Thumbprint returns the thumbprint to which a token is bound (RFC 7638).
func (h *Holder) Thumbprint() string {
	k := publicJWK(h.key.Public())
	digest := sha256.Sum256(fmt.Appendf(nil, `{"crv":%q,"kty":%q,"x":%q,"y":%q}`, k["crv"], k["kty"], k["x"], k["y"]))
	return b64(digest[:])
}

// Prove makes a DPoP proof for a request with a token (RFC 9449 §4.2), dated now. Changes
// are members of the header, or of the claims if their names begin with a dot; nil leaves a
// member out.
func (h *Holder) Prove(method, uri, token string, changes map[string]any) (string, error) {
	digest := sha256.Sum256([]byte(token))
	header := map[string]any{"typ": "dpop+jwt", "alg": "ES256", "jwk": publicJWK(h.key.Public())}
	claims := map[string]any{"jti": rand.Text(), "htm": method, "htu": uri, "iat": time.Now().Unix(),
		"ath": b64(digest[:])}
	headerChanges, claimChanges := map[string]any{}, map[string]any{}
	for name, value := range changes {
		if claim, ok := strings.CutPrefix(name, "."); ok {
			claimChanges[claim] = value
		} else {
			headerChanges[name] = value
		}
	}
	signed := b64(encode(merged(header, headerChanges))) + "." + b64(encode(merged(claims, claimChanges)))
	signature, err := sign("ES256", h.key, signed)
	return signed + "." + b64(signature), err
}
