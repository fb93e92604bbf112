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
	"github.com/stepward/stepward/pkg/token"
	"github.com/stepward/stepward/pkg/trust/jwt"
	"github.com/stepward/stepward/pkg/trust/keyset"
)

var now = time.Unix(1_800_000_000, 0)

// rig is one issuer of each profile with the same provider behind them.
type rig struct {
	idp      *testidp.IDP
	verifier *jwt.Verifier
}

func newRig(t testing.TB, profile jwt.Profile) rig {
	t.Helper()
	idp, err := testidp.Start(testidp.Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(idp.Close)
	keys, err := keyset.NewStatic("keys", idp.JWKS())
	if err != nil {
		t.Fatal(err)
	}
	v, err := jwt.NewVerifier([]jwt.Issuer{
		{Name: "corp", URL: idp.URL, Audiences: []string{testidp.Audience}, Profile: profile, Leeway: 30 * time.Second, Keys: keys},
		{Name: "other", URL: "https://other.example.com", Audiences: []string{testidp.Audience}, Algorithms: []string{"RS256"}, Keys: outage{}},
	}, jwt.Options{}, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	return rig{idp, v}
}

type outage struct{}

func (outage) Generation() uint64 { return 0 }

func (outage) Doubt(string) {}

func (outage) Key(context.Context, string, string) (keyset.Key, error) {
	return keyset.Key{}, keyset.ErrUnavailable
}

func (r rig) mint(t testing.TB, tok testidp.Token) string {
	t.Helper()
	s, err := r.idp.Mint(tok)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (r rig) verify(raw string) (token.Token, error) {
	return r.verifier.Verify(context.Background(), credential.Credential{Scheme: token.Bearer, Raw: raw})
}

func claims(kv ...any) testidp.Token {
	m := map[string]any{}
	for i := 0; i < len(kv); i += 2 {
		m[kv[i].(string)] = kv[i+1]
	}
	return testidp.Token{Claims: m}
}

func head(kv ...any) testidp.Token { return testidp.Token{Header: claims(kv...).Claims} }

func key(kid string) testidp.Token { return testidp.Token{Key: kid} }

func payload(s string) testidp.Token { return testidp.Token{Payload: []byte(s)} }

// Each row changes one thing about a good token. An empty code is accepted.
func TestVerify(t *testing.T) {
	r := newRig(t, jwt.RFC9068)
	at := func(s int) int64 { return now.Unix() + int64(s) }
	whole := func(acr string) string {
		return `{"iss":"` + r.idp.URL + `","aud":"` + testidp.Audience + `","sub":"a","client_id":"c","jti":"j","iat":1,"exp":4000000000,` + acr + `}`
	}
	for _, v := range []struct {
		name string
		tok  testidp.Token
		want token.Code
	}{
		{"as it should be", testidp.Token{}, ""},
		{"RS256", key("rs"), ""},
		{"PS256", key("ps"), ""},
		{"EdDSA", key("ed"), ""},

		{"AT-01 typ in other case", head("typ", "AT+JWT"), ""},
		{"AT-01 typ as a media type", head("typ", "application/at+jwt"), ""},
		{"AT-01 typ JWT", head("typ", "JWT"), token.WrongType},
		{"AT-01 typ absent", head("typ", nil), token.WrongType},
		{"AT-01 typ with a parameter", head("typ", "at+jwt;x=1"), token.WrongType},
		{"AT-02 no exp", claims("exp", nil), token.BadClaims},
		{"AT-02 no sub", claims("sub", nil), token.BadClaims},
		{"AT-02 no client_id", claims("client_id", nil), token.BadClaims},
		{"AT-02 no iat", claims("iat", nil), token.BadClaims},
		{"AT-02 no jti", claims("jti", nil), token.BadClaims},
		{"AT-02 no iss", claims("iss", nil), token.UntrustedIssuer},
		{"AT-03 no aud", claims("aud", nil), token.WrongAudience},
		{"AT-03 aud array", claims("aud", []string{"x", testidp.Audience}), ""},
		{"AT-03 aud of another", claims("aud", "https://other.example.com"), token.WrongAudience},
		{"AT-03 aud with more", claims("aud", testidp.Audience+"/"), token.WrongAudience},
		{"AT-03 aud empty array", claims("aud", []string{}), token.WrongAudience},
		{"AT-03 aud with a number", claims("aud", []any{testidp.Audience, 1}), token.BadClaims},
		{"AT-03 aud object", claims("aud", map[string]any{}), token.BadClaims},
		{"AT-04 another issuer's name, our key", claims("iss", "https://other.example.com"), token.BadAlgorithm},
		{"AT-05 ID token", claims("nonce", "n"), token.WrongType},
		{"AT-05 ID token by at_hash", claims("at_hash", "n"), token.WrongType},
		{"AT-05 logout token", testidp.Token{Header: map[string]any{"typ": "logout+jwt"}, Claims: map[string]any{"events": map[string]any{}}}, token.WrongType},
		{"AT-05 DPoP proof", head("typ", "dpop+jwt"), token.WrongType},
		{"AT-05 introspection response", head("typ", "token-introspection+jwt"), token.WrongType},

		{"JW-01 alg none", testidp.Token{Header: map[string]any{"alg": "none"}}, token.BadAlgorithm},
		{"JW-01 alg None", head("alg", "None"), token.BadAlgorithm},
		{"JW-01 alg es256", head("alg", "es256"), token.BadAlgorithm},
		{"JW-01 alg ES384", head("alg", "ES384"), token.BadAlgorithm},
		{"JW-01 RS256 with the key of PS256", testidp.Token{Key: "ps", Header: map[string]any{"alg": "RS256"}}, token.BadAlgorithm},
		{"JW-01 PS256 with the key of RS256", testidp.Token{Key: "rs", Header: map[string]any{"alg": "PS256"}}, token.BadAlgorithm},
		{"JW-01 ES256 with an RSA key", testidp.Token{Key: "rs", Header: map[string]any{"alg": "ES256"}}, token.BadAlgorithm},
		{"JW-01 HS256 with the public key", hmacWith(r, "rs"), token.BadAlgorithm},
		{"JW-01 no alg", head("alg", nil), token.Malformed},
		{"JW-04 jwk", head("jwk", map[string]any{"kty": "EC"}), token.Malformed},
		{"JW-04 jku", head("jku", r.idp.URL+"/jwks"), token.Malformed},
		{"JW-04 x5u", head("x5u", r.idp.URL), token.Malformed},
		{"JW-04 x5c", head("x5c", []string{"x"}), token.Malformed},
		{"JW-05 unknown kid", head("kid", "../../dev/null"), token.UnknownKey},
		{"JW-05 kid of another type", head("kid", 1), token.Malformed},
		{"JW-05 empty kid", head("kid", ""), token.Malformed},
		{"JW-05 no kid, one key fits", testidp.Token{Key: "ed", Header: map[string]any{"kid": nil}}, ""},
		{"JW-05 kid of another key", head("kid", "ed"), token.BadAlgorithm},
		{"JW-06 crit", head("crit", []string{"exp"}), token.Malformed},
		{"JW-06 b64", head("b64", false), token.Malformed},
		{"JW-07 acr twice", payload(whole(`"acr":"1","acr":"2"`)), token.Malformed},
		{"JW-07 acr twice, once escaped", payload(whole(`"acr":"1","\u0061cr":"2"`)), token.Malformed},
		{"JW-07 below", payload(whole(`"x":[{"a":1,"a":2}]`)), token.Malformed},
		{"JW-07 once", payload(whole(`"acr":"1"`)), ""},
		{"JW-08 not UTF-8", payload(whole("\"acr\":\"\xff\"")), token.Malformed},
		{"JW-08 byte order mark", payload("\ufeff" + whole(`"acr":"1"`)), token.Malformed},
		{"JW-10 wrong salt", testidp.Token{Key: "ps", Sign: saltOf(r, 20)}, token.BadSignature},
		{"JW-10 right salt", testidp.Token{Key: "ps", Sign: saltOf(r, 32)}, ""},
		{"JW-13 exp a string", claims("exp", "4000000000"), token.BadClaims},
		{"JW-13 exp a date", claims("exp", "2099-01-01T00:00:00Z"), token.BadClaims},
		{"JW-13 exp with a fraction", claims("exp", float64(at(100))+0.5), ""},
		{"JW-13 exp negative", claims("exp", -1), token.BadClaims},
		{"JW-13 exp beyond the year 9999", claims("exp", int64(1e15)), token.BadClaims},
		{"JW-13 exp null", payload(strings.Replace(whole(`"acr":"1"`), "4000000000", "null", 1)), token.BadClaims},
		{"JW-13 exp 1e400", payload(strings.Replace(whole(`"acr":"1"`), "4000000000", "1e400", 1)), token.BadClaims},
		{"JW-14 exp now, with leeway", claims("exp", at(0)), ""},
		{"JW-14 exp at the leeway", claims("exp", at(-30)), token.Expired},
		{"JW-14 exp just within", claims("exp", at(-29)), ""},
		{"JW-14 nbf within the leeway", claims("nbf", at(30)), ""},
		{"JW-14 nbf beyond", claims("nbf", at(31)), token.NotYetValid},
		{"JW-14 iat beyond", claims("iat", at(31)), token.NotYetValid},
		{"JW-15 too large", claims("x", strings.Repeat("x", 17<<10)), token.Malformed},
		{"JW-15 too deep", payload(whole(`"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40))), token.Malformed},

		{"not our key", testidp.Token{Key: "rogue", Header: map[string]any{"kid": "es"}}, token.BadSignature},
		{"a key that is not published", key("rogue"), token.UnknownKey},
		{"signature of nothing", testidp.Token{Sign: func(string) []byte { return make([]byte, 64) }}, token.BadSignature},
		{"signature too short", testidp.Token{Sign: func(string) []byte { return []byte{1} }}, token.BadSignature},
		{"signature as DER", testidp.Token{Sign: der(r)}, token.BadSignature},
		{"expired and not our key", testidp.Token{Key: "rogue", Header: map[string]any{"kid": "es"}, Claims: map[string]any{"exp": 1}}, token.BadSignature},
		{"iss with a slash more", claims("iss", r.idp.URL+"/"), token.UntrustedIssuer},
		{"iss in upper case", claims("iss", strings.ToUpper(r.idp.URL)), token.UntrustedIssuer},
		{"iss an array", claims("iss", []string{r.idp.URL}), token.UntrustedIssuer},
		{"keys that cannot be had", testidp.Token{Key: "rs", Claims: map[string]any{"iss": "https://other.example.com"}}, token.KeysUnavailable},
		{"bound to a key", claims("cnf", map[string]any{"jkt": "x"}), token.BadBinding},
		{"bound to nothing", claims("cnf", map[string]any{}), token.BadBinding},
		{"acr a number", claims("acr", 2), token.BadClaims},
		{"acr an array", claims("acr", []string{"2"}), token.BadClaims},
		{"acr empty", claims("acr", ""), token.BadClaims},
		{"amr a string", claims("amr", "otp"), token.BadClaims},
		{"amr with a number", claims("amr", []any{"pwd", 1}), token.BadClaims},
		{"auth_time a string", claims("auth_time", "1"), token.BadClaims},
		{"auth_time in milliseconds", claims("auth_time", now.UnixMilli()), token.BadClaims},
		{"auth_time ahead, within the leeway", claims("auth_time", at(30)), ""},
		{"auth_time ahead", claims("auth_time", at(31)), token.BadClaims},
		{"sub empty", claims("sub", ""), token.BadClaims},
		{"scope an array", claims("scope", []string{"a"}), token.BadClaims},
	} {
		t.Run(v.name, func(t *testing.T) { check(t, r, r.mint(t, v.tok), v.want) })
	}
}

func check(t *testing.T, r rig, raw string, want token.Code) {
	t.Helper()
	tok, err := r.verify(raw)
	var failure *token.Error
	switch {
	case want == "" && err != nil:
		t.Errorf("refused: %v", err)
	case want != "" && (!errors.As(err, &failure) || failure.Code != want):
		t.Errorf("%v; want %s", err, want)
	case want != "" && (failure.IssuerName == "") != (failure.Issuer == ""):
		t.Errorf("issuer %q by the name of %q", failure.Issuer, failure.IssuerName)
	case want != "" && tok.Issuer != "":
		t.Error("a token beside an error")
	}
}

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
		s, err := rsa.SignPSS(rand.Reader, r.idp.Signer("ps").(*rsa.PrivateKey), crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: salt})
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
		"empty": "", "dots": "..", "two parts": parts[0] + "." + parts[1], "no signature": parts[0] + "." + parts[1] + ".",
		"four parts": good + ".x", "five parts": good + ".x.y", "padding": good + "==", "line feed": good + "\n", "line feed inside": parts[0] + ".\n" + parts[1] + "." + parts[2],
		"leading space": " " + good, "standard alphabet": strings.NewReplacer("-", "+", "_", "/").Replace(good) + "+",
		"trailing bits":   good[:len(good)-1] + string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[(strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", last)+1)%64]),
		"JSON":            `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
		"a header of two": b64(`{"alg":"ES256","alg":"none","kid":"es","typ":"at+jwt"}`) + "." + parts[1] + "." + parts[2],
		"a million dots":  strings.Repeat(".", 16000),
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

func TestProfiles(t *testing.T) {
	jwtType := map[string]any{"typ": "JWT"}
	for _, v := range []struct {
		name    string
		profile jwt.Profile
		tok     testidp.Token
		want    token.Code
	}{
		{"keycloak access token", jwt.Keycloak, testidp.Token{Header: jwtType, Claims: map[string]any{"typ": "Bearer", "azp": "web", "client_id": nil}}, ""},
		{"keycloak ID token", jwt.Keycloak, testidp.Token{Header: jwtType, Claims: map[string]any{"typ": "ID", "azp": "web"}}, token.WrongType},
		{"keycloak refresh token", jwt.Keycloak, testidp.Token{Header: jwtType, Claims: map[string]any{"typ": "Refresh", "azp": "web"}}, token.WrongType},
		{"keycloak without a kind", jwt.Keycloak, testidp.Token{Header: jwtType, Claims: map[string]any{"azp": "web"}}, token.WrongType},
		{"keycloak at+jwt", jwt.Keycloak, claims("azp", "web"), ""},
		{"keycloak at+jwt of another kind", jwt.Keycloak, claims("azp", "web", "typ", "ID"), token.WrongType},
		{"keycloak without azp", jwt.Keycloak, testidp.Token{Header: jwtType, Claims: map[string]any{"typ": "Bearer"}}, token.BadClaims},
		{"entra access token", jwt.Entra, testidp.Token{Header: jwtType, Claims: map[string]any{"ver": "2.0", "azp": "web", "scp": "read"}}, ""},
		{"entra ID token", jwt.Entra, testidp.Token{Header: jwtType, Claims: map[string]any{"ver": "2.0", "azp": "web"}}, token.WrongType},
		{"entra version 1", jwt.Entra, testidp.Token{Header: jwtType, Claims: map[string]any{"ver": "1.0", "azp": "web", "scp": "read"}}, token.WrongType},
		{"generic JWT", jwt.Generic, testidp.Token{Header: jwtType, Claims: map[string]any{"jti": nil, "client_id": nil, "iat": nil}}, ""},
		{"generic without typ", jwt.Generic, testidp.Token{Header: map[string]any{"typ": nil}}, ""},
		{"generic ID token", jwt.Generic, testidp.Token{Header: jwtType, Claims: map[string]any{"nonce": "n"}}, token.WrongType},
		{"generic logout token", jwt.Generic, testidp.Token{Header: map[string]any{"typ": "logout+jwt"}}, token.WrongType},
		{"generic without sub", jwt.Generic, testidp.Token{Header: jwtType, Claims: map[string]any{"sub": nil}}, token.BadClaims},
	} {
		t.Run(v.name, func(t *testing.T) {
			r := newRig(t, v.profile)
			check(t, r, r.mint(t, v.tok), v.want)
		})
	}
}

func TestToken(t *testing.T) {
	r := newRig(t, jwt.RFC9068)
	tok, err := r.verify(r.mint(t, claims("acr", "loa:2", "amr", []string{"pwd", "otp"}, "scope", "read write", "auth_time", now.Unix()-5)))
	if err != nil || tok.Subject != "alice" || tok.ClientID != "web" || tok.Principal != token.User || tok.Strongest().ACR != "loa:2" || len(tok.Strongest().AMR) != 2 ||
		len(tok.Scopes) != 2 || !tok.Strongest().At.Equal(now.Add(-5*time.Second)) || tok.IssuerName != "corp" || tok.SenderConstrained {
		t.Errorf("%+v, %v", tok, err)
	}
	if tok, err := r.verify(r.mint(t, claims("sub", "web"))); err != nil || tok.Principal != token.Client {
		t.Errorf("a client for itself: %s, %v", tok.Principal, err)
	}
	if _, err := r.verifier.Verify(t.Context(), credential.Credential{Scheme: token.DPoP, Raw: r.mint(t, testidp.Token{})}); err == nil {
		t.Error("a DPoP credential is accepted without a proof")
	}
}

func TestNewVerifierRefuses(t *testing.T) {
	good := jwt.Issuer{Name: "a", URL: "https://a", Audiences: []string{"x"}, Keys: outage{}}
	for name, change := range map[string]func(*jwt.Issuer){
		"no audience": func(i *jwt.Issuer) { i.Audiences = nil },
		"no keys":     func(i *jwt.Issuer) { i.Keys = nil },
		"HS256":       func(i *jwt.Issuer) { i.Algorithms = []string{"HS256"} },
		"none":        func(i *jwt.Issuer) { i.Algorithms = []string{"none"} },
		"profile":     func(i *jwt.Issuer) { i.Profile = "x" },
	} {
		bad := good
		change(&bad)
		if _, err := jwt.NewVerifier([]jwt.Issuer{bad}, jwt.Options{}, time.Now); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if _, err := jwt.NewVerifier([]jwt.Issuer{good, good}, jwt.Options{}, time.Now); err == nil {
		t.Error("two issuers of one URL are accepted")
	}
}

// Nothing but exactly a signed token is ever accepted.
func FuzzVerify(f *testing.F) {
	r := newRig(f, jwt.RFC9068)
	good := r.mint(f, testidp.Token{})
	for _, s := range []string{good, good + ".", "a.b.c", "..", b64(`{"alg":"none"}`) + "." + b64(`{"iss":"`+r.idp.URL+`"}`) + ".", strings.Replace(good, ".", "..", 1)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		_, err := r.verify(raw)
		var failure *token.Error
		if err == nil && raw != good {
			t.Fatalf("accepted %q", raw)
		}
		if err != nil && (!errors.As(err, &failure) || strings.Contains(err.Error(), raw) && len(raw) > 20) {
			t.Fatalf("%v", err)
		}
	})
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// AT-04: a key that two issuers share lets no token of one pass as the other's, and the
// example of RFC 9470 §6.1 is read as it is meant.
func TestSharedKeysAndTheExampleOfRFC9470(t *testing.T) {
	idp, err := testidp.New(testidp.Options{Issuer: "https://as.example.net", Now: func() time.Time { return time.Unix(1646340250, 0) }})
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
	verify := func(payload string) (token.Token, error) {
		raw, err := idp.Mint(testidp.Token{Payload: []byte(payload)})
		if err != nil {
			t.Fatal(err)
		}
		return v.Verify(context.Background(), credential.Credential{Scheme: token.Bearer, Raw: raw})
	}
	const example = `{"iss":"https://as.example.net","sub":"someone@example.net","aud":"https://rs.example.com","exp":1646343000,"iat":1646340200,"jti":"e1j3V_bKic8-LAEB_lccD0G","client_id":"s6BhdRkqt3","scope":"purchase","auth_time":1646340198,"acr":"myACR"}`
	got, err := verify(example)
	if err != nil || got.Strongest().ACR != "myACR" || got.Strongest().At.Unix() != 1646340198 || got.IssuerName != "one" || len(got.Scopes) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := verify(strings.Replace(example, "as.example.net", "two.example.net", 1)); err == nil {
		t.Errorf("a token of one for the audience of the other: %+v", got)
	}
	if got, err := verify(strings.Replace(strings.Replace(example, "as.example.net", "two.example.net", 1), "rs.example", "two.example", 1)); err != nil || got.IssuerName != "two" {
		t.Errorf("%+v, %v", got, err)
	}
}

// JW-02: a key is used with one algorithm, which its set names or else the issuer's list,
// in its order. JW-12: Ed25519 goes by either name.
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
		v, err := jwt.NewVerifier([]jwt.Issuer{{Name: "corp", URL: "https://idp.example.com", Audiences: []string{testidp.Audience}, Algorithms: algorithms, Keys: keys}}, jwt.Options{}, func() time.Time { return now })
		if err != nil {
			t.Fatal(err)
		}
		raw, err := idp.Mint(testidp.Token{Key: kid, Header: header})
		if err != nil {
			t.Fatal(err)
		}
		_, err = v.Verify(context.Background(), credential.Credential{Scheme: token.Bearer, Raw: raw})
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
		"JW-02 pinned by its set":               {idp.JWKS(), nil, "ps", nil, ""},
		"JW-02 by the default list, RS256":      {unpinned, nil, "rs", nil, ""},
		"JW-02 by the default list, not PS256":  {unpinned, nil, "ps", nil, token.BadAlgorithm},
		"JW-02 pinned by configuration":         {unpinned, []string{"PS256"}, "ps", nil, ""},
		"JW-02 first of two, PS256":             {unpinned, []string{"PS256", "RS256"}, "ps", nil, ""},
		"JW-02 first of two, not RS256":         {unpinned, []string{"PS256", "RS256"}, "rs", nil, token.BadAlgorithm},
		"JW-12 EdDSA":                           {idp.JWKS(), nil, "ed", nil, ""},
		"JW-12 Ed25519":                         {idp.JWKS(), nil, "ed", map[string]any{"alg": "Ed25519"}, ""},
		"JW-12 Ed25519 where EdDSA is listed":   {unpinned, []string{"EdDSA"}, "ed", map[string]any{"alg": "Ed25519"}, ""},
		"JW-12 EdDSA where Ed25519 is listed":   {unpinned, []string{"Ed25519"}, "ed", nil, ""},
		"JW-12 neither where neither is listed": {unpinned, []string{"ES256"}, "ed", nil, token.BadAlgorithm},
	} {
		if got := code(v.jwks, v.algorithms, v.kid, v.header); got != v.want {
			t.Errorf("%s: %q; want %q", name, got, v.want)
		}
	}
}
