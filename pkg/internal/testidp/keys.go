package testidp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"math/big"
)

// AddKey makes and publishes a key. The first letters of kid choose its type: rs
// and ps are RSA, ed is Ed25519, everything else EC on P-256.
func (p *IDP) AddKey(kid string) error {
	var key crypto.Signer
	var err error
	switch {
	case len(kid) >= 2 && (kid[:2] == "rs" || kid[:2] == "ps"):
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case len(kid) >= 2 && kid[:2] == "ed":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys[kid] = key
	return err
}

// RemoveKey stops publishing a key. Mint can still sign with it.
func (p *IDP) RemoveKey(kid string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hidden[kid] = true
}

// JWKS returns the published key set.
func (p *IDP) JWKS() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	keys := []map[string]string{}
	for kid, key := range p.keys {
		if !p.hidden[kid] {
			jwk := publicJWK(key.Public())
			jwk["kid"], jwk["use"], jwk["alg"] = kid, "sig", algorithmOf(kid, key)
			keys = append(keys, jwk)
		}
	}
	b, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		panic(err) // strings only
	}
	return b
}

func algorithmOf(kid string, key crypto.Signer) string {
	switch key.(type) {
	case *rsa.PrivateKey:
		if kid[:2] == "ps" {
			return "PS256"
		}
		return "RS256"
	case ed25519.PrivateKey:
		return "EdDSA"
	}
	return "ES256"
}

func publicJWK(public crypto.PublicKey) map[string]string {
	switch k := public.(type) {
	case *rsa.PublicKey:
		return map[string]string{"kty": "RSA", "n": b64(k.N.Bytes()), "e": b64(big.NewInt(int64(k.E)).Bytes())}
	case ed25519.PublicKey:
		return map[string]string{"kty": "OKP", "crv": "Ed25519", "x": b64(k)}
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			panic(err) // a key of our own making
		}
		return map[string]string{"kty": "EC", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])}
	}
	return nil
}

// sign makes a signature with alg if the key can, and otherwise with an algorithm that it
// can use.
func sign(alg string, key crypto.Signer, signed string) ([]byte, error) {
	digest := sha256.Sum256([]byte(signed))
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if alg == "PS256" {
			return rsa.SignPSS(rand.Reader, k, crypto.SHA256, digest[:], &rsa.PSSOptions{
				SaltLength: rsa.PSSSaltLengthEqualsHash})
		}
		return rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, digest[:])
	case ed25519.PrivateKey:
		return ed25519.Sign(k, []byte(signed)), nil
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, k, digest[:])
		if err != nil {
			return nil, err
		}
		out := make([]byte, 64)
		r.FillBytes(out[:32])
		s.FillBytes(out[32:])
		return out, nil
	}
	return nil, errors.New("testidp: no such key")
}

// Signer returns the private key named kid, for a test's own signatures.
func (p *IDP) Signer(kid string) crypto.Signer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.keys[kid]
}
