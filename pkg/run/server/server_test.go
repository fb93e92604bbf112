package server_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/internal/testidp"
	"github.com/stepward/stepward/pkg/internal/wait"
	"github.com/stepward/stepward/pkg/run/server"
	"github.com/stepward/stepward/pkg/run/snapshot"
)

// settings returns a configuration for tokens of idp, plus what more says.
func settings(t testing.TB, idp *testidp.IDP, more string) config.Config {
	t.Helper()
	c, err := config.Parse("stepward.yaml", []byte(`
issuers: [{name: corp, issuer: "`+idp.URL+`", audiences: ["`+testidp.Audience+`"]}]
levels:
- {name: password, acr: ["loa:1"]}
- {name: mfa, acr: ["loa:2"]}
- {name: phishing-resistant, acr: [phr, phrh]}
limits: {deadline: 10s}
policy: {default: true, timeout: 10s}
drain: {delay: 10ms}
`+more), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

type running struct {
	*server.Server
	auth   authv3.AuthorizationClient
	health grpc_health_v1.HealthClient
	stop   func() error
}

func run(t testing.TB, c config.Config, o server.Options) running {
	t.Helper()
	for _, l := range []*net.Listener{&o.Listener, &o.AdminListener} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		*l = listener
	}
	s, err := server.New(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	conn, err := grpc.NewClient(s.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	var stopped error
	once := false
	r := running{Server: s, auth: authv3.NewAuthorizationClient(conn), health: grpc_health_v1.NewHealthClient(conn),
		stop: func() error {
			if !once {
				once = true
				cancel()
				stopped = <-done
				conn.Close()
			}
			return stopped
		}}
	t.Cleanup(func() { r.stop() })
	return r
}

func (r running) check(t testing.TB, path string, headers map[string]string) *authv3.CheckResponse {
	t.Helper()
	res, err := r.auth.Check(t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Request: &authv3.AttributeContext_Request{
			Http: &authv3.AttributeContext_HttpRequest{Method: "GET", Path: path, Host: "app.example.com",
				Scheme:  "https",
				Headers: headers},
		}}})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	wait.Until(t, what, is)
}

func page(t testing.TB, r running, path string) (int, string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get("http://" + r.AdminAddr().String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func serving(t testing.TB, r running) bool {
	t.Helper()
	for _, name := range []string{"", "envoy.service.auth.v3.Authorization"} {
		res, err := r.health.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: name})
		if err != nil || res.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
			return false
		}
	}
	return true
}

// Not ready it refuses, with reasons; ready it decides; stopped it leaves nothing
// behind.
func TestLifeCycle(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Run("", func(t *testing.T) {
		idp, err := testidp.Start(testidp.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer idp.Close()
		idp.Fail(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
		r := run(t, settings(t, idp, ""), server.Options{Version: "v-test", Snapshot: snapshot.Options{
			Client: idp.Client()}})
		if res := r.check(t, "/", nil); res.GetDeniedResponse().GetStatus().GetCode() != 503 || !strings.Contains(
			res.GetDeniedResponse().GetBody(), "not_ready") {
			t.Errorf("not ready: %v", res)
		}
		if status, body := page(t, r, "/readyz?verbose"); status != 503 || !strings.Contains(body, "keys of corp") {
			t.Errorf("readyz: %d %s", status, body)
		}
		if serving(t, r) {
			t.Error("health says SERVING before it is ready")
		}
		idp.Fail(nil)
		eventually(t, "ready once the provider is back", r.Ready)
		eventually(t, "SERVING", func() bool { return serving(t, r) })
		if status, _ := page(t, r, "/readyz"); status != 200 {
			t.Errorf("readyz: %d", status)
		}
		idp.Fail(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }) // trouble later changes nothing
		token, err := idp.Mint(testidp.Token{Claims: map[string]any{"acr": "phr"}})
		if err != nil {
			t.Fatal(err)
		}
		if res := r.check(t, "/admin/x", map[string]string{
			"authorization": "Bearer " + token}); res.GetOkResponse() == nil {
			t.Errorf("enough: %v", res)
		}
		if res := r.check(t, "/admin/x", nil); res.GetDeniedResponse().GetStatus().GetCode() != 401 {
			t.Errorf("nothing: %v", res)
		}
		for path, want := range map[string]string{"/healthz": "ok", "/version": "v-test",
			"/metrics": `stepward_decisions_total{reason="no_credentials",result="challenge"} 1`} {
			if status, body := page(t, r, path); status != 200 || !strings.Contains(body, want) {
				t.Errorf("%s: %d %.200s", path, status, body)
			}
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

// Start-up does not wait for an optional issuer; its tokens are refused as our own
// fault until its keys are there.
func TestOptionalIssuer(t *testing.T) {
	idp, err := testidp.Start(testidp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer idp.Close()
	idp.Fail(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	c := settings(t, idp, "")
	c.Issuers[0].Optional = true
	r := run(t, c, server.Options{})
	eventually(t, "ready", r.Ready)
	token, err := idp.Mint(testidp.Token{})
	if err != nil {
		t.Fatal(err)
	}
	if res := r.check(t, "/orders", map[string]string{
		"authorization": "Bearer " + token}); res.GetDeniedResponse().GetStatus().GetCode() != 503 {
		t.Errorf("%v", res)
	}
}

// What cannot be served is refused at start.
func TestNewRefuses(t *testing.T) {
	idp, err := testidp.Start(testidp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer idp.Close()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, change := range map[string]func(*config.Config){
		"a policy that does not load": func(c *config.Config) {
			c.Policy.Paths = []string{write("bad.rego", "package stepward.policy\ndeny if true")}
		},
		"an empty key file": func(c *config.Config) { c.Issuers[0].JWKSFile = write("empty.json", "") },
		"half a key file": func(c *config.Config) {
			c.Issuers[0].JWKSFile = write("half.json", string(idp.JWKS()[:200]))
		},
		"a missing key file":   func(c *config.Config) { c.Issuers[0].JWKSFile = filepath.Join(dir, "missing") },
		"a port that is taken": func(c *config.Config) { c.Listen = strings.TrimPrefix(idp.URL, "http://") },
	} {
		c := settings(t, idp, "")
		change(&c)
		if s, err := server.New(t.Context(), c, server.Options{}); err == nil {
			t.Errorf("%s is served at %s", name, s.Addr())
		}
	}
}
