package validate_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io/fs"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
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
		p.mount(t, chart, spec.Volumes[slices.IndexFunc(spec.Volumes, func(v corev1.Volume) bool {
			return v.Name == m.Name
		})], m, given)
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
		if err := os.WriteFile(filepath.Join(p.root+m.MountPath, name), []byte(p.moved.Replace(text)),
			0o600); err != nil {
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
	h := &authv3.AttributeContext_HttpRequest{Id: "1", Method: "GET", Path: u.Path, Host: u.Host, Scheme: u.Scheme,
		Protocol: "HTTP/1.1", Headers: map[string]string{":method": "GET", ":path": u.Path, ":authority": u.Host}}
	if token != "" {
		h.Headers["authorization"] = "Bearer " + token
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // clock: the bound of one that hangs
	defer cancel()
	r, err := p.client.Check(ctx, &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Request: &authv3.AttributeContext_Request{Http: h},
		Source: &authv3.AttributeContext_Peer{
			Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
				Address: "192.0.2.1"}}}},
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
