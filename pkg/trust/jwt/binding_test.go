package jwt_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
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

// holder is a client that holds a key, and proves it.
type holder struct {
	key  crypto.Signer
	jwk  map[string]any
	thum string
}

func newHolder(t testing.TB) holder {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	jwk := map[string]any{"kty": "EC", "crv": "P-256", "x": base64.RawURLEncoding.EncodeToString(public[1:33]),
		"y": base64.RawURLEncoding.EncodeToString(public[33:])}
	text, err := json.Marshal(jwk)
	if err != nil {
		t.Fatal(err)
	}
	k, err := keyset.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	thumbprint, err := k.Thumbprint()
	if err != nil {
		t.Fatal(err)
	}
	return holder{key, jwk, thumbprint}
}

// prove makes a proof for raw; changes go into header ("typ") or claims (".htm").
func (h holder) prove(t testing.TB, raw string, changes map[string]any) string {
	t.Helper()
	digest := sha256.Sum256([]byte(raw))
	header := map[string]any{"typ": "dpop+jwt", "alg": "ES256", "jwk": h.jwk}
	body := map[string]any{"jti": rand.Text(), "htm": "GET", "htu": "https://api.example.com/orders/1",
		"iat": now.Unix(), "ath": base64.RawURLEncoding.EncodeToString(digest[:])}
	for name, value := range changes {
		into := header
		if claim, ok := strings.CutPrefix(name, "."); ok {
			into, name = body, claim
		}
		if into[name] = value; value == nil {
			delete(into, name)
		}
	}
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	signed := part(header) + "." + part(body)
	sum := sha256.Sum256([]byte(signed))
	var signature []byte
	switch key := h.key.(type) {
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		signature = make([]byte, 64)
		r.FillBytes(signature[:32])
		s.FillBytes(signature[32:])
	case ed25519.PrivateKey:
		signature = ed25519.Sign(key, []byte(signed))
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// door is a verifier with DPoP, and its clock.
type door struct {
	rig
	now time.Time
}

func newDoor(t testing.TB, change func(*jwt.DPoP)) *door {
	t.Helper()
	d := &door{now: now.Add(-time.Hour)} // proofs are remembered for an hour already
	idp, err := testidp.Start(testidp.Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(idp.Close)
	keys, err := keyset.NewStatic("keys", idp.JWKS())
	if err != nil {
		t.Fatal(err)
	}
	terms := &jwt.DPoP{Origins: []string{"https://api.example.com", "https://other.example.com:8443"},
		Replays: jwt.NewMemoryReplays(100, func() time.Time { return d.now })}
	if d.now = now; change != nil {
		change(terms)
	}
	v, err := jwt.NewVerifier([]jwt.Issuer{{Name: "corp", URL: idp.URL, Audiences: []string{testidp.Audience},
		Keys: keys, DPoP: terms, Leeway: 5 * time.Second}}, jwt.Options{}, func() time.Time { return d.now })
	if err != nil {
		t.Fatal(err)
	}
	d.rig = rig{idp, v}
	return d
}

func (d *door) present(scheme credential.Scheme, raw, proof, certificate string) (*token.Token, token.Code,
	*token.Error) {
	t, err := d.verifier.Verify(context.Background(), request.Request{Method: "GET", Host: "api.example.com",
		RawPath: "/orders/1",
		Source:  request.Source{Certificate: certificate}}, credential.Credential{Scheme: scheme, Raw: raw,
		Proof: proof})
	var failed *token.Error
	if errors.As(err, &failed) {
		return t, failed.Code, failed
	}
	return t, "", nil
}

// The twelve checks of RFC 9449 §4.3, each by one change to a proof that is accepted.
func TestDPoPProof(t *testing.T) {
	d, h, other := newDoor(t, nil), newHolder(t), newHolder(t)
	raw := d.mint(t, claims("cnf", map[string]any{"jkt": h.thum}))
	if got, code, _ := d.present(credential.DPoP, raw, h.prove(t, raw, nil), ""); code != "" ||
		!got.SenderConstrained || got.Scheme != credential.DPoP {
		t.Fatalf("as it should be: %s %+v", code, got)
	}
	private := map[string]any{"d": "AAAA"}
	for k, v := range h.jwk {
		private[k] = v
	}
	for name, v := range map[string]struct {
		changes map[string]any
		want    token.Code
	}{
		"DP-01 3 no jti":                 {map[string]any{".jti": nil}, token.DPoPProof},
		"DP-01 3 empty jti":              {map[string]any{".jti": ""}, token.DPoPProof},
		"DP-01 3 long jti":               {map[string]any{".jti": strings.Repeat("a", 513)}, token.DPoPProof},
		"DP-01 3 no htm":                 {map[string]any{".htm": nil}, token.DPoPProof},
		"DP-01 3 no htu":                 {map[string]any{".htu": nil}, token.DPoPProof},
		"DP-01 3 no iat":                 {map[string]any{".iat": nil}, token.DPoPProof},
		"DP-01 3 no ath":                 {map[string]any{".ath": nil}, token.DPoPProof},
		"DP-01 3 iat is text":            {map[string]any{".iat": "1800000000"}, token.DPoPProof},
		"DP-01 4 typ of a token":         {map[string]any{"typ": "at+jwt"}, token.DPoPProof},
		"DP-01 4 no typ":                 {map[string]any{"typ": nil}, token.DPoPProof},
		"DP-01 5 none":                   {map[string]any{"alg": "none"}, token.DPoPProof},
		"DP-01 5 symmetric":              {map[string]any{"alg": "HS256"}, token.DPoPProof},
		"DP-01 5 not configured":         {map[string]any{"alg": "RS256"}, token.DPoPProof},
		"DP-01 5 of another type of key": {map[string]any{"alg": "EdDSA"}, token.DPoPProof},
		"DP-01 6 another's key":          {map[string]any{"jwk": other.jwk}, token.DPoPProof},
		"DP-01 7 a private key":          {map[string]any{"jwk": private}, token.DPoPProof},
		"DP-01 no key":                   {map[string]any{"jwk": nil}, token.DPoPProof},
		"DP-01 one header too many":      {map[string]any{"kid": "x"}, token.DPoPProof},
		"DP-01 crit":                     {map[string]any{"crit": []string{"x"}}, token.DPoPProof},
		"DP-01 8 another method":         {map[string]any{".htm": "POST"}, token.DPoPProof},
		"DP-01 8 another case":           {map[string]any{".htm": "get"}, token.DPoPProof},
		"DP-01 9 another path":           {map[string]any{".htu": "https://api.example.com/orders/2"}, token.DPoPProof},
		"DP-01 9 another host": {map[string]any{".htu": "https://evil.example.com/orders/1"},
			token.DPoPProof},
		"DP-01 9 another of our origins": {map[string]any{".htu": "https://other.example.com:8443/orders/1"},
			token.DPoPProof},
		"DP-01 9 another scheme": {map[string]any{".htu": "http://api.example.com/orders/1"}, token.DPoPProof},
		"DP-01 9 another port": {map[string]any{".htu": "https://api.example.com:8443/orders/1"},
			token.DPoPProof},
		"DP-01 9 with a user": {map[string]any{".htu": "https://api.example.com@evil/orders/1"},
			token.DPoPProof},
		"DP-01 9 with dots": {map[string]any{".htu": "https://api.example.com/x/../orders/1"},
			token.DPoPProof},
		"DP-01 9 not a URI":          {map[string]any{".htu": "orders/1"}, token.DPoPProof},
		"DP-04 case, port, query":    {map[string]any{".htu": "HTTPS://API.example.com:443/orders/1?x=1#y"}, ""},
		"DP-04 an escaped letter":    {map[string]any{".htu": "https://api.example.com/%6frders/1"}, ""},
		"DP-01 11 too old":           {map[string]any{".iat": now.Unix() - 61}, token.DPoPProof},
		"DP-01 11 old enough":        {map[string]any{".iat": now.Unix() - 60}, ""},
		"DP-01 11 in the future":     {map[string]any{".iat": now.Unix() + 6}, token.DPoPProof},
		"DP-01 11 within the leeway": {map[string]any{".iat": now.Unix() + 5}, ""},
		"DP-01 12 ath of another token": {map[string]any{".ath": "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"},
			token.DPoPProof},
		"DP-01 12 ath with padding": {map[string]any{".ath": "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo="},
			token.DPoPProof},
	} {
		if _, code, err := d.present(credential.DPoP, raw, h.prove(t, raw, v.changes), ""); code != v.want {
			t.Errorf("%s: %q (%v); want %q", name, code, err, v.want)
		}
	}
	for name, proof := range map[string]string{"none": "", "not three parts": "a.b", "huge": strings.Repeat("a", 9000),
		"the token": raw, "two": h.prove(t, raw, nil) + "," + h.prove(t, raw, nil)} {
		if _, code, _ := d.present(credential.DPoP, raw, proof, ""); code != token.DPoPProof {
			t.Errorf("DP-01 2 %s: %q", name, code)
		}
	}
	if _, code, _ := d.present(credential.DPoP, raw, other.prove(t, raw, nil), ""); code != token.BadBinding {
		t.Errorf("DP-01 12 a proof by another key: %q", code)
	}
}

// DP-06: a proof is good once, as long as it is good at all; what cannot be
// remembered is refused.
func TestDPoPReplay(t *testing.T) {
	d, h := newDoor(t, nil), newHolder(t)
	raw := d.mint(t, claims("cnf", map[string]any{"jkt": h.thum}))
	proof := h.prove(t, raw, nil)
	if _, code, _ := d.present(credential.DPoP, raw, proof, ""); code != "" {
		t.Fatal(code)
	}
	for _, later := range []time.Duration{0, 30 * time.Second, 60 * time.Second} {
		d.now = now.Add(later)
		if _, code, _ := d.present(credential.DPoP, raw, proof, ""); code != token.DPoPProof {
			t.Errorf("again after %s: %q", later, code)
		}
	}
	d.now = now
	full := token.Code("")
	for range 120 {
		if _, code, _ := d.present(credential.DPoP, raw, h.prove(t, raw, nil), ""); code != "" {
			full = code
		}
	}
	if full != token.Overloaded {
		t.Errorf("more than can be remembered: %q", full)
	}
}

// A token that is bound never passes as a plain bearer, nor does a proof make one that
// is not bound more than it is.
func TestBindingIsNeverDropped(t *testing.T) {
	d, h := newDoor(t, nil), newHolder(t)
	plain := d.mint(t, testidp.Token{})
	bound := d.mint(t, claims("cnf", map[string]any{"jkt": h.thum}))
	for name, v := range map[string]struct {
		scheme credential.Scheme
		raw    string
		want   token.Code
	}{
		"bearer, not bound":   {credential.Bearer, plain, ""},
		"DP-02 bearer, bound": {credential.Bearer, bound, token.BadBinding},
		"DPoP, not bound":     {credential.DPoP, plain, token.BadBinding},
		"a digest of no length": {credential.DPoP, d.mint(t, claims("cnf", map[string]any{"jkt": "AAAA"})),
			token.BadBinding},
		"cnf is empty": {credential.Bearer, d.mint(t, claims("cnf", map[string]any{})), token.BadBinding},
		"cnf is text":  {credential.Bearer, d.mint(t, claims("cnf", h.thum)), token.BadBinding},
		"cnf of an unknown kind": {credential.Bearer, d.mint(t, claims("cnf", map[string]any{"kid": "x"})),
			token.BadBinding},
		"an unknown kind beside it": {credential.DPoP,
			d.mint(t, claims("cnf", map[string]any{"jkt": h.thum, "kid": "x"})), ""},
		"session": {credential.Session, plain, token.BadBinding},
	} {
		for range 2 { // the second time from the cache
			got, code, err := d.present(v.scheme, v.raw, h.prove(t, v.raw, nil), "")
			if code != v.want || code == "" && got.SenderConstrained != (v.scheme == credential.DPoP) {
				t.Errorf("%s: %q (%v); want %q", name, code, err, v.want)
			}
		}
	}
	off := newRig(t, jwt.RFC9068)
	if _, err := off.verifier.Verify(t.Context(), request.Request{}, credential.Credential{Scheme: credential.DPoP,
		Raw: off.mint(t, claims("cnf", map[string]any{"jkt": h.thum})), Proof: "x"}); err == nil {
		t.Error("DPoP is accepted where it is not configured")
	}
}

// The vectors of RFC 9449 §6.1 and §7.1 (a thumbprint) and RFC 8705 Appendix A (a
// certificate).
const (
	rfc9449Key         = `{"kty":"EC","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA","crv":"P-256"}`
	rfc9449Thumbprint  = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
	rfc8705Thumbprint  = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"
	rfc8705Certificate = `-----BEGIN CERTIFICATE-----
MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAx
ODEyMzcwOVoXDTIyMDUwMjEyMzcwOVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqG
SM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ
/Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwID
SQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOV
bUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY=
-----END CERTIFICATE-----
`
)

func TestVectorsOfTheRFCs(t *testing.T) {
	k, err := keyset.ParseKey([]byte(rfc9449Key))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := k.Thumbprint(); err != nil || got != rfc9449Thumbprint {
		t.Errorf("%s, %v", got, err)
	}
}

// MT-01, MT-02: a token that is bound to a certificate passes with that one alone.
func TestCertificateBinding(t *testing.T) {
	d := newDoor(t, nil)
	h := newHolder(t)
	raw := d.mint(t, claims("cnf", map[string]any{"x5t#S256": rfc8705Thumbprint}))
	encoded := strings.NewReplacer("\n", "%0A", " ", "%20", "+", "%2B", "/", "%2F", "=", "%3D").Replace(
		rfc8705Certificate)
	another := strings.Replace(encoded, "MIIBBjCB", "MIIBBjCA", 1)
	for name, v := range map[string]struct {
		certificate string
		want        token.Code
	}{
		"its own, as Envoy encodes it": {encoded, ""},
		"its own, encoded by a library": {url.QueryEscape(rfc8705Certificate)[:0] + url.PathEscape(rfc8705Certificate),
			""},
		"none":             {"", token.BadBinding},
		"another":          {another, token.BadBinding},
		"not PEM":          {"x", token.BadBinding},
		"not encoded well": {"%zz", token.BadBinding},
		"an empty block": {"-----BEGIN CERTIFICATE-----%0A-----END CERTIFICATE-----%0A",
			token.BadBinding},
		"another kind of block": {strings.ReplaceAll(encoded, "CERTIFICATE", "PUBLIC%20KEY"), token.BadBinding},
	} {
		got, code, err := d.present(credential.Bearer, raw, "", v.certificate)
		if code != v.want || (got != nil) != (v.want == "") || got != nil && !got.SenderConstrained {
			t.Errorf("%s: %q (%v); want %q", name, code, err, v.want)
		}
	}
	// What a trusted proxy forwards stands in place of its own certificate, either way.
	for name, v := range map[string]struct {
		forwarded, peer string
		want            token.Code
	}{
		"its own, forwarded": {rfc8705Thumbprint, another, ""},
		"another, forwarded": {rfc9449Thumbprint, encoded, token.BadBinding},
	} {
		r := request.Request{ClientCertificate: v.forwarded, Source: request.Source{Certificate: v.peer}}
		_, err := d.verifier.Verify(t.Context(), r, credential.Credential{Scheme: credential.Bearer, Raw: raw})
		var failed *token.Error
		if _ = errors.As(err, &failed); (failed == nil) != (v.want == "") || failed != nil && failed.Code != v.want {
			t.Errorf("%s: %v; want %q", name, err, v.want)
		}
	}
	both := d.mint(t, claims("cnf", map[string]any{"x5t#S256": rfc8705Thumbprint, "jkt": h.thum}))
	for name, v := range map[string]struct {
		proof, certificate string
		want               token.Code
	}{
		"both bindings":        {h.prove(t, both, nil), encoded, ""},
		"the certificate only": {"", encoded, token.DPoPProof},
		"the proof only":       {h.prove(t, both, nil), "", token.BadBinding},
	} {
		if _, code, err := d.present(credential.DPoP, both, v.proof, v.certificate); code != v.want {
			t.Errorf("%s: %q (%v); want %q", name, code, err, v.want)
		}
	}
}
