package realidp

import (
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// NewOIDCProvider runs oidc-provider. Its client gateway-key authenticates with the
// private key of one of clientKeys, a JWK set; empty means that there is none.
//
// It forgets tokens and keys when it is stopped.
func NewOIDCProvider(t testing.TB, clientKeys string) *Provider {
	t.Helper()
	dir, port := tools(t, "oidc-provider"), freePort(t)
	issuer := "http://127.0.0.1:" + port
	return start(t, &Provider{
		Issuer: issuer, IntrospectionEndpoint: issuer + "/token/introspection",
		health: issuer + "/.well-known/openid-configuration", kind: node{},
		command: func() *exec.Cmd {
			c := exec.Command("node", filepath.Join(dir, "provider.mjs"))
			c.Dir = dir
			c.Env = append(os.Environ(), "PORT="+port, "CLIENT_JWKS="+clientKeys)
			return c
		},
	})
}

type node struct{}

func (node) token(t testing.TB, p *Provider, opaque bool) string {
	resource := Audience
	if opaque {
		resource = "https://opaque.example.com"
	}
	return tokenOf(t, p.Issuer+"/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {"web"}, "client_secret": {"TEST-web-secret"},
		"resource": {resource}, "scope": {"read"},
	})
}

func (node) rotate(t testing.TB, p *Provider) {
	call(t, http.MethodPost, p.Issuer+"/_test/rotate", "", nil, nil)
}

func (node) drop(t testing.TB, p *Provider) {
	call(t, http.MethodPost, p.Issuer+"/_test/drop", "", nil, nil)
}

// Revoke revokes a token at the provider (RFC 7009).
func (p *Provider) Revoke(raw string) {
	call(p.t, http.MethodPost, p.Issuer+"/token/revocation", "", url.Values{"token": {raw}, "client_id": {"web"},
		"client_secret": {"TEST-web-secret"}}, nil)
}
