package validate_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// stepward is the binary, built once.
var stepward = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "stepward-pod")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "stepward")
	if out, err := exec.Command("go", "-C", "../..", "build", "-o", path,
		"./cmd/stepward").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := stepward(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// cluster is an issuer of tokens as a Kubernetes API server is one.
type cluster struct {
	key    *rsa.PrivateKey
	issuer string
}

func newCluster(t *testing.T, issuer string) cluster {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return cluster{key, issuer}
}

// keys is what `kubectl get --raw /openid/v1/jwks` prints.
func (c cluster) keys() string {
	b64 := base64.RawURLEncoding.EncodeToString
	return fmt.Sprintf(`{"keys":[{"use":"sig","kty":"RSA","kid":"k","alg":"RS256","n":%q,"e":"AQAB"}]}`,
		b64(c.key.N.Bytes()))
}

// token is what `kubectl create token` prints.
func (c cluster) token(t *testing.T, subject string) string {
	t.Helper()
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	now := time.Now().Unix()
	text := part(object{"alg": "RS256", "kid": "k"}) + "." + part(object{
		"iss": c.issuer, "aud": []string{"app"}, "sub": subject, "iat": now, "nbf": now, "exp": now + 3600,
		"jti":           "11111111-2222-3333-4444-555555555555",
		"kubernetes.io": object{"namespace": "app", "serviceaccount": object{"name": "alice", "uid": "1"}},
	})
	digest := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, c.key, crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// certify is a certificate as the recipes' openssl makes it: it is its own CA.
func certify(t *testing.T, name string) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "stepward"}, DNSNames: []string{name}, IsCA: true,
		BasicConstraintsValid: true,
		NotBefore:             time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs})
}

const serverName = "stepward.stepward.svc.cluster.local"

// What each recipe installs answers the recipe's requests as its comments say, and its
// last command finds nothing wrong.
func TestRecipesServe(t *testing.T) {
	c := newCluster(t, "https://kubernetes.default.svc.cluster.local")
	certificate, key := certify(t, serverName)
	given := volumes{
		"configmap stepward-keys": {"jwks.json": c.keys()},
		"secret stepward-tls":     {"tls.crt": string(certificate), "tls.key": string(key)},
	}
	for _, dir := range recipes {
		t.Run(dir, func(t *testing.T) {
			w := walk(t, filepath.Join("..", dir, "README.md"))
			text, err := w.install(t)
			if err != nil {
				t.Fatal(text)
			}
			chart := resources(t, text)
			mine := volumes{"configmap stepward-keys": given["configmap stepward-keys"]}
			if strings.Contains(text, "secretName: stepward-tls") {
				mine = given
			}
			p := start(t, chart, "stepward", mine)
			p.ready(t)
			for _, r := range w.requests {
				token := ""
				if r.token {
					token = c.token(t, "system:serviceaccount:app:alice")
				}
				status, challenge, _ := p.ask(t, r.url, token)
				if status != r.status || strings.Contains(r.says, "=") && !strings.Contains(challenge, r.says) {
					t.Errorf("%+v: %d %s", r, status, challenge)
				}
			}
			if status, _, _ := p.ask(t, w.requests[1].url, newCluster(t, c.issuer).token(t, "mallory")); status != 401 {
				t.Errorf("a token of another cluster: %d", status)
			}
			live := live(t, w, text)
			if out, err := p.exec(t, live, w.stepward[0]...); err != nil || !strings.Contains(out, " is valid; ") ||
				strings.Contains(out, "warning") {
				t.Errorf("%v %s", err, out)
			}
			if out, err := p.exec(t, "", slices.Concat([]string{"validate", "--insecure-plaintext-listener"},
				[]string{"--envoy", "-"})...); err == nil {
				t.Errorf("nothing is found fine: %s", out)
			}
		})
	}
}

