package authz

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/stepward/stepward/pkg/stepup"
)

// sealedFor limits how long a login application should believe a sealed requirement.
const sealedFor = 10 * time.Minute

// sealedBlock is the block length in bytes: every sealed text is padded to a multiple of
// it.
const sealedBlock = 256

// sealedHeader says how a requirement is sealed: as a compact JWE under the key itself (RFC
// 7516 §7.1, RFC 7518 §4.5, §5.3), which libraries in any language can open.
const sealedHeader = `{"alg":"dir","enc":"A256GCM","typ":"step-up+jwe"}`

// NewSealer makes the Seal of a [LoginRedirect] with a key of 32 bytes. It seals a JSON
// object with iat, exp, and acr_values and max_age as in an authorization request.
func NewSealer(key []byte, now func() time.Time) (func(stepup.Ask) string, error) {
	if len(key) != 32 {
		return nil, fmt.Errorf("authz: a sealing key has %d bytes, and must have 32", len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("authz: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("authz: %w", err)
	}
	return func(ask stepup.Ask) string {
		at := now()
		said := struct {
			ACRValues string `json:"acr_values,omitempty"`
			MaxAge    string `json:"max_age,omitempty"`
			IssuedAt  int64  `json:"iat"`
			Expires   int64  `json:"exp"`
		}{strings.Join(ask.ACRValues, " "), ask.MaxAge.Seconds(), at.Unix(), at.Add(sealedFor).Unix()}
		text, err := json.Marshal(said)
		if err != nil {
			return "" // texts and numbers are always JSON
		}
		for len(text)%sealedBlock != 0 { // otherwise the length would reveal what is asked for
			text = append(text, ' ')
		}
		header := base64.RawURLEncoding.EncodeToString([]byte(sealedHeader))
		sealed := aead.Seal(nil, nil, text, []byte(header)) // nonce, text, tag
		nonce, tag := 12, len(sealed)-16
		part := base64.RawURLEncoding.EncodeToString
		return strings.Join([]string{header, "", part(sealed[:nonce]), part(sealed[nonce:tag]), part(sealed[tag:])},
			".")
	}, nil
}
