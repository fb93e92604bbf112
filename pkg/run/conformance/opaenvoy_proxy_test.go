package conformance

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/stepward/stepward/envoy"
	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/internal/wait"
	"github.com/stepward/stepward/pkg/run/server"
)

// application is an upstream that remembers what it got.
type application struct {
	mu   sync.Mutex
	last *http.Request
}

func (a *application) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last = r
	io.Copy(io.Discard, r.Body)
	w.Header().Set("Set-Cookie", "upstream=1")
	w.Header().Set("Cache-Control", "public")
}

func (a *application) take() *http.Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.last
	a.last = nil
	return r
}

func TestOPAEnvoyThroughEnvoy(t *testing.T) {
	all := loadForeign(t)
	r, tokens := foreignRig(t, all)
	path, err := envoy.Get(t.Context(), "", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	app := &application{}
	upstream := httptest.NewServer(app)
	defer upstream.Close()
	for _, f := range all {
		t.Run(f.Name, func(t *testing.T) {
			var mu sync.Mutex
			reason := ""
			service, err := r.serve(t.Context(), f.Name, func(_ context.Context, r *authz.Record) {
				mu.Lock()
				defer mu.Unlock()
				reason = string(r.Reason())
			})
			if err != nil {
				t.Fatal(err)
			}
			defer service.stop()
			for _, raw := range f.encodings() {
				gateway := f.gateway(t, path, raw, upstream.Listener.Addr().String(), service.server)
				for _, c := range f.Cases {
					c = c.filled(tokens)
					t.Run(fmt.Sprintf("%s/raw=%t", c.ID, raw), func(t *testing.T) {
						app.take()
						o := c.send(t, gateway.Ingress)
						mu.Lock()
						o.reason = reason
						mu.Unlock()
						if got := app.take(); got != nil {
							o.allowed, o.upstream, o.query = true, got.Header, got.URL.Query()
						}
						c.judge(t, o)
					})
				}
				gateway.Stop()
			}
		})
	}
}

// gateway returns a real Envoy with the shipped configuration, as its README says to change it
// for such policies: bodies are sent along, and names that policies set are permitted.
func (f foreign) gateway(t *testing.T, path string, raw bool, app string, s *server.Server) *envoy.Process {
	t.Helper()
	p := envoy.Params{Ingress: "127.0.0.1:0", Apps: []string{app}, Stepwards: []string{s.Addr().String()},
		CheckTimeout: checkTimeout}
	for _, c := range f.Cases {
		if c.Extensions != nil {
			p.Routes = append(p.Routes, map[string]any{
				"match": map[string]any{
					"prefix": "/", "headers": []any{
						map[string]any{"name": "x-case", "string_match": map[string]any{"exact": c.ID}}}},
				"route": map[string]any{"cluster": "app"},
				"typed_per_filter_config": map[string]any{"envoy.filters.http.ext_authz": map[string]any{
					"@type":          "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute",
					"check_settings": map[string]any{"context_extensions": c.Extensions},
				}},
			})
		}
	}
	text, err := envoy.Render(p)
	if err != nil {
		t.Fatal(err)
	}
	var root map[string]any
	if err := yaml.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	manager := dig(root, "static_resources", "listeners", 0, "filter_chains", 0, "filters", 0, "typed_config").(map[string]any)
	filter := dig(manager, "http_filters", 0, "typed_config").(map[string]any)
	filter["encode_raw_headers"] = raw
	filter["with_request_body"] = map[string]any{"max_request_bytes": 8192, "allow_partial_message": true,
		"pack_as_bytes": raw}
	filter["metadata_context_namespaces"] = []any{"example.jwt"}
	filter["validate_mutations"] = !f.Unvalidated
	delete(filter, "decoder_header_mutation_rules")
	manager["http_filters"] = append([]any{map[string]any{"name": "envoy.filters.http.set_metadata",
		"typed_config": map[string]any{
			"@type": "type.googleapis.com/envoy.extensions.filters.http.set_metadata.v3.Config",
			"metadata": []any{map[string]any{"metadata_namespace": "example.jwt", "value": map[string]any{
				"verified": map[string]any{"email": "alice@example.com", "exp": 1569026124}}}},
		}}}, manager["http_filters"].([]any)...)
	if text, err = yaml.Marshal(root); err != nil {
		t.Fatal(err)
	}
	gateway, err := envoy.Start(t.Context(), path, text)
	if err != nil {
		t.Fatal(err)
	}
	if err := gateway.WaitHealthy(t.Context(), 1); err != nil {
		gateway.Stop()
		t.Fatal(err)
	}
	return gateway
}

func dig(v any, path ...any) any {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			v = v.(map[string]any)[step]
		case int:
			v = v.([]any)[step]
		}
	}
	return v
}

// send writes the request as it stands.
func (c foreignCase) send(t *testing.T, address string) seen {
	t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(wait.Bound))
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: app.example.com\r\nconnection: close\r\n", c.Method, c.Target)
	for _, line := range c.Headers {
		fmt.Fprintf(&b, "%s\r\n", line)
	}
	if c.Extensions != nil {
		fmt.Fprintf(&b, "x-case: %s\r\n", c.ID)
	}
	if c.Body != "" {
		fmt.Fprintf(&b, "content-length: %d\r\n", len(c.Body))
	}
	b.WriteString("\r\n" + c.Body)
	go io.WriteString(conn, b.String()) // Envoy may answer and close before it has read all
	res, body, err := read(conn, c.Method)
	if err != nil {
		t.Fatal(err)
	}
	return seen{status: res.StatusCode, headers: res.Header, body: body, envoy: true}
}
