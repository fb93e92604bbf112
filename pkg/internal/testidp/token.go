package testidp

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
)

// Token says how a minted token differs from a good one.
type Token struct {
	Key     string                     // kid of the key to sign with; empty means es
	Header  map[string]any             // members to set; nil values are left out
	Claims  map[string]any             // likewise
	Payload []byte                     // replaces the claims
	Sign    func(signed string) []byte // replaces the signature
}

// Mint signs an access token by RFC 9068, valid for five minutes: user alice, client web,
// authenticated now, modified by t.
func (p *IDP) Mint(t Token) (string, error) {
	kid := t.Key
	if kid == "" {
		kid = "es"
	}
	p.mu.Lock()
	key := p.keys[kid]
	p.mu.Unlock()
	if key == nil {
		return "", fmt.Errorf("testidp: no key %q", kid)
	}
	header := merged(map[string]any{"typ": "at+jwt", "kid": kid, "alg": algorithmOf(kid, key)}, t.Header)
	payload := t.Payload
	if payload == nil {
		payload = encode(merged(p.claims(), t.Claims))
	}
	signed := b64(encode(header)) + "." + b64(payload)
	if t.Sign != nil {
		return signed + "." + b64(t.Sign(signed)), nil
	}
	alg, _ := header["alg"].(string)
	signature, err := sign(alg, key, signed)
	return signed + "." + b64(signature), err
}

func (p *IDP) claims() map[string]any {
	now := p.now().Unix()
	return map[string]any{
		"iss": p.URL, "aud": Audience, "sub": "alice", "client_id": "web", "jti": b64(random(12)),
		"iat": now, "exp": now + 300, "auth_time": now,
	}
}

func merged(base, changes map[string]any) map[string]any {
	out := maps.Clone(base)
	for name, value := range changes {
		if value == nil {
			delete(out, name)
		} else {
			out[name] = value
		}
	}
	return out
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // tests put in only plain values
	}
	return b
}

func random(n int) []byte {
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		panic(err) // never, since Go 1.24
	}
	return b
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
