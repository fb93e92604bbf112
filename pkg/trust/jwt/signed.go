package jwt

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/stepward/stepward/pkg/trust/introspection"
)

// Signed reads documents other than tokens that an issuer signs, with the same keys and by
// the same rules.
type Signed struct {
	i   issuer
	now func() time.Time
}

// NewSigned makes a reader for what i signs. It uses the URL, Algorithms, Leeway and Keys
// of i.
func NewSigned(i Issuer, now func() time.Time) *Signed {
	i.Algorithms = algorithms(i.Algorithms)
	return &Signed{i: issuer{i}, now: now}
}

// Claims verifies raw, which must be of the given typ (RFC 8725 §3.11), and returns its
// claims. Any error means that raw must not be believed.
func (s *Signed) Claims(ctx context.Context, raw, typ string) (map[string]any, error) {
	parts, h, claims, failed := parse(raw)
	if failed != nil {
		return nil, failed
	}
	if strings.TrimPrefix(strings.ToLower(h.typ), "application/") != typ {
		return nil, errors.New("jwt: of another typ than " + typ)
	}
	if failed := s.i.checkSignature(ctx, h, parts); failed != nil {
		return nil, failed
	}
	return claims, nil
}

// answerAge is how old a signed answer may be, in addition to the leeway for clocks.
const answerAge = time.Minute

// Introspection returns what a signed introspection response says, if it is addressed to
// the client (RFC 9701 §5).
func (s *Signed) Introspection(ctx context.Context, raw, clientID string) (map[string]any, error) {
	claims, err := s.Claims(ctx, raw, strings.TrimPrefix(introspection.JWTType, "application/"))
	if err != nil {
		return nil, err
	}
	r := reader{claims: claims}
	issued, now := r.time("iat"), s.now()
	switch {
	case claims["iss"] != s.i.URL:
		return nil, errors.New("jwt: an answer of another issuer")
	case !slices.Contains(r.texts("aud", true), clientID):
		return nil, errors.New("jwt: an answer for another client")
	case r.wrong != "" || issued.IsZero() || issued.After(now.Add(s.i.Leeway)) || issued.Before(
		now.Add(-s.i.Leeway-answerAge)):
		return nil, errors.New("jwt: an answer of another time")
	}
	answer, ok := claims["token_introspection"].(map[string]any)
	if !ok {
		return nil, errors.New("jwt: no token_introspection")
	}
	return answer, nil
}

// ParseSigner reads a private key in PEM: PKCS #8, PKCS #1 or SEC 1.
func ParseSigner(text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("jwt: not a key in PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	}
	if err != nil {
		key, err = x509.ParseECPrivateKey(block.Bytes)
	}
	signer, ok := key.(crypto.Signer)
	if err != nil || !ok {
		return nil, errors.New("jwt: not a private key")
	}
	if _, err := algorithmOf(signer); err != nil {
		return nil, err
	}
	return signer, nil
}

func algorithmOf(key crypto.Signer) (jwa.SignatureAlgorithm, error) {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return jwa.RS256, nil
	case ed25519.PrivateKey:
		return jwa.EdDSA, nil
	case *ecdsa.PrivateKey:
		for name, alg := range map[string]jwa.SignatureAlgorithm{"P-256": jwa.ES256, "P-384": jwa.ES384,
			"P-521": jwa.ES512} {
			if k.Curve.Params().Name == name {
				return alg, nil
			}
		}
	}
	return "", errors.New("jwt: a key that no supported algorithm uses")
}

// Assertion lets a client authenticate (RFC 7523 §2.2, §3).
type Assertion struct {
	Key      crypto.Signer
	KeyID    string // kid, or empty
	ClientID string
	Audience string // the issuer to which it is shown
	Now      func() time.Time
	Rand     io.Reader
}

// assertionFor is how long an assertion is valid.
const assertionFor = time.Minute

// Sign makes an assertion with a new jti.
func (a Assertion) Sign() (string, error) {
	id := make([]byte, 16)
	if _, err := io.ReadFull(a.Rand, id); err != nil {
		return "", fmt.Errorf("jwt: %w", err)
	}
	now := a.Now()
	payload, err := json.Marshal(map[string]any{
		"iss": a.ClientID, "sub": a.ClientID, "aud": a.Audience, "jti": base64.RawURLEncoding.EncodeToString(id),
		"iat": now.Unix(), "exp": now.Add(assertionFor).Unix(),
	})
	if err != nil {
		return "", fmt.Errorf("jwt: %w", err)
	}
	alg, err := algorithmOf(a.Key)
	if err != nil {
		return "", err
	}
	headers := jws.NewHeaders()
	if err := headers.Set(jws.TypeKey, "JWT"); err != nil {
		return "", fmt.Errorf("jwt: %w", err)
	}
	if a.KeyID != "" {
		if err := headers.Set(jws.KeyIDKey, a.KeyID); err != nil {
			return "", fmt.Errorf("jwt: %w", err)
		}
	}
	signed, err := jws.Sign(payload, jws.WithKey(alg, a.Key, jws.WithProtectedHeaders(headers)))
	if err != nil {
		return "", errors.New("jwt: the key does not sign")
	}
	return string(signed), nil
}
