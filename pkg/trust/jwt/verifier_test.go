package jwt_test

import (
	"context"
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
		{Name: "corp", URL: idp.URL, Audiences: []string{testidp.Audience}, Profile: profile, Leeway: 30 * time.Second,
			Keys: keys},
		{Name: "other", URL: "https://other.example.com", Audiences: []string{testidp.Audience}, Algorithms: []string{
			"RS256"}, Keys: outage{}},
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

func (r rig) verify(raw string) (*token.Token, error) {
	return r.verifier.Verify(context.Background(), request.Request{}, credential.Credential{Scheme: credential.Bearer,
		Raw: raw})
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
		return `{"iss":"` + r.idp.URL + `","aud":"` + testidp.Audience +
			`","sub":"a","client_id":"c","jti":"j","iat":1,"exp":4000000000,` + acr + `}`
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
		{"AT-05 logout token", testidp.Token{Header: map[string]any{"typ": "logout+jwt"}, Claims: map[string]any{
			"events": map[string]any{}}}, token.WrongType},
		{"AT-05 DPoP proof", head("typ", "dpop+jwt"), token.WrongType},
		{"AT-05 introspection response", head("typ", "token-introspection+jwt"), token.WrongType},

		{"JW-01 alg none", testidp.Token{Header: map[string]any{"alg": "none"}}, token.BadAlgorithm},
		{"JW-01 alg None", head("alg", "None"), token.BadAlgorithm},
		{"JW-01 alg es256", head("alg", "es256"), token.BadAlgorithm},
		{"JW-01 alg ES384", head("alg", "ES384"), token.BadAlgorithm},
		{"JW-01 RS256 with the key of PS256", testidp.Token{Key: "ps", Header: map[string]any{"alg": "RS256"}},
			token.BadAlgorithm},
		{"JW-01 PS256 with the key of RS256", testidp.Token{Key: "rs", Header: map[string]any{"alg": "PS256"}},
			token.BadAlgorithm},
		{"JW-01 ES256 with an RSA key", testidp.Token{Key: "rs", Header: map[string]any{"alg": "ES256"}},
			token.BadAlgorithm},
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
		{"signature of nothing", testidp.Token{Sign: func(string) []byte { return make([]byte, 64) }},
			token.BadSignature},
		{"signature too short", testidp.Token{Sign: func(string) []byte { return []byte{1} }}, token.BadSignature},
		{"signature as DER", testidp.Token{Sign: der(r)}, token.BadSignature},
		{"expired and not our key", testidp.Token{Key: "rogue", Header: map[string]any{"kid": "es"},
			Claims: map[string]any{"exp": 1}}, token.BadSignature},
		{"iss with a slash more", claims("iss", r.idp.URL+"/"), token.UntrustedIssuer},
		{"iss in upper case", claims("iss", strings.ToUpper(r.idp.URL)), token.UntrustedIssuer},
		{"iss an array", claims("iss", []string{r.idp.URL}), token.UntrustedIssuer},
		{"keys that cannot be had", testidp.Token{
			Key: "rs", Claims: map[string]any{"iss": "https://other.example.com"}}, token.KeysUnavailable},
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
	case want != "" && tok != nil:
		t.Error("a token beside an error")
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
		{"keycloak access token", jwt.Keycloak, testidp.Token{Header: jwtType, Claims: map[string]any{
			"typ": "Bearer", "azp": "web", "client_id": nil}}, ""},
		{"keycloak ID token", jwt.Keycloak, testidp.Token{Header: jwtType, Claims: map[string]any{
			"typ": "ID", "azp": "web"}}, token.WrongType},
		{"keycloak refresh token", jwt.Keycloak, testidp.Token{Header: jwtType, Claims: map[string]any{
			"typ": "Refresh", "azp": "web"}}, token.WrongType},
		{"keycloak without a kind", jwt.Keycloak, testidp.Token{Header: jwtType, Claims: map[string]any{"azp": "web"}},
			token.WrongType},
		{"keycloak at+jwt", jwt.Keycloak, claims("azp", "web"), ""},
		{"keycloak at+jwt of another kind", jwt.Keycloak, claims("azp", "web", "typ", "ID"), token.WrongType},
		{"keycloak without azp", jwt.Keycloak, testidp.Token{Header: jwtType, Claims: map[string]any{"typ": "Bearer"}},
			token.BadClaims},
		{"entra access token", jwt.Entra, testidp.Token{Header: jwtType, Claims: map[string]any{
			"ver": "2.0", "azp": "web", "scp": "read"}}, ""},
		{"entra ID token", jwt.Entra, testidp.Token{Header: jwtType, Claims: map[string]any{
			"ver": "2.0", "azp": "web"}}, token.WrongType},
		{"entra version 1", jwt.Entra, testidp.Token{Header: jwtType, Claims: map[string]any{"ver": "1.0", "azp": "web",
			"scp": "read"}}, token.WrongType},
		{"generic JWT", jwt.Generic, testidp.Token{Header: jwtType, Claims: map[string]any{"jti": nil, "client_id": nil,
			"iat": nil}}, ""},
		{"generic without typ", jwt.Generic, testidp.Token{Header: map[string]any{"typ": nil}}, ""},
		{"generic ID token", jwt.Generic, testidp.Token{Header: jwtType, Claims: map[string]any{"nonce": "n"}},
			token.WrongType},
		{"generic logout token", jwt.Generic, testidp.Token{Header: map[string]any{"typ": "logout+jwt"}},
			token.WrongType},
		{"generic without sub", jwt.Generic, testidp.Token{Header: jwtType, Claims: map[string]any{"sub": nil}},
			token.BadClaims},
	} {
		t.Run(v.name, func(t *testing.T) {
			r := newRig(t, v.profile)
			check(t, r, r.mint(t, v.tok), v.want)
		})
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
	for _, s := range []string{good, good + ".", "a.b.c", "..", b64(`{"alg":"none"}`) + "." + b64(
		`{"iss":"`+r.idp.URL+`"}`) + ".", strings.Replace(good, ".", "..", 1)} {
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
