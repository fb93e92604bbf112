package jwt_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/internal/testidp"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/token"
	"github.com/stepward/stepward/pkg/trust/introspection"
	"github.com/stepward/stepward/pkg/trust/jwt"
	"github.com/stepward/stepward/pkg/trust/keyset"
	"github.com/stepward/stepward/pkg/trust/revocation"
	"github.com/stepward/stepward/pkg/trust/statuslist"
)

// asking is a verifier that asks a real provider over TLS.
type asking struct {
	idp    *testidp.IDP
	index  *revocation.Index
	verify func(raw string) (*token.Token, token.Code)
}

func newAsking(t *testing.T, in jwt.Introspection, change func(*jwt.Issuer, *introspection.Config)) asking {
	t.Helper()
	idp, err := testidp.Start(testidp.Options{TLS: true, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(idp.Close)
	keys, err := keyset.NewStatic("keys", idp.JWKS())
	if err != nil {
		t.Fatal(err)
	}
	clock := func() time.Time { return now }
	client := idp.Client()
	t.Cleanup(client.Close)
	i := jwt.Issuer{Name: "corp", URL: idp.URL, Audiences: []string{testidp.Audience}, Leeway: 30 * time.Second,
		Keys: keys}
	signed := jwt.NewSigned(i, clock)
	i.Lists = statuslist.New(statuslist.Config{Client: client, Hosts: []string{"127.0.0.1"}, Now: clock,
		Verify: func(ctx context.Context, raw string) (map[string]any, error) {
			return signed.Claims(ctx, raw, statuslist.Type)
		}})
	c := introspection.Config{Endpoint: idp.URL + "/introspect", Client: client, Authenticate: introspection.Basic(
		"gateway", testidp.ClientSecret), Now: clock}
	i.Introspection = &in
	if change != nil {
		change(&i, &c)
	}
	in.Client = introspection.New(c)
	index := revocation.New(0, clock)
	v, err := jwt.NewVerifier([]jwt.Issuer{i, {Name: "other", URL: "https://other.example.com", Audiences: []string{
		"x"}, Keys: keys}}, jwt.Options{Revoked: index.Revoked}, clock)
	if err != nil {
		t.Fatal(err)
	}
	return asking{idp, index, func(raw string) (*token.Token, token.Code) {
		got, err := v.Verify(context.Background(), request.Request{}, credential.Credential{Scheme: credential.Bearer,
			Raw: raw})
		var failed *token.Error
		if errors.As(err, &failed) {
			return got, failed.Code
		}
		return got, ""
	}}
}

// Each answer about an opaque token is judged as the claims of a JWT are. Beside every
// refusal stands the token that is as good as it would have been.
func TestOpaque(t *testing.T) {
	a := newAsking(t, jwt.Introspection{}, nil)
	good, code := a.verify(a.idp.Opaque("", map[string]any{"acr": "loa:2", "amr": []string{"pwd", "otp"},
		"scope": "read write"}))
	if code != "" || good.Strongest().ACR != "loa:2" || !slices.Equal(good.Strongest().AMR, []string{"pwd", "otp"}) ||
		good.Subject != "alice" || good.ClientID != "web" || !good.Strongest().At.Equal(now) ||
		!slices.Equal(good.Scopes, []string{"read", "write"}) || good.IssuerName != "corp" ||
		good.Principal != token.User {
		t.Fatalf("%+v, %s", good, code)
	}
	for name, x := range map[string]struct {
		changes map[string]any
		want    token.Code
	}{
		"inactive":                 {map[string]any{"active": false}, token.Inactive},
		"no exp":                   {map[string]any{"exp": nil}, token.BadClaims},
		"expired":                  {map[string]any{"exp": now.Unix() - 31}, token.Expired},
		"not yet":                  {map[string]any{"nbf": now.Unix() + 31}, token.NotYetValid},
		"auth_time in the future":  {map[string]any{"auth_time": now.Unix() + 31}, token.BadClaims},
		"acr is a number":          {map[string]any{"acr": 2}, token.BadClaims},
		"amr is text":              {map[string]any{"amr": "otp"}, token.BadClaims},
		"no aud":                   {map[string]any{"aud": nil}, token.WrongAudience},
		"another aud":              {map[string]any{"aud": "https://elsewhere.example.com"}, token.WrongAudience},
		"another issuer":           {map[string]any{"iss": "https://other.example.com"}, token.UntrustedIssuer},
		"iss is null":              {map[string]any{"iss": json.RawMessage("null")}, token.UntrustedIssuer},
		"a refresh token":          {map[string]any{"token_type": "refresh_token"}, token.WrongType},
		"no token_type":            {map[string]any{"token_type": nil}, token.WrongType},
		"Keycloak's refresh token": {map[string]any{"typ": "Refresh"}, token.WrongType},
		"Cognito's ID token":       {map[string]any{"token_use": "id"}, token.WrongType},
		"bound to a key": {map[string]any{"cnf": map[string]any{"jkt": strings.Repeat("A", 43)}},
			token.BadBinding},
		"bound to a certificate": {map[string]any{"cnf": map[string]any{"x5t#S256": strings.Repeat("A", 43)}},
			token.BadBinding},
		"bound in another way":  {map[string]any{"cnf": map[string]any{"x": "y"}}, token.BadBinding},
		"a status that is none": {map[string]any{"status": map[string]any{"status_list": "x"}}, token.BadClaims},
	} {
		t.Run(name, func(t *testing.T) {
			if got, code := a.verify(a.idp.Opaque("", x.changes)); code != x.want {
				t.Errorf("%q, %+v; want %q", code, got, x.want)
			}
			if _, code := a.verify(a.idp.Opaque("", nil)); code != "" {
				t.Errorf("the good one beside it: %s", code)
			}
		})
	}
	if _, code := a.verify("nobodys"); code != token.Inactive {
		t.Errorf("unknown: %s", code)
	}
	raw := a.idp.Opaque("", nil)
	a.idp.Fail(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
	if _, code := a.verify(raw); code != token.IntrospectionOut {
		t.Errorf("the provider is down: %s", code)
	}
	a.idp.Fail(nil)
	if _, code := a.verify(raw); code != "" {
		t.Errorf("it is back: %s", code)
	}
}

// A JWT is not shown to anybody, and a token with a prefix to its issuer alone.
func TestWhoseOpaque(t *testing.T) {
	a := newAsking(t, jwt.Introspection{Prefix: "corp_"}, nil)
	if _, code := a.verify(a.idp.Opaque("corp_", nil)); code != "" {
		t.Errorf("with the prefix: %s", code)
	}
	if _, code := a.verify(a.idp.Opaque("", nil)); code != token.Malformed {
		t.Errorf("without: %s", code)
	}
	asked := a.idp.HitsOf("/introspect")
	jwtRaw, err := a.idp.Mint(testidp.Token{})
	if err != nil {
		t.Fatal(err)
	}
	if _, code := a.verify(jwtRaw); code != "" || a.idp.HitsOf("/introspect") != asked {
		t.Errorf("a JWT: %s, %d calls", code, a.idp.HitsOf("/introspect")-asked)
	}
	none := newRig(t, jwt.RFC9068)
	if _, err := none.verify("opaque"); err == nil {
		t.Error("an opaque token where nobody is asked")
	}
}

// Of a JWT and what its issuer says of it, the weaker counts.
func TestWeaker(t *testing.T) {
	levels := map[string]int{"loa:1": 1, "loa:2": 2}
	a := newAsking(t, jwt.Introspection{All: true, Rank: func(p token.Proof) int { return levels[p.ACR] }}, nil)
	base := map[string]any{"jti": "t1", "acr": "loa:2", "amr": []string{"pwd", "otp"}, "scope": "read write",
		"auth_time": now.Unix() - 10}
	verify := func(changes map[string]any, answer map[string]any) (*token.Token, token.Code) {
		t.Helper()
		merged := map[string]any{}
		for _, m := range []map[string]any{base, changes} {
			for k, v := range m {
				merged[k] = v
			}
		}
		raw, err := a.idp.Mint(testidp.Token{Claims: merged})
		if err != nil {
			t.Fatal(err)
		}
		full := map[string]any{"active": true, "token_type": "Bearer", "aud": testidp.Audience, "exp": now.Unix() + 300,
			"sub": "alice"}
		for _, m := range []map[string]any{merged, answer} {
			for k, v := range m {
				full[k] = v
				if v == nil {
					delete(full, k)
				}
			}
		}
		a.idp.Introspects(raw, full)
		return a.verify(raw)
	}
	for name, x := range map[string]struct {
		jwt, answer map[string]any
		acr         string
		amr, scopes string
		authTime    int64
		code        token.Code
	}{
		"alike":    {acr: "loa:2", amr: "pwd otp", scopes: "read write", authTime: -10},
		"inactive": {answer: map[string]any{"active": false}, code: token.Inactive},
		"the session is weaker": {answer: map[string]any{"acr": "loa:1"}, acr: "loa:1", amr: "pwd otp",
			scopes: "read write", authTime: -10},
		"the session is stronger": {jwt: map[string]any{"acr": "loa:1"}, answer: map[string]any{"acr": "loa:2"},
			acr: "loa:1", amr: "pwd otp", scopes: "read write", authTime: -10},
		"the answer has no acr": {answer: map[string]any{"acr": nil}, amr: "pwd otp", scopes: "read write",
			authTime: -10},
		"the answer has no amr": {answer: map[string]any{"amr": nil}, acr: "loa:2", scopes: "read write",
			authTime: -10},
		"fewer methods": {answer: map[string]any{"amr": []string{"pwd"}}, acr: "loa:2", amr: "pwd",
			scopes: "read write", authTime: -10},
		"fewer scopes": {answer: map[string]any{"scope": "read admin"}, acr: "loa:2", amr: "pwd otp",
			scopes: "read", authTime: -10},
		"signed in again since": {answer: map[string]any{"auth_time": now.Unix()}, acr: "loa:2", amr: "pwd otp",
			scopes: "read write", authTime: -10},
		"signed in longer ago": {answer: map[string]any{"auth_time": now.Unix() - 100}, acr: "loa:2", amr: "pwd otp",
			scopes: "read write", authTime: -100},
		"nobody knows when": {answer: map[string]any{"auth_time": nil}, acr: "loa:2", amr: "pwd otp",
			scopes: "read write", authTime: 1},
		"ended already":   {answer: map[string]any{"exp": now.Unix() - 31}, code: token.Expired},
		"another subject": {answer: map[string]any{"sub": "mallory"}, code: token.BadClaims},
		"another token":   {answer: map[string]any{"jti": "t2"}, code: token.BadClaims},
		"bound, says the answer": {answer: map[string]any{"cnf": map[string]any{"jkt": strings.Repeat("A", 43)}},
			code: token.BadBinding},
		"for another audience": {answer: map[string]any{"aud": "https://elsewhere.example.com"},
			code: token.WrongAudience},
	} {
		t.Run(name, func(t *testing.T) {
			got, code := verify(x.jwt, x.answer)
			if code != x.code {
				t.Fatalf("%q; want %q", code, x.code)
			}
			if code != "" {
				return
			}
			at := now.Add(time.Duration(x.authTime) * time.Second)
			if x.authTime > 0 {
				at = time.Time{}
			}
			proof := got.Strongest()
			if proof.ACR != x.acr || strings.Join(proof.AMR, " ") != x.amr ||
				strings.Join(got.Scopes, " ") != x.scopes || !proof.At.Equal(at) {
				t.Errorf("%q %q %q %s", proof.ACR, proof.AMR, got.Scopes, proof.At)
			}
			if acr, _ := got.Claims["acr"].(string); acr != x.acr {
				t.Errorf("a policy still reads acr %q", acr)
			}
			if amr, _ := got.Claims["amr"].([]any); len(amr) != len(proof.AMR) {
				t.Errorf("a policy still reads amr %q", amr)
			}
		})
	}
	raw, err := a.idp.Mint(testidp.Token{Key: "rogue"})
	if err != nil {
		t.Fatal(err)
	}
	asked := a.idp.HitsOf("/introspect")
	if _, code := a.verify(raw); code != token.UnknownKey || a.idp.HitsOf("/introspect") != asked {
		t.Errorf("a JWT of nobody: %s", code)
	}
}

// RFC 9701: where signed answers are asked for, no other is one.
func TestSignedAnswer(t *testing.T) {
	var signed *jwt.Signed
	a := newAsking(t, jwt.Introspection{}, func(i *jwt.Issuer, c *introspection.Config) {
		signed = jwt.NewSigned(*i, func() time.Time { return now })
		c.Signed = func(ctx context.Context, raw string) (map[string]any, error) {
			return signed.Introspection(ctx, raw, "gateway")
		}
	})
	if _, code := a.verify(a.idp.Opaque("", nil)); code != "" {
		t.Fatalf("signed: %s", code)
	}
	answer := func(changes, header map[string]any) func(http.ResponseWriter, *http.Request) {
		claims := map[string]any{"iss": a.idp.URL, "aud": "gateway", "iat": now.Unix(),
			"token_introspection": map[string]any{"active": true, "token_type": "Bearer", "aud": testidp.Audience,
				"exp": now.Unix() + 60, "sub": "alice"}}
		for k, v := range changes {
			claims[k] = v
		}
		payload, err := json.Marshal(claims)
		if err != nil {
			t.Fatal(err)
		}
		key, _ := header["key"].(string)
		typ := "token-introspection+jwt"
		if v, ok := header["typ"].(string); ok {
			typ = v
		}
		raw, err := a.idp.Mint(testidp.Token{Key: key, Header: map[string]any{"typ": typ}, Payload: payload})
		if err != nil {
			t.Fatal(err)
		}
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", introspection.JWTType)
			w.Write([]byte(raw))
		}
	}
	for name, x := range map[string]struct {
		changes, header map[string]any
		want            token.Code
	}{
		"good": {},
		"another issuer's": {changes: map[string]any{"iss": "https://other.example.com"},
			want: token.IntrospectionOut},
		"for another client": {changes: map[string]any{"aud": "web"}, want: token.IntrospectionOut},
		"old":                {changes: map[string]any{"iat": now.Unix() - 120}, want: token.IntrospectionOut},
		"from the future":    {changes: map[string]any{"iat": now.Unix() + 60}, want: token.IntrospectionOut},
		"without a time":     {changes: map[string]any{"iat": "x"}, want: token.IntrospectionOut},
		"without an answer": {changes: map[string]any{"token_introspection": true},
			want: token.IntrospectionOut},
		"active as text": {changes: map[string]any{"token_introspection": map[string]any{"active": "true"}},
			want: token.IntrospectionOut},
		"an access token, not that": {header: map[string]any{"typ": "at+jwt"}, want: token.IntrospectionOut},
		"signed by nobody known":    {header: map[string]any{"key": "rogue"}, want: token.IntrospectionOut},
	} {
		t.Run(name, func(t *testing.T) {
			a.idp.Fail(answer(x.changes, x.header))
			defer a.idp.Fail(nil)
			if _, code := a.verify("opaque-" + strings.ReplaceAll(name, " ", "-")); code != x.want {
				t.Errorf("%q; want %q", code, x.want)
			}
		})
	}
}

// A token that is revoked here, or in its list, is refused though nothing else is wrong
// with it, remembered as it may be.
func TestRevokedTokens(t *testing.T) {
	a := newAsking(t, jwt.Introspection{}, nil)
	uri, err := a.idp.StatusList("/statuslists/1", 100, []int{7}, nil)
	if err != nil {
		t.Fatal(err)
	}
	at := func(idx int, uri string) map[string]any {
		return map[string]any{"status": map[string]any{"status_list": map[string]any{"idx": idx, "uri": uri}}}
	}
	mint := func(claims map[string]any) string {
		raw, err := a.idp.Mint(testidp.Token{Claims: claims})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	for name, x := range map[string]struct {
		raw  string
		want token.Code
	}{
		"not in the list":      {mint(at(6, uri)), ""},
		"in the list":          {mint(at(7, uri)), token.Revoked},
		"beyond the list":      {mint(at(1000, uri)), token.BadClaims},
		"a list of nobody":     {mint(at(6, "https://evil.example.com/1")), token.BadClaims},
		"a list that is gone":  {mint(at(6, strings.TrimSuffix(uri, "1")+"2")), token.IntrospectionOut},
		"opaque, in the list":  {a.idp.Opaque("", at(7, uri)), token.Revoked},
		"opaque, not in it":    {a.idp.Opaque("", at(6, uri)), ""},
		"no list that is read": {mint(map[string]any{"status": map[string]any{"status_list": 1}}), token.BadClaims},
	} {
		if _, code := a.verify(x.raw); code != x.want {
			t.Errorf("%s: %q; want %q", name, code, x.want)
		}
	}
	token1, token2 := mint(map[string]any{"jti": "t1", "sid": "s1"}), mint(map[string]any{"jti": "t2", "sid": "s2"})
	opaque := a.idp.Opaque("", map[string]any{"sub": "bob"})
	expect := func(when string, one, two, three token.Code) {
		t.Helper()
		for raw, want := range map[string]token.Code{token1: one, token2: two, opaque: three} {
			if _, code := a.verify(raw); code != want {
				t.Errorf("%s: %q; want %q", when, code, want)
			}
		}
	}
	revoke := func(e revocation.Entry) {
		t.Helper()
		e.Issuer = a.idp.URL
		if _, err := a.index.Revoke(e); err != nil {
			t.Fatal(err)
		}
	}
	expect("before", "", "", "")
	revoke(revocation.Entry{JTI: "t1"})
	expect("one token", token.Revoked, "", "")
	revoke(revocation.Entry{SID: "s2"})
	expect("a session", token.Revoked, token.Revoked, "")
	revoke(revocation.Entry{Subject: "bob"})
	expect("a subject", token.Revoked, token.Revoked, token.Revoked)
}
