package jwt_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/internal/testidp"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/trust/jwt"
	"github.com/stepward/stepward/pkg/trust/keyset"
)

// BenchmarkVerify measures verification beside the bare check of the same signature
// in the same run: compare the ratios, not the times.
func BenchmarkVerify(b *testing.B) {
	idp, err := testidp.Start(testidp.Options{Now: func() time.Time { return now }})
	if err != nil {
		b.Fatal(err)
	}
	defer idp.Close()
	keys, err := keyset.NewStatic("keys", idp.JWKS())
	if err != nil {
		b.Fatal(err)
	}
	verifier := func(cache int) *jwt.Verifier {
		v, err := jwt.NewVerifier([]jwt.Issuer{{Name: "corp", URL: idp.URL, Audiences: []string{testidp.Audience},
			Keys: keys}}, jwt.Options{CacheSize: cache}, func() time.Time { return now })
		if err != nil {
			b.Fatal(err)
		}
		return v
	}
	run := func(name string, v *jwt.Verifier, raw string, good bool) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(context.Background(), request.Request{}, credential.Credential{
					Scheme: credential.Bearer, Raw: raw}); (err == nil) != good {
					b.Fatal(err)
				}
			}
		})
	}
	var rs string
	for _, x := range []struct{ alg, kid string }{{"RS256", "rs"}, {"ES256", "es"}, {"EdDSA", "ed"}} {
		raw, err := idp.Mint(testidp.Token{Key: x.kid})
		if err != nil {
			b.Fatal(err)
		}
		if x.kid == "rs" {
			rs = raw
		}
		b.Run("bare/"+x.alg, func(b *testing.B) { bare(b, idp.Signer(x.kid).Public(), raw) })
		run("cold/"+x.alg, verifier(-1), raw, true)
	}
	run("cached/RS256", verifier(0), rs, true)
	run("garbage/not three parts", verifier(-1), strings.Repeat("a", 600), false)
	run("garbage/not base64url", verifier(-1), strings.Repeat("a", 100)+"."+strings.Repeat("+", 400)+"."+strings.Repeat(
		"a", 300), false)
	run("garbage/not JSON", verifier(-1), strings.Repeat("YWFh", 30)+"."+strings.Repeat("YWFh", 100)+"."+strings.Repeat(
		"YWFh", 80), false)
	run("garbage/again", verifier(0), rs[:len(rs)-8]+"AAAAAAAA", false)
}

// bare measures the check of a signature and nothing else.
func bare(b *testing.B, public crypto.PublicKey, raw string) {
	i := strings.LastIndexByte(raw, '.')
	signed := []byte(raw[:i])
	signature, err := base64.RawURLEncoding.DecodeString(raw[i+1:])
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		ok := false
		switch p := public.(type) {
		case *rsa.PublicKey:
			digest := sha256.Sum256(signed)
			ok = rsa.VerifyPKCS1v15(p, crypto.SHA256, digest[:], signature) == nil
		case *ecdsa.PublicKey:
			digest := sha256.Sum256(signed)
			ok = ecdsa.Verify(p, digest[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(
				signature[32:]))
		case ed25519.PublicKey:
			ok = ed25519.Verify(p, signed, signature)
		}
		if !ok {
			b.Fatal("not a signature")
		}
	}
}
