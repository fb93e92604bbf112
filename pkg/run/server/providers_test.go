package server_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/internal/realidp"
	"github.com/stepward/stepward/pkg/run/server"
	"github.com/stepward/stepward/pkg/run/snapshot"
)

// trusting returns a configuration that trusts a real provider, with more of the issuer's.
// Bounds are short, so that a test can wait for them.
func trusting(t *testing.T, p *realidp.Provider, profile, cache, more string) config.Config {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte(realidp.GatewaySecret), 0o600); err != nil {
		t.Fatal(err)
	}
	if cache != "" {
		cache = ", cache_dir: " + cache
	}
	policy := "package stepward.policy\nimport rego.v2\nrequire contains {\"level\": \"authenticated\"}\n"
	if err := os.WriteFile(filepath.Join(dir, "p.rego"), []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse(filepath.Join(dir, "stepward.yaml"), []byte(`
issuers:
- name: corp
  issuer: "`+p.Issuer+`"
  audiences: ["`+realidp.Audience+`"]
  profile: `+profile+`
  keys: { refresh_min: 1s, removed_after: 2s, unknown_kid_cooldown: 1s`+cache+` }
`+more+`
levels:
- {name: password, acr: ["loa:1"]}
- {name: mfa, acr: ["loa:2"]}
policy: {paths: [p.rego], timeout: 10s}
limits: {deadline: 10s}
drain: {delay: 10ms}
`), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// answered returns the reason of the answer to a request with this token.
func answered(t *testing.T, r running, raw string) string {
	t.Helper()
	return r.check(t, "/", bearer(raw)).GetDynamicMetadata().GetFields()["reason"].GetStringValue()
}

func wants(t *testing.T, r running, what, raw, reason string) {
	t.Helper()
	if got := answered(t, r, raw); got != reason {
		t.Errorf("%s: %s; want %s", what, got, reason)
	}
}

func becomes(t *testing.T, r running, what, raw, reason string) {
	t.Helper()
	eventually(t, what+": "+reason, func() bool { return answered(t, r, raw) == reason })
}

// keysOf tests what every provider's keys must stand: rotation, withdrawal, an outage,
// and a start during it.
func keysOf(t *testing.T, p *realidp.Provider, profile string) {
	cache := t.TempDir()
	r := run(t, trusting(t, p, profile, cache, ""), server.Options{})
	eventually(t, "ready", r.Ready)
	first := p.Token(false)
	wants(t, r, "a token", first, "ok")
	middle := len(first) - 20
	wants(t, r, "with another signature", first[:middle]+strings.Map(func(c rune) rune {
		if c == 'A' {
			return 'B'
		}
		return 'A'
	}, first[middle:middle+8])+first[middle+8:], "token_bad_signature")

	for n := range 3 {
		old := p.Token(false)
		p.Rotate()
		fresh := p.Token(false)
		becomes(t, r, fmt.Sprintf("rotation %d, the new key", n), fresh, "ok")
		wants(t, r, fmt.Sprintf("rotation %d, the old key", n), old, "ok")
		p.Drop()
		becomes(t, r, fmt.Sprintf("rotation %d, the withdrawn key", n), old, "token_unknown_key")
		wants(t, r, fmt.Sprintf("rotation %d, the new key after it", n), fresh, "ok")
	}

	last := p.Token(false)
	p.Stop()
	for range 30 { // longer than every bound but stale_if_error
		wants(t, r, "during the outage", last, "ok")
		time.Sleep(100 * time.Millisecond) // clock: at least so long
	}
	if status, _ := page(t, r, "/readyz"); status != 200 {
		t.Error("readiness has changed by the outage")
	}
	cached := run(t, trusting(t, p, profile, cache, ""), server.Options{})
	eventually(t, "ready from the file of last good keys", cached.Ready)
	wants(t, cached, "during the outage, after a start", last, "ok")
	cold := run(t, trusting(t, p, profile, "", ""), server.Options{})
	time.Sleep(3 * time.Second) // clock: time to be wrong
	if cold.Ready() {
		t.Error("ready without keys")
	}
	wants(t, cold, "without keys", last, "not_ready")
	p.Start()
	eventually(t, "ready when the provider is back", cold.Ready)
	becomes(t, cold, "when it is back", p.Token(false), "ok")
	becomes(t, r, "and for who was there all the time", p.Token(false), "ok")
}

func TestKeycloak(t *testing.T) {
	t.Parallel()
	p := realidp.NewKeycloak(t)
	t.Run("keys", func(t *testing.T) { keysOf(t, p, "keycloak") })

	ask := func(client, secret, tokens string) running {
		t.Helper()
		c := trusting(t, p, "keycloak", "", `
  introspection: { endpoint: "`+p.IntrospectionEndpoint+`", client_id: `+client+`, client_secret_file: secret, tokens: `+tokens+`, cache_max: 1s }
`)
		if err := os.WriteFile(c.Issuers[0].Introspection.ClientSecretFile, []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, x := range snapshot.Examine(t.Context(), c, c.Issuers[0]) {
			if x.Grade == "fail" || x.Name == "introspection" && !strings.Contains(x.Detail, "introspect") &&
				!strings.Contains(x.Detail, "in its aud") {
				t.Errorf("doctor: %+v", x)
			}
		}
		r := run(t, c, server.Options{})
		eventually(t, "ready", r.Ready)
		return r
	}
	t.Run("introspection", func(t *testing.T) {
		r := ask("gateway", realidp.GatewaySecret, "all")
		stranger := ask("stranger", "TEST-stranger-secret", "all")
		plain := run(t, trusting(t, p, "keycloak", "", ""), server.Options{})
		eventually(t, "ready", plain.Ready)
		raw := p.Token(false)
		wants(t, r, "asked about", raw, "ok")
		// The trap: a client outside of aud is told that the token is not active.
		wants(t, stranger, "asked about by a stranger", raw, "token_inactive")
		p.Logout()
		becomes(t, r, "after logout", raw, "token_inactive")
		wants(t, plain, "by who does not ask", raw, "ok")
		wants(t, r, "signed in again", p.Token(false), "ok")
		wants(t, r, "made up", "opaque", "token_inactive")
		another := p.Token(false)
		wrong := ask2(t, p)
		wants(t, wrong, "with a wrong secret", another, "introspection_unavailable")
		p.Stop()
		wants(t, r, "while Keycloak is away", another, "introspection_unavailable")
		wants(t, plain, "by who does not ask", another, "ok")
	})
}

// ask2 asks Keycloak with a wrong secret, which its doctor would find.
func ask2(t *testing.T, p *realidp.Provider) running {
	t.Helper()
	c := trusting(t, p, "keycloak", "", `
  introspection: { endpoint: "`+p.IntrospectionEndpoint+`", client_id: stranger, client_secret_file: secret, tokens: all }
`)
	found := false
	for _, x := range snapshot.Examine(t.Context(), c, c.Issuers[0]) {
		found = found || x.Name == "introspection" && x.Grade == "fail" && strings.Contains(x.Detail, "client_id")
	}
	if !found {
		t.Error("the doctor does not find the wrong secret")
	}
	r := run(t, c, server.Options{})
	eventually(t, "ready", r.Ready)
	return r
}

func TestOIDCProvider(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := json.Marshal(map[string]any{"keys": []any{map[string]string{
		"kty": "EC", "crv": "P-256", "kid": "k1", "alg": "ES256", "use": "sig",
		"x": base64.RawURLEncoding.EncodeToString(point[1:33]), "y": base64.RawURLEncoding.EncodeToString(point[33:]),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	private := filepath.Join(t.TempDir(), "client.pem")
	if err := os.WriteFile(private, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		0o600); err != nil {
		t.Fatal(err)
	}
	p := realidp.NewOIDCProvider(t, string(keys))
	for name, more := range map[string]string{
		"client_secret_basic": `client_id: gateway, client_secret_file: secret`,
		"client_secret_post":  `client_id: gateway, auth_method: client_secret_post, client_secret_file: secret`,
		"private_key_jwt": `client_id: gateway-key, auth_method: private_key_jwt, key_file: ` + private +
			`, key_id: k1`,
		"signed answers": `client_id: gateway-jwt, client_secret_file: secret, response: jwt`,
	} {
		t.Run("introspection/"+name, func(t *testing.T) {
			r := run(t, trusting(t, p, "rfc9068", "", `
  introspection: { endpoint: "`+p.IntrospectionEndpoint+`", `+more+`, cache_max: 1s }
`), server.Options{})
			eventually(t, "ready", r.Ready)
			raw := p.Token(true)
			wants(t, r, "an opaque token", raw, "ok")
			wants(t, r, "a made up one", raw[1:]+"x", "token_inactive")
			p.Revoke(raw)
			becomes(t, r, "a revoked one", raw, "token_inactive")
			wants(t, r, "a JWT", p.Token(false), "ok")
		})
	}
	t.Run("keys", func(t *testing.T) { keysOf(t, p, "rfc9068") })
}
