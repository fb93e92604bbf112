package jwt_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/trust/jwt"
)

// An assertion is one that another implementation would verify, by each kind of key.
func TestAssertion(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for alg, key := range map[string]any{"ES256": ec, "RS256": rs, "EdDSA": ed} {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		signer, err := jwt.ParseSigner(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
		if err != nil {
			t.Fatal(err)
		}
		raw, err := jwt.Assertion{Key: signer, KeyID: "k1", ClientID: "gateway", Audience: "https://idp.example.com",
			Now: func() time.Time { return now }, Rand: rand.Reader}.Sign()
		if err != nil {
			t.Fatal(err)
		}
		header, claims := decoded(t, raw)
		if header["alg"] != alg || header["kid"] != "k1" || claims["iss"] != "gateway" || claims["sub"] != "gateway" ||
			claims["aud"] != "https://idp.example.com" || claims["jti"] == "" || claims["exp"] != float64(
			now.Unix()+60) {
			t.Errorf("%v %v", header, claims)
		}
		if !signedBy(t, raw, signer.Public()) {
			t.Errorf("%s: the signature is not the key's", alg)
		}
		if signedBy(t, raw[:len(raw)-8]+"AAAAAAAA", signer.Public()) {
			t.Errorf("%s: any signature would do", alg)
		}
	}
	for _, text := range []string{"", "x", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		if _, err := jwt.ParseSigner([]byte(text)); err == nil {
			t.Errorf("%q is a key", text)
		}
	}
}

func decoded(t *testing.T, raw string) (header, claims map[string]any) {
	t.Helper()
	parts := strings.Split(raw, ".")
	for n, into := range []*map[string]any{&header, &claims} {
		b, err := base64.RawURLEncoding.DecodeString(parts[n])
		if err == nil {
			err = json.Unmarshal(b, into)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return header, claims
}

// signedBy verifies with the standard library alone.
func signedBy(t *testing.T, raw string, public crypto.PublicKey) bool {
	t.Helper()
	at := strings.LastIndexByte(raw, '.')
	signature, err := base64.RawURLEncoding.DecodeString(raw[at+1:])
	if err != nil {
		return false
	}
	digest := sha256.Sum256([]byte(raw[:at]))
	switch k := public.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(k, crypto.SHA256, digest[:], signature) == nil
	case ed25519.PublicKey:
		return ed25519.Verify(k, []byte(raw[:at]), signature)
	case *ecdsa.PublicKey:
		return len(signature) == 64 && ecdsa.Verify(k, digest[:], new(big.Int).SetBytes(signature[:32]),
			new(big.Int).SetBytes(signature[32:]))
	}
	return false
}
