package jwt_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/internal/testidp"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/token"
	"github.com/stepward/stepward/pkg/trust/jwt"
	"github.com/stepward/stepward/pkg/trust/keyset"
)

func hmacWith(r rig, kid string) testidp.Token {
	return testidp.Token{Key: kid, Header: map[string]any{"alg": "HS256"}, Sign: func(signed string) []byte {
		m := hmac.New(sha256.New, r.idp.Signer(kid).Public().(*rsa.PublicKey).N.Bytes())
		m.Write([]byte(signed))
		return m.Sum(nil)
	}}
}

func saltOf(r rig, salt int) func(string) []byte {
	return func(signed string) []byte {
		digest := sha256.Sum256([]byte(signed))
		s, err := rsa.SignPSS(rand.Reader, r.idp.Signer("ps").(*rsa.PrivateKey), crypto.SHA256, digest[:],
			&rsa.PSSOptions{SaltLength: salt})
		if err != nil {
			panic(err)
		}
		return s
	}
}

func der(r rig) func(string) []byte {
	return func(signed string) []byte {
		digest := sha256.Sum256([]byte(signed))
		s, err := ecdsa.SignASN1(rand.Reader, r.idp.Signer("es").(*ecdsa.PrivateKey), digest[:])
		if err != nil {
			panic(err)
		}
		return s
	}
}

// One token has one spelling (RFC 7515 §2): no other serialization, no padding,
// no white space, no other bits that decode to the same.
func TestSpellings(t *testing.T) {
	r := newRig(t, jwt.RFC9068)
	good := r.mint(t, testidp.Token{})
	check(t, r, good, "")
	parts := strings.Split(good, ".")
	last := parts[2][len(parts[2])-1]
	for name, raw := range map[string]string{
		"empty": "", "dots": "..", "two parts": parts[0] + "." + parts[1], "no signature": parts[0] + "." + parts[1] +
			".",
		"four parts": good + ".x", "five parts": good + ".x.y", "padding": good + "==", "line feed": good + "\n",
		"line feed inside": parts[0] + ".\n" + parts[1] + "." + parts[2],
		"leading space":    " " + good, "standard alphabet": strings.NewReplacer("-", "+", "_", "/").Replace(good) +
			"+",
		"trailing bits": good[:len(good)-1] + string(
			"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[(strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", last)+1)%64]),
		"JSON": `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] +
			`"}`,
		"a header of two": b64(`{"alg":"ES256","alg":"none","kid":"es","typ":"at+jwt"}`) + "." + parts[1] + "." +
			parts[2],
		"a million dots": strings.Repeat(".", 16000),
	} {
		t.Run(name, func(t *testing.T) { check(t, r, raw, token.Malformed) })
	}
	// Every bit of the signature counts, and every byte of what it is over.
	for i := 0; i < len(good); i += 7 {
		b := []byte(good)
		if b[i] == '.' {
			continue
		}
		b[i] ^= 1
		if _, err := r.verify(string(b)); err == nil {
			t.Fatalf("accepted with byte %d changed", i)
		}
	}
}

