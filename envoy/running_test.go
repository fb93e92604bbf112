package envoy_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/stepward/stepward/envoy"
)

// replica is a service that lets everything through, or hangs until the caller has gone.
type replica struct {
	authv3.UnimplementedAuthorizationServer
	hangs   bool
	asked   atomic.Int32
	address string
}

func (r *replica) Check(ctx context.Context, _ *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	r.asked.Add(1)
	if r.hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &authv3.CheckResponse{HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{}}},
		nil
}

func start(t *testing.T, r *replica) *replica {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, healthy := grpc.NewServer(), health.NewServer()
	authv3.RegisterAuthorizationServer(server, r)
	healthy.SetServingStatus("envoy.service.auth.v3.Authorization", healthpb.HealthCheckResponse_SERVING)
	healthpb.RegisterHealthServer(server, healthy)
	go server.Serve(listener) // ends with Stop
	t.Cleanup(server.Stop)
	r.address = listener.Addr().String()
	return r
}

// run starts the shipped Envoy, changed by change, before replicas and an application.
func run(t *testing.T, app http.HandlerFunc, change func([]byte) []byte, replicas ...*replica) string {
	t.Helper()
	server := httptest.NewServer(app)
	t.Cleanup(server.Close)
	p := envoy.Params{Ingress: "127.0.0.1:0", Apps: []string{strings.TrimPrefix(server.URL, "http://")},
		CheckTimeout: 4 * time.Second}
	for _, r := range replicas {
		p.Stepwards = append(p.Stepwards, r.address)
	}
	text, err := envoy.Render(p)
	if err != nil {
		t.Fatal(err)
	}
	running, err := envoy.Start(t.Context(), binary(t), change(text))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { running.Stop() })
	if err := running.WaitHealthy(t.Context(), len(replicas)); err != nil {
		t.Fatal(err)
	}
	return "http://" + running.Ingress
}

// A replica that answers health checks and hangs costs no request, and what bounds a try
// is not the interval of retries, which newer Envoys take for what it says.
func TestOneReplicaHangs(t *testing.T) {
	good, bad := start(t, &replica{}), start(t, &replica{hangs: true})
	url := run(t, func(http.ResponseWriter, *http.Request) {}, func(text []byte) []byte {
		changed := bytes.Replace(text, []byte("max_interval: 2.000s"), []byte("max_interval: 60s"), 1)
		if bytes.Equal(changed, text) {
			t.Fatalf("no max_interval in\n%s", text)
		}
		return changed
	}, good, bad)
	for range 6 {
		res, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("status %d", res.StatusCode)
		}
	}
	if bad.asked.Load() == 0 {
		t.Error("the replica that hangs was never asked")
	}
}

// A client on a private address cannot steer Envoy by headers, and that an empty list of
// internal addresses would let it is why the list is not empty.
func TestNobodyIsInternal(t *testing.T) {
	steer := []string{"x-envoy-retry-on", "x-envoy-max-retries", "x-envoy-upstream-rq-timeout-ms",
		"x-envoy-hedge-on-per-try-timeout", "x-envoy-original-path", "x-envoy-original-host",
		"x-envoy-decorator-operation", "x-envoy-force-trace", "x-envoy-internal", "x-envoy-ip-tags"}
	got := make(chan http.Header, 1)
	app := func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header
		io.WriteString(w, "ok")
	}
	for name, v := range map[string]struct {
		change func([]byte) []byte
		passes bool
	}{
		"as shipped": {func(text []byte) []byte { return text }, false},
		"with an empty list": {func(text []byte) []byte {
			at := bytes.Index(text, []byte("cidr_ranges:"))
			end := at + bytes.Index(text[at:], []byte("prefix_len: 32")) + len("prefix_len: 32")
			return bytes.Join([][]byte{text[:at], text[end:]}, []byte("cidr_ranges: []"))
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			url := run(t, app, v.change, start(t, &replica{}))
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range steer {
				req.Header.Set(name, "7")
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			reached := <-got
			passed := ""
			for _, name := range steer {
				if reached.Get(name) == "7" {
					passed += " " + name
				}
			}
			if (passed != "") != v.passes {
				t.Errorf("passed:%s", passed)
			}
		})
	}
}
