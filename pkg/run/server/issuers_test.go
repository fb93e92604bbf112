package server_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/internal/testidp"
	"github.com/stepward/stepward/pkg/internal/wait"
	"github.com/stepward/stepward/pkg/run/control"
	"github.com/stepward/stepward/pkg/run/server"
	"github.com/stepward/stepward/pkg/run/snapshot"
	"github.com/stepward/stepward/pkg/trust/revocation"
)

// asking returns a configuration whose issuer is asked about opaque tokens, with more of the
// issuer's own.
func asking(t *testing.T, idp *testidp.IDP, more string) config.Config {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte(testidp.ClientSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse(filepath.Join(dir, "stepward.yaml"), []byte(`
issuers:
- name: corp
  issuer: "`+idp.URL+`"
  audiences: ["`+testidp.Audience+`"]
  introspection: { endpoint: "`+idp.URL+`/introspect", client_id: gateway, client_secret_file: secret, cache_max: 1s }
`+more+`
levels:
- {name: password, acr: ["loa:1"]}
- {name: mfa, acr: ["loa:2"]}
- {name: phishing-resistant, acr: [phr, phrh]}
limits: {deadline: 10s}
policy: {default: true, timeout: 10s}
drain: {delay: 10ms}
control: unix://`+dir+`/c.sock
`), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func bearer(raw string) map[string]string { return map[string]string{"authorization": "Bearer " + raw} }

// An opaque token is allowed, challenged and revoked as a JWT is, and while its issuer
// is away it is neither.
func TestOpaqueTokens(t *testing.T) {
	idp, err := testidp.Start(testidp.Options{TLS: true})
	if err != nil {
		t.Fatal(err)
	}
	defer idp.Close()
	idp.Metadata(map[string]any{"acr_values_supported": []string{"loa:1", "loa:2"}})
	c := asking(t, idp, "")
	client := idp.Client()
	defer client.Close()
	r := run(t, c, server.Options{Snapshot: snapshot.Options{Client: client}})
	eventually(t, "ready", r.Ready)
	expect := func(what, raw string, status int, reason string) {
		t.Helper()
		res := r.check(t, "/admin/x", bearer(raw))
		if status == 200 {
			if res.GetOkResponse() == nil {
				t.Errorf("%s: %v; want an allow", what, res)
			}
			return
		}
		got := res.GetDynamicMetadata().GetFields()["reason"].GetStringValue()
		if int(res.GetDeniedResponse().GetStatus().GetCode()) != status || got != reason {
			t.Errorf("%s: %d %s; want %d %s", what, res.GetDeniedResponse().GetStatus().GetCode(), got, status, reason)
		}
	}
	strong, weak := idp.Opaque("", map[string]any{"acr": "phr"}), idp.Opaque("", map[string]any{"acr": "loa:1"})
	expect("enough", strong, 200, "")
	expect("too little", weak, 401, "insufficient_level")
	expect("nobody's", "nobodys", 401, "token_inactive")
	other := idp.Opaque("", map[string]any{"acr": "phr", "sub": "bob"})
	idp.Fail(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) })
	expect("while the issuer is away", other, 503, "introspection_unavailable")
	idp.Fail(nil)
	eventually(t, "the breaker lets calls through again",
		func() bool { return r.check(t, "/admin/x", bearer(other)).GetOkResponse() != nil })

	socket, err := control.NewClient(c.Control)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := socket.Revoke(t.Context(), revocation.Entry{Issuer: "corp", Subject: "alice"}); err != nil {
		t.Fatal(err)
	}
	expect("revoked", strong, 401, "token_revoked")
	expect("another's", other, 200, "")

	list, err := socket.Issuers(t.Context())
	if err != nil || len(list) != 1 || !list[0].Usable || len(list[0].Keys) != 4 || len(list[0].Warnings) != 1 ||
		!strings.Contains(list[0].Warnings[0], "phishing-resistant") {
		t.Errorf("%+v, %v", list, err)
	}
	_, metrics := page(t, r, "/metrics")
	for _, want := range []string{
		`stepward_jwks_usable{issuer_name="corp"} 1`, `stepward_jwks_keys{issuer_name="corp"} 4`,
		`stepward_jwks_skipped_keys{issuer_name="corp"} 0`,
		`stepward_jwks_last_success_timestamp_seconds{issuer_name="corp"} 1`,
		`stepward_introspection_total{issuer_name="corp",result="inactive"} 1`,
		`stepward_introspection_total{issuer_name="corp",result="error"}`, `stepward_revocations 1`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s", want)
		}
	}
	if _, ready := page(t, r, "/readyz?verbose"); !strings.Contains(ready, "4 keys, fetched at") {
		t.Errorf("%s", ready)
	}
}

