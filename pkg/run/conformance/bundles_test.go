package conformance_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stepward/stepward/envoy"
	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/internal/testbundles"
	"github.com/stepward/stepward/pkg/internal/testidp"
	"github.com/stepward/stepward/pkg/internal/wait"
	"github.com/stepward/stepward/pkg/run/server"
)

// variant returns a bundle whose name, a or b, is in every field of every answer.
func variant(name string) []byte {
	status, age := map[string]string{"a": "404", "b": "451"}[name], map[string]string{"a": "60", "b": "120"}[name]
	return testbundles.Pack(map[string]string{
		".manifest": `{"revision": "rev-` + name + `", "roots": ["stepward/policy"]}`,
		"policy.rego": `package stepward.policy

import rego.v2

require contains {"level": "anonymous"} if not stepup

require contains {"acr": ["acr-` + name + `"], "max_age": ` + age + `, "scope": ["scope-` + name + `"], "detail": "detail-` + name + `"} if stepup

stepup if input.request.path == "/stepup"

deny contains {"status": ` + status + `, "code": "code-` + name + `", "detail": "detail-` + name + `"} if input.request.path == "/deny"

headers["x-tenant"] := "header-` + name + `"

response_headers["x-variant-response"] := "response-` + name + `"

metadata["variant"] := "metadata-` + name + `"
`})
}

// seen is what one answer shows of the policy that made it.
type seen struct{ id, marks string }

// Of two policies that differ in every field of an answer and change places under load,
// each answer through the real Envoy is wholly of the revision that its decision names.
// `make soak` has them change places a thousand times.
func TestBundleActivations(t *testing.T) {
	activations := 60
	if testing.Short() {
		activations = 20
	}
	if n, err := strconv.Atoi(os.Getenv("STEPWARD_ACTIVATIONS")); err == nil {
		activations = n
	}
	control := testbundles.New()
	defer control.Close()
	control.Bundles(testbundles.LongPoll)
	control.Put("authz.tar.gz", variant("a"))
	var revisions sync.Map // by decision id
	s, token := bundledService(t, control, func(_ context.Context, r *authz.Record) {
		revisions.Store(r.ID, fmt.Sprint(r.Revision, " ", r.Policy.Metadata["variant"]))
	})
	url := gatewayTo(t, s)
	var requests, checked atomic.Int64
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			client := &http.Client{Transport: &http.Transport{}, Timeout: wait.Bound}
			defer client.CloseIdleConnections()
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				x, err := ask(client, url, []string{"/allow", "/deny", "/stepup"}[n%3], token)
				if err != nil {
					t.Error(err)
					return
				}
				requests.Add(1)
				made, ok := revisions.LoadAndDelete(x.id)
				if want := "rev-" + x.marks + " metadata-" + x.marks; !ok || made != want {
					t.Errorf("decision %s was made by %v and shows %s", x.id, made, x.marks)
					return
				}
				checked.Add(1)
			}
		})
	}
	for i := range activations {
		name := []string{"b", "a"}[i%2]
		control.Put("authz.tar.gz", variant(name))
		wait.Until(t, "rev-"+name+" is in force", func() bool { return s.Revision() == "rev-"+name || t.Failed() })
		if t.Failed() {
			break
		}
	}
	close(stop)
	clients.Wait()
	t.Logf("%d activations, %d answers, %d of one revision each", activations, requests.Load(), checked.Load())
	if checked.Load() == 0 || checked.Load() != requests.Load() {
		t.Error("not every answer was checked, or there was no load")
	}
}

// bundledService returns a Stepward whose policy comes from control, and a token for it.
func bundledService(t *testing.T, control *testbundles.Server, observe func(context.Context, *authz.Record)) (
	*server.Server, string) {
	t.Helper()
	idp, err := testidp.New(testidp.Options{Issuer: "https://idp.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	token, err := idp.Mint(testidp.Token{Claims: map[string]any{"exp": time.Now().Add(time.Hour).Unix(),
		"auth_time": time.Now().Add(-time.Hour).Unix(), "acr": "acr-c"}})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"keys.json": string(idp.JWKS()),
		"opa.yaml": `services: { control: { url: "` + control.URL + `" } }
bundles: { authz: { service: control, resource: bundles/authz.tar.gz, polling: { min_delay_seconds: 0, max_delay_seconds: 1, long_polling_timeout_seconds: 1 } } }
`,
		"stepward.yaml": `issuers: [{ name: corp, issuer: "https://idp.example.com", audiences: ["` + testidp.Audience + `"], jwks_file: keys.json }]
levels: [{ name: mfa, acr: [acr-a, acr-b] }]
policy: { timeout: 2s }
bundles: { config_file: opa.yaml }
limits: { deadline: 5s }
drain: { delay: 10ms }
`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := config.Load(filepath.Join(dir, "stepward.yaml"), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var listeners [2]net.Listener
	for i := range listeners {
		if listeners[i], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	s, err := server.New(t.Context(), c, server.Options{Listener: listeners[0], AdminListener: listeners[1],
		Observe: observe})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	if err := s.WaitReady(wait.Context(t)); err != nil {
		t.Fatal(err)
	}
	return s, token
}

// gatewayTo returns a real Envoy that asks s, before an application that says what it got.
func gatewayTo(t *testing.T, s *server.Server) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	app := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			json.NewEncoder(w).Encode(map[string]string{"decision_id": r.Header.Get("x-stepward-decision-id"),
				"upstream": r.Header.Get("x-tenant")})
		})}
	go app.Serve(listener)
	t.Cleanup(func() { app.Close() })
	return "http://" + ingress(t, envoy.Params{Apps: []string{listener.Addr().String()}, Stepwards: []string{
		s.Addr().String()}, CheckTimeout: 10 * time.Second}).Ingress
}

// ask returns one request and what its answer shows. Marks of two policies are an error.
func ask(client *http.Client, url, path, token string) (seen, error) {
	r, err := http.NewRequest(http.MethodGet, url+path, nil)
	if err != nil {
		return seen{}, err
	}
	r.Host = "api.example.com"
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	res, err := client.Do(r)
	if err != nil {
		return seen{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return seen{}, err
	}
	var said struct {
		ID string `json:"decision_id"`
	}
	if err := json.Unmarshal(body, &said); err != nil {
		return seen{}, fmt.Errorf("%d %s: %w", res.StatusCode, body, err)
	}
	all := fmt.Sprintf("%s %s %s %s", body, res.Header.Values("www-authenticate"), res.Header.Get("x-variant-response"),
		"status-"+strconv.Itoa(res.StatusCode))
	has := map[string]int{}
	for name, marks := range map[string][]string{
		"a": {"acr-a", "scope-a", "detail-a", "header-a", "response-a", "status-404", `max_age="60"`, `"max_age":60`},
		"b": {"acr-b", "scope-b", "detail-b", "header-b", "response-b", "status-451", `max_age="120"`, `"max_age":120`},
	} {
		for _, mark := range marks {
			if strings.Contains(all, mark) {
				has[name]++
			}
		}
	}
	want := map[string]int{"/allow": 2, "/deny": 2, "/stepup": 4}[path]
	for name, n := range has {
		if len(has) == 1 && n >= want {
			return seen{said.ID, name}, nil
		}
	}
	return seen{}, fmt.Errorf("%s: %v of %d marks in %s", path, has, want, all)
}
