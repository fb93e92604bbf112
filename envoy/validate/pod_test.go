package validate_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// stepward is the binary, built once.
var stepward = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "stepward-pod")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "stepward")
	if out, err := exec.Command("go", "-C", "../..", "build", "-o", path, "./cmd/stepward").CombinedOutput(); err != nil {
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
	return fmt.Sprintf(`{"keys":[{"use":"sig","kty":"RSA","kid":"k","alg":"RS256","n":%q,"e":"AQAB"}]}`, b64(c.key.N.Bytes()))
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
		"iss": c.issuer, "aud": []string{"app"}, "sub": subject, "iat": now, "nbf": now, "exp": now + 3600, "jti": "11111111-2222-3333-4444-555555555555",
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
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "stepward"}, DNSNames: []string{name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs})
}

const serverName = "stepward.stepward.svc.cluster.local"

// pod runs the real binary as the chart's pod would: its container's arguments and
// environment, its volumes below a folder that stands for the root.
type pod struct {
	root    string
	address string
	env     []string
	moved   *strings.Replacer // paths of the pod to paths below root
	client  authv3.AuthorizationClient
	health  grpc_health_v1.HealthClient
	before  []string // files that were there before it ran
}

// volumes are the contents of Secrets and ConfigMaps that are not the chart's.
type volumes map[string]map[string]string

func start(t *testing.T, chart map[string]any, release string, given volumes) *pod {
	t.Helper()
	p := &pod{root: t.TempDir()}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.address = l.Addr().String()
	l.Close()
	spec := chart["Deployment "+release].(*appsv1.Deployment).Spec.Template.Spec
	c := spec.Containers[0]
	var names []string
	for _, m := range c.VolumeMounts {
		names = append(names, m.MountPath, p.root+m.MountPath)
	}
	p.moved = strings.NewReplacer(names...)
	for _, m := range c.VolumeMounts {
		p.mount(t, chart, spec.Volumes[slices.IndexFunc(spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })], m, given)
	}
	p.env = os.Environ()
	for _, e := range c.Env {
		p.env = append(p.env, e.Name+"="+p.moved.Replace(e.Value))
	}
	p.before = p.files(t)
	p.serve(t, c.Args)
	p.dial(t, given["secret stepward-tls"]["tls.crt"])
	return p
}

func (p *pod) mount(t *testing.T, chart map[string]any, v corev1.Volume, m corev1.VolumeMount, given volumes) {
	t.Helper()
	files := map[string]string{}
	switch {
	case v.EmptyDir != nil:
		if m.ReadOnly {
			t.Errorf("nobody can write to %s", m.MountPath)
		}
	case v.Secret != nil:
		files = given["secret "+v.Secret.SecretName]
	case chart["ConfigMap "+v.ConfigMap.Name] != nil:
		files = chart["ConfigMap "+v.ConfigMap.Name].(*corev1.ConfigMap).Data
	default:
		files = given["configmap "+v.ConfigMap.Name]
	}
	if files == nil {
		t.Fatalf("nothing is in volume %s", v.Name)
	}
	if err := os.MkdirAll(p.root+m.MountPath, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(p.root+m.MountPath, name), []byte(p.moved.Replace(text)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func (p *pod) files(t *testing.T) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(p.root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, strings.TrimPrefix(path, p.root))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (p *pod) serve(t *testing.T, args []string) {
	t.Helper()
	path, err := stepward()
	if err != nil {
		t.Fatal(err)
	}
	for i := range args {
		args[i] = p.moved.Replace(args[i])
	}
	cmd := exec.Command(path, args...)
	var log bytes.Buffer
	// A pod has its ports to itself; here others may have them.
	cmd.Env = append(slices.Clone(p.env), "STEPWARD_LISTEN="+p.address, "STEPWARD_ADMIN=127.0.0.1:0")
	cmd.Stderr, cmd.Stdout, cmd.Dir = &log, &log, "/"
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s", &log)
		}
	})
}

func (p *pod) dial(t *testing.T, ca string) {
	t.Helper()
	how := insecure.NewCredentials()
	if ca != "" {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM([]byte(ca))
		how = credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: serverName, MinVersion: tls.VersionTLS12})
	}
	conn, err := grpc.NewClient(p.address, grpc.WithTransportCredentials(how))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	p.client, p.health = authv3.NewAuthorizationClient(conn), grpc_health_v1.NewHealthClient(conn)
}

// ask is a request of that URL, and the status, the challenge and the decision's id that
// come of it.
func (p *pod) ask(t *testing.T, address, token string) (status int, challenge, id string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	h := &authv3.AttributeContext_HttpRequest{Id: "1", Method: "GET", Path: u.Path, Host: u.Host, Scheme: u.Scheme, Protocol: "HTTP/1.1", Headers: map[string]string{":method": "GET", ":path": u.Path, ":authority": u.Host}}
	if token != "" {
		h.Headers["authorization"] = "Bearer " + token
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // clock: the bound of one that hangs
	defer cancel()
	r, err := p.client.Check(ctx, &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Request: &authv3.AttributeContext_Request{Http: h},
		Source:  &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{Address: "192.0.2.1"}}}},
	}}, grpc.WaitForReady(true))
	if err != nil {
		t.Fatal(err)
	}
	id = r.GetDynamicMetadata().GetFields()["decision_id"].GetStringValue()
	if r.GetStatus().GetCode() == 0 {
		return 200, "", id
	}
	for _, o := range r.GetDeniedResponse().GetHeaders() {
		if strings.EqualFold(o.GetHeader().GetKey(), "www-authenticate") {
			challenge += o.GetHeader().GetValue()
		}
	}
	return int(r.GetDeniedResponse().GetStatus().GetCode()), challenge, id
}

// exec is kubectl exec: the binary again, in the pod's own environment.
func (p *pod) exec(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	path, err := stepward()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env, cmd.Dir, cmd.Stdin = p.env, "/", strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// ready waits until the pod decides, as a readiness probe tells. That every issuer's keys
// are there, as `stepward issuers` tells, comes before it and is not enough.
func (p *pod) ready(t *testing.T) {
	t.Helper()
	for range 600 {
		r, err := p.health.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
		if err == nil && r.GetStatus() == grpc_health_v1.HealthCheckResponse_SERVING {
			if out, err := p.exec(t, "", "issuers"); err != nil {
				t.Fatalf("ready without keys: %v %s", err, out)
			}
			return
		}
		time.Sleep(100 * time.Millisecond) // clock: a pause between two looks
	}
	t.Fatal("not ready")
}

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
			if out, err := p.exec(t, live, w.stepward[0]...); err != nil || !strings.Contains(out, " is valid; ") || strings.Contains(out, "warning") {
				t.Errorf("%v %s", err, out)
			}
			if out, err := p.exec(t, "", slices.Concat([]string{"validate", "--insecure-plaintext-listener"}, []string{"--envoy", "-"})...); err == nil {
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
		b.WriteString("apiVersion: v1\nkind: ConfigMap\nmetadata: { name: istio, namespace: istio-system }\ndata:\n  mesh: |-\n" + regexp.MustCompile(`(?m)^`).ReplaceAllString(strings.TrimRight(inner, "\n"), "  ") + "\n---\n")
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
		if !slices.Contains(p.before, name) && !strings.HasPrefix(name, "/run/stepward/") && !strings.HasPrefix(name, "/var/cache/stepward/") {
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