// What is revoked stays so when the configuration is read again.
func TestRevokedAcrossReload(t *testing.T) {
	idp, err := testidp.Start(testidp.Options{TLS: true})
	if err != nil {
		t.Fatal(err)
	}
	defer idp.Close()
	c := asking(t, idp, "")
	more := asking(t, idp, "  leeway: 10s\n")
	more.Control, more.Sources = c.Control, c.Sources
	more.Issuers[0].Introspection.ClientSecretFile = c.Issuers[0].Introspection.ClientSecretFile
	client := idp.Client()
	defer client.Close()
	index := revocation.New(0, nil)
	var next atomic.Bool
	enforced := make(chan config.Config, 10)
	r := run(t, c, server.Options{
		Snapshot: snapshot.Options{Client: client, Revocations: index}, Enforce: func(c config.Config) {
			enforced <- c
		},
		Reload: func(*files.Look) (config.Config, error) {
			if next.Load() {
				return more, nil
			}
			return c, nil
		},
	})
	<-enforced
	raw, err := idp.Mint(testidp.Token{Claims: map[string]any{"acr": "phr", "jti": "t1"}})
	if err != nil {
		t.Fatal(err)
	}
	if res := r.check(t, "/admin/x", bearer(raw)); res.GetOkResponse() == nil {
		t.Fatalf("before: %v", res)
	}
	if _, err := index.Revoke(revocation.Entry{Issuer: idp.URL, JTI: "t1"}); err != nil {
		t.Fatal(err)
	}
	for n := range 2 {
		if res := r.check(t, "/admin/x", bearer(raw)); res.GetOkResponse() != nil {
			t.Errorf("revoked, after %d reloads: %v", n, res)
		}
		if n == 0 {
			next.Store(true)
			r.Reload()
			wait.For(t, "the reload is enforced", enforced)
		}
	}
}

// RFC 8705 §2: the certificate of the connection authenticates us, and nobody else is
// answered.
func TestIntrospectionByCertificate(t *testing.T) {
	idp, err := testidp.Start(testidp.Options{TLS: true})
	if err != nil {
		t.Fatal(err)
	}
	defer idp.Close()
	asked := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if len(r.TLS.PeerCertificates) != 1 || r.TLS.PeerCertificates[0].Subject.CommonName != "gateway" ||
			r.PostFormValue("client_id") != "gateway" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(
			w, `{"active":true,"token_type":"Bearer","aud":%q,"sub":"alice","exp":%d,"acr":"phr","auth_time":%d}`,
			testidp.Audience, time.Now().Unix()+60, time.Now().Unix())
	}))
	asked.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	asked.StartTLS()
	defer asked.Close()
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "gateway"},
		NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	authorities := append(idp.Authority(),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: asked.Certificate().Raw})...)
	for name, block := range map[string][]byte{
		"cert.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), "key.pem": pem.EncodeToMemory(
			&pem.Block{Type: "PRIVATE KEY", Bytes: private}), "ca.pem": authorities,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), block, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	open := func(auth string) running {
		c := asking(t, idp, "")
		c.Outbound.CAFile = filepath.Join(dir, "ca.pem")
		c.Issuers[0].Introspection.Endpoint = asked.URL
		if auth == "tls_client_auth" {
			c.Issuers[0].Introspection.AuthMethod, c.Issuers[0].Introspection.CertFile,
				c.Issuers[0].Introspection.KeyFile = auth, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		}
		r := run(t, c, server.Options{})
		eventually(t, "ready", r.Ready)
		return r
	}
	if res := open("tls_client_auth").check(t, "/admin/x", bearer("opaque")); res.GetOkResponse() == nil {
		t.Errorf("with the certificate: %v", res)
	}
	res := open("client_secret_basic").check(t, "/admin/x", bearer("opaque"))
	if got := res.GetDynamicMetadata().GetFields()["reason"].GetStringValue(); res.GetOkResponse() != nil ||
		got != "introspection_unavailable" {
		t.Errorf("without it: %s", got)
	}
}