func TestToken(t *testing.T) {
	r := newRig(t, jwt.RFC9068)
	tok, err := r.verify(r.mint(t, claims("acr", "loa:2", "amr", []string{"pwd", "otp"}, "scope", "read write",
		"auth_time", now.Unix()-5)))
	if err != nil || tok.Subject != "alice" || tok.ClientID != "web" || tok.Principal != token.User ||
		tok.Strongest().ACR != "loa:2" || len(tok.Strongest().AMR) != 2 ||
		len(tok.Scopes) != 2 || !tok.Strongest().At.Equal(now.Add(-5*time.Second)) || tok.IssuerName != "corp" ||
		tok.SenderConstrained {
		t.Errorf("%+v, %v", tok, err)
	}
	if tok, err := r.verify(r.mint(t, claims("sub", "web"))); err != nil || tok.Principal != token.Client {
		t.Errorf("a client for itself: %s, %v", tok.Principal, err)
	}
	if _, err := r.verifier.Verify(t.Context(), request.Request{}, credential.Credential{Scheme: credential.DPoP,
		Raw: r.mint(t, testidp.Token{})}); err == nil {
		t.Error("a DPoP credential is accepted without a proof")
	}
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// AT-04: a key that two issuers share lets no token of one pass as the other's, and the
// example of RFC 9470 §6.1 is read as it is meant.
func TestSharedKeysAndTheExampleOfRFC9470(t *testing.T) {
	idp, err := testidp.New(testidp.Options{Issuer: "https://as.example.net", Now: func() time.Time {
		return time.Unix(1646340250, 0)
	}})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := keyset.NewStatic("keys", idp.JWKS())
	if err != nil {
		t.Fatal(err)
	}
	v, err := jwt.NewVerifier([]jwt.Issuer{
		{Name: "one", URL: "https://as.example.net", Audiences: []string{"https://rs.example.com"}, Keys: keys},
		{Name: "two", URL: "https://two.example.net", Audiences: []string{"https://two.example.com"}, Keys: keys},
	}, jwt.Options{}, func() time.Time { return time.Unix(1646340250, 0) })
	if err != nil {
		t.Fatal(err)
	}
	verify := func(payload string) (*token.Token, error) {
		raw, err := idp.Mint(testidp.Token{Payload: []byte(payload)})
		if err != nil {
			t.Fatal(err)
		}
		return v.Verify(context.Background(), request.Request{}, credential.Credential{Scheme: credential.Bearer,
			Raw: raw})
	}
	const example = `{"iss":"https://as.example.net","sub":"someone@example.net","aud":"https://rs.example.com","exp":1646343000,"iat":1646340200,"jti":"e1j3V_bKic8-LAEB_lccD0G","client_id":"s6BhdRkqt3","scope":"purchase","auth_time":1646340198,"acr":"myACR"}`
	got, err := verify(example)
	if err != nil || got.Strongest().ACR != "myACR" || got.Strongest().At.Unix() != 1646340198 ||
		got.IssuerName != "one" || len(got.Scopes) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := verify(strings.Replace(example, "as.example.net", "two.example.net", 1)); err == nil {
		t.Errorf("a token of one for the audience of the other: %+v", got)
	}
	if got, err := verify(strings.Replace(strings.Replace(example, "as.example.net", "two.example.net", 1),
		"rs.example", "two.example", 1)); err != nil || got.IssuerName != "two" {
		t.Errorf("%+v, %v", got, err)
	}
}

// JW-02: a key is used with one algorithm, which its set names, or otherwise the
// issuer's list, in its order. JW-12: Ed25519 goes by either name.
func TestOneKeyOneAlgorithm(t *testing.T) {
	idp, err := testidp.New(testidp.Options{Issuer: "https://idp.example.com", Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal(idp.JWKS(), &set); err != nil {
		t.Fatal(err)
	}
	for _, k := range set.Keys {
		delete(k, "alg")
	}
	unpinned, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	code := func(jwks []byte, algorithms []string, kid string, header map[string]any) token.Code {
		keys, err := keyset.NewStatic("keys", jwks)
		if err != nil {
			t.Fatal(err)
		}
		v, err := jwt.NewVerifier([]jwt.Issuer{
			{Name: "corp", URL: "https://idp.example.com", Audiences: []string{testidp.Audience},
				Algorithms: algorithms, Keys: keys}}, jwt.Options{}, func() time.Time { return now })
		if err != nil {
			t.Fatal(err)
		}
		raw, err := idp.Mint(testidp.Token{Key: kid, Header: header})
		if err != nil {
			t.Fatal(err)
		}
		_, err = v.Verify(context.Background(), request.Request{}, credential.Credential{Scheme: credential.Bearer,
			Raw: raw})
		var failed *token.Error
		if errors.As(err, &failed) {
			return failed.Code
		}
		return ""
	}
	for name, v := range map[string]struct {
		jwks       []byte
		algorithms []string
		kid        string
		header     map[string]any
		want       token.Code
	}{
		"JW-02 pinned by its set":              {idp.JWKS(), nil, "ps", nil, ""},
		"JW-02 by the default list, RS256":     {unpinned, nil, "rs", nil, ""},
		"JW-02 by the default list, not PS256": {unpinned, nil, "ps", nil, token.BadAlgorithm},
		"JW-02 pinned by configuration":        {unpinned, []string{"PS256"}, "ps", nil, ""},
		"JW-02 first of two, PS256":            {unpinned, []string{"PS256", "RS256"}, "ps", nil, ""},
		"JW-02 first of two, not RS256":        {unpinned, []string{"PS256", "RS256"}, "rs", nil, token.BadAlgorithm},
		"JW-12 EdDSA":                          {idp.JWKS(), nil, "ed", nil, ""},
		"JW-12 Ed25519":                        {idp.JWKS(), nil, "ed", map[string]any{"alg": "Ed25519"}, ""},
		"JW-12 Ed25519 where EdDSA is listed": {unpinned, []string{"EdDSA"}, "ed", map[string]any{"alg": "Ed25519"},
			""},
		"JW-12 EdDSA where Ed25519 is listed":   {unpinned, []string{"Ed25519"}, "ed", nil, ""},
		"JW-12 neither where neither is listed": {unpinned, []string{"ES256"}, "ed", nil, token.BadAlgorithm},
	} {
		if got := code(v.jwks, v.algorithms, v.kid, v.header); got != v.want {
			t.Errorf("%s: %q; want %q", name, got, v.want)
		}
	}
}
