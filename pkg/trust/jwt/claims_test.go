package jwt_test

import (
	"encoding/json"
	"testing"

	"github.com/stepward/stepward/pkg/token"
	"github.com/stepward/stepward/pkg/trust/introspection"
	"github.com/stepward/stepward/pkg/trust/jwt"
)

// tokensOf returns good tokens of each profile, as changes to the provider's own claims.
func tokensOf() map[jwt.Profile]map[string]any {
	return map[jwt.Profile]map[string]any{
		jwt.RFC9068:  {},
		jwt.Keycloak: {"azp": "web", "typ": "Bearer"},
		jwt.Entra:    {"azp": "web", "ver": "2.0", "scp": "read"},
		jwt.Generic:  {},
	}
}

// illTyped are values that no claim has which names something, is a time or an object.
var illTyped = map[string]any{
	"null": json.RawMessage("null"), "a number": 7, "true": true, "empty": "", "an array": []any{},
	"an array of text": []any{"x"}, "an object": map[string]any{}, "an object of text": map[string]any{"a": "b"},
}

// Every claim that is acted on, or that the profile requires, has the type of its RFC,
// under every profile and in answers of introspection. The same token without the fault
// is accepted.
func TestClaimTypes(t *testing.T) {
	fits := map[string]map[string]bool{ // what is a value of the right type, whatever else is wrong with it
		"nbf": {"a number": true}, "iat": {"a number": true}, "exp": {"a number": true},
		"aud": {"an array": true, "an array of text": true},
	}
	names := []string{"sub", "jti", "sid", "client_id", "azp", "nbf", "iat", "exp", "aud", "cnf"}
	opaque := newAsking(t, jwt.Introspection{}, nil)
	for profile, base := range tokensOf() {
		r := newRig(t, profile)
		good := claims()
		for k, v := range base {
			good.Claims[k] = v
		}
		if profile != jwt.RFC9068 {
			good.Header = map[string]any{"typ": "JWT"}
		}
		if _, err := r.verify(r.mint(t, good)); err != nil {
			t.Fatalf("%s: %v", profile, err)
		}
		for _, name := range names {
			for how, value := range illTyped {
				if fits[name][how] {
					continue
				}
				bad := good
				bad.Claims = map[string]any{name: value}
				for k, v := range base {
					if k != name {
						bad.Claims[k] = v
					}
				}
				if got, err := r.verify(r.mint(t, bad)); err == nil {
					t.Errorf("%s: %s is %s: accepted as %+v", profile, name, how, got)
				}
			}
		}
	}
	for _, name := range names {
		for how, value := range illTyped {
			if fits[name][how] {
				continue
			}
			if got, code := opaque.verify(opaque.idp.Opaque("", map[string]any{name: value})); code == "" {
				t.Errorf("introspection: %s is %s: accepted as %+v", name, how, got)
			}
		}
	}
	if _, code := opaque.verify(opaque.idp.Opaque(
		"", map[string]any{"jti": "1", "sid": "2", "azp": "web"})); code != "" {
		t.Errorf("introspection: %s", code)
	}
}

// A token without a subject is a program's only where its lack says so: Keycloak leaves
// sub out of users' tokens, too, and a user of a listed client must not get what the
// client gets.
func TestProgramsByTheLackOfASubject(t *testing.T) {
	r := newRig(t, jwt.Keycloak)
	for name, x := range map[string]struct {
		sub, azp any
		want     token.Principal
	}{
		"Keycloak, no sub":              {nil, "batch", token.User},
		"Keycloak, sub":                 {"alice", "batch", token.User},
		"Keycloak, the client's own id": {"batch", "batch", token.Client},
	} {
		tok := claims("sub", x.sub, "azp", x.azp, "typ", "Bearer")
		tok.Header = map[string]any{"typ": "JWT"}
		if got, err := r.verify(r.mint(t, tok)); err != nil || got.Principal != x.want {
			t.Errorf("%s: %s, %v; want %s", name, got.Principal, err, x.want)
		}
	}
	for profile, want := range map[jwt.Profile]token.Principal{jwt.RFC9068: token.Client, jwt.Keycloak: token.User} {
		a := newAsking(t, jwt.Introspection{}, func(i *jwt.Issuer, _ *introspection.Config) { i.Profile = profile })
		for name, x := range map[string]struct {
			changes map[string]any
			want    token.Principal
		}{
			"no sub":                   {map[string]any{"sub": nil}, want},
			"no sub, but a username":   {map[string]any{"sub": nil, "username": "alice"}, token.User},
			"sub":                      {nil, token.User},
			"sub, the client's own id": {map[string]any{"sub": "web"}, token.Client},
		} {
			if got, code := a.verify(a.idp.Opaque("", x.changes)); code != "" || got.Principal != x.want {
				t.Errorf("introspection by %s, %s: %s, %s; want %s", profile, name, got.Principal, code, x.want)
			}
		}
	}
}