// live is what kubectl prints of the cluster for the recipe's last command: a list, and
// Istio's ConfigMap before it.
func live(t *testing.T, w walked, rendered string) string {
	t.Helper()
	var b strings.Builder
	if w.manifests != "" {
		_, inner, _ := strings.Cut(w.manifests, "meshConfig:\n")
		b.WriteString(
			"apiVersion: v1\nkind: ConfigMap\nmetadata: { name: istio, namespace: istio-system }\ndata:\n  mesh: |-\n" +
				regexp.MustCompile(`(?m)^`).ReplaceAllString(strings.TrimRight(inner, "\n"), "  ") + "\n---\n")
	}
	b.WriteString("apiVersion: v1\nkind: List\nitems:\n")
	for _, doc := range append(slices.Clone(w.applied), strings.Split(rendered, "\n---\n")...) {
		var lines []string
		for line := range strings.SplitSeq(doc, "\n") {
			if !strings.HasPrefix(line, "#") && line != "---" && strings.TrimSpace(line) != "" {
				lines = append(lines, line)
			}
		}
		if len(lines) > 0 {
			b.WriteString("- " + strings.Join(lines, "\n  ") + "\n")
		}
	}
	return b.String()
}

// The commands that the chart's README gives for kubectl exec work in the pod, and what
// Stepward writes goes where the pod can be written.
func TestExec(t *testing.T) {
	c := newCluster(t, "https://idp.example.com")
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, c.keys())
	}))
	defer provider.Close()
	text, err := render(t, `
image: { repository: registry.example.com/stepward }
insecurePlaintextListener: true
config:
  issuers: [ { name: corp, issuer: "https://idp.example.com", audiences: [app], profile: generic, algorithms: [RS256], jwks_uri: "`+provider.URL+`", keys: { cache_dir: /var/cache/stepward } } ]
  levels: [ { name: mfa, acr: [mfa] } ]
  upstream: { header_prefix: "${PREFIX}" }
policies: { policy.rego: "package stepward.policy\n\nimport rego.v2\n\nrequire contains {\"level\": \"authenticated\"}\n" }
extraVolumes: [ { name: secrets, secret: { secretName: stepward-secrets } } ]
extraVolumeMounts: [ { name: secrets, mountPath: /etc/stepward/secrets, readOnly: true } ]
extraEnv: [ { name: PREFIX, value: x-mine- } ]
extraArgs: [--insecure-policy-network]
`)
	if err != nil {
		t.Fatal(text)
	}
	p := start(t, resources(t, text), "gate-stepward", volumes{"secret stepward-secrets": {"client": "secret"}})
	p.ready(t)
	token := c.token(t, "alice")
	status, _, id := p.ask(t, "http://app.example.com/", token)
	if status != 200 || id == "" {
		t.Fatalf("%d, decision %q", status, id)
	}
	for _, args := range walk(t, "../helm/README.md").stepward {
		line := strings.ReplaceAll(strings.Join(args, " "), "$ID", id)
		out, err := p.exec(t, "", strings.Fields(line)...)
		want := map[string]string{"console": "alice", "issuers": "corp", "explain": "alice", "revoke": "alice"}[args[0]]
		if err != nil || want == "" || !strings.Contains(out, want) {
			t.Errorf("%s: %v %s", line, err, out)
		}
	}
	if status, _, _ := p.ask(t, "http://app.example.com/", token); status != 401 {
		t.Errorf("a subject that was revoked: %d", status)
	}
	if out, err := p.exec(t, "", "explain", "--decision", "0123456789abcdef0123456789abcdef"); err == nil {
		t.Errorf("a decision that was never made: %s", out)
	}
	cached := false
	for _, name := range p.files(t) {
		cached = cached || name == "/var/cache/stepward/corp.json"
		if !slices.Contains(p.before, name) && !strings.HasPrefix(name, "/run/stepward/") && !strings.HasPrefix(
			name, "/var/cache/stepward/") {
			t.Errorf("%s was written, on a read-only root", name)
		}
	}
	if !cached {
		t.Error("no keys are kept in the cache")
	}
	if info, err := os.Stat(p.root + "/run/stepward/control.sock"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
}
