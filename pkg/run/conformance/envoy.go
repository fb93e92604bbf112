package conformance

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/stepward/stepward/envoy"
	"github.com/stepward/stepward/pkg/authz"
)

// checkTimeout is Envoy's time for a Check in the cases, which are not about the
// speed of the machine.
const checkTimeout = 10 * time.Second

// throughEnvoy sends requests, byte for byte, to a real Envoy with the bundled
// configuration in front of a Stepward and an upstream.
type throughEnvoy struct {
	rig      *Rig
	path     string
	upstream *upstream
	benches  map[string]*bench
}

// bench holds what runs for one fixture.
type bench struct {
	service *instance
	envoy   *envoy.Process

	mu   sync.Mutex
	last *authz.Record // of the last decision; nil if there was none since it was cleared
}

// ThroughEnvoy makes a driver that starts, for each fixture, a Stepward and the Envoy at
// path.
func ThroughEnvoy(r *Rig, path string) (Driver, error) {
	u, err := newUpstream()
	if err != nil {
		return nil, err
	}
	return &throughEnvoy{rig: r, path: path, upstream: u, benches: map[string]*bench{}}, nil
}

func (*throughEnvoy) Name() string   { return "Envoy" }
func (*throughEnvoy) Encodings() int { return 1 }

func (d *throughEnvoy) Close() {
	for _, b := range d.benches {
		b.envoy.Stop()
		b.service.stop()
	}
	d.upstream.close()
}

func (d *throughEnvoy) Do(ctx context.Context, c Case, _ bool) (Outcome, error) {
	switch {
	case c.Envoy.Unreachable != "":
		return Outcome{}, fmt.Errorf("%w: %s", ErrUnreachable, c.Envoy.Unreachable)
	case c.Request.Inside != "" || c.Request.Without != "":
		return Outcome{}, fmt.Errorf("%w: Envoy sends whole requests", ErrUnreachable)
	}
	b, err := d.bench(ctx, c.fixture())
	if err != nil {
		return Outcome{}, err
	}
	lines, err := d.rig.lines(c.Request)
	if err != nil {
		return Outcome{}, err
	}
	if c.Request.Extensions != nil || c.Request.Metadata != nil {
		lines = append(lines, "x-case: "+c.ID)
	}
	b.clear()
	d.upstream.clear()
	res, body, err := send(ctx, b.envoy.Ingress, c.Request, lines)
	if err != nil {
		return Outcome{}, err
	}
	o := Outcome{Status: res.StatusCode, Headers: res.Header, Body: body, Upstream: d.upstream.got()}
	o.Allowed = o.Upstream != nil
	if r := b.record(); r != nil {
		o.Asked, o.Reason, o.Result = true, string(r.Reason()), string(r.Result())
	}
	return o, nil
}

func (d *throughEnvoy) bench(ctx context.Context, fixture string) (*bench, error) {
	if b := d.benches[fixture]; b != nil {
		return b, nil
	}
	b := &bench{}
	var err error
	if b.service, err = d.rig.serve(ctx, fixture, b.observe); err != nil {
		return nil, err
	}
	text, err := envoy.Render(envoy.Params{
		Ingress: "127.0.0.1:0", Apps: []string{d.upstream.address}, Stepwards: []string{
			b.service.server.Addr().String()},
		CheckTimeout: checkTimeout, Routes: d.routes(fixture), Body: d.rig.suite.Fixtures[fixture].Bodies,
	})
	if err == nil {
		b.envoy, err = envoy.Start(ctx, d.path, text)
	}
	if err == nil && d.rig.suite.Fixtures[fixture].State == "" {
		err = b.envoy.WaitHealthy(ctx, 1)
	}
	if err != nil {
		if b.envoy != nil {
			b.envoy.Stop()
		}
		b.service.stop()
		return nil, err
	}
	d.benches[fixture] = b
	return b, nil
}

// routes gives each case with its own route configuration a route, which a header selects.
func (d *throughEnvoy) routes(fixture string) []map[string]any {
	var routes []map[string]any
	for _, c := range d.rig.suite.Cases {
		if c.fixture() != fixture || c.Request.Extensions == nil && c.Request.Metadata == nil {
			continue
		}
		route := map[string]any{
			"match": map[string]any{"prefix": "/", "headers": []any{
				map[string]any{"name": "x-case", "string_match": map[string]any{"exact": c.ID}}}},
			"route": map[string]any{"cluster": "app"},
		}
		if c.Request.Metadata != nil {
			route["metadata"] = map[string]any{"filter_metadata": map[string]any{"stepward": c.Request.Metadata}}
		}
		if c.Request.Extensions != nil {
			route["typed_per_filter_config"] = map[string]any{"envoy.filters.http.ext_authz": map[string]any{
				"@type":          "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute",
				"check_settings": map[string]any{"context_extensions": c.Request.Extensions},
			}}
		}
		routes = append(routes, route)
	}
	return routes
}

func (b *bench) observe(_ context.Context, r *authz.Record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last = r
}

func (b *bench) clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last = nil
}

func (b *bench) record() *authz.Record {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last
}

// send writes a request unchanged: no client library would send the requests in half of the
// cases.
func send(ctx context.Context, address string, q Request, lines []string) (*http.Response, string, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", q.method(), q.Target, q.host())
	closes := true
	for _, line := range lines {
		closes = closes && !strings.HasPrefix(line, "connection:")
		fmt.Fprintf(&b, "%s\r\n", line)
	}
	if closes {
		b.WriteString("connection: close\r\n")
	}
	if q.method() == "POST" || q.method() == "PUT" || q.Body != "" {
		fmt.Fprintf(&b, "content-length: %d\r\n", len(q.Body))
	}
	b.WriteString("\r\n")
	b.WriteString(q.Body)
	go io.WriteString(conn, b.String()) // Envoy may answer and close before it has read all
	return read(conn, q.method())
}

// read returns the answer to a request that was written to conn.
func read(conn net.Conn, method string) (*http.Response, string, error) {
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		return nil, "", fmt.Errorf("no answer: %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return nil, "", err
	}
	return res, string(body), nil
}

// upstream is an application that remembers what it got.
type upstream struct {
	address string
	server  *http.Server

	mu   sync.Mutex
	last http.Header
}

func newUpstream() (*upstream, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	u := &upstream{address: listener.Addr().String()}
	u.server = &http.Server{Handler: u, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 4 << 20}
	go u.server.Serve(listener) // ends with close
	return u, nil
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	u.last = http.Header{}
	for name, values := range r.Header {
		u.last[strings.ToLower(name)] = values
	}
	u.mu.Unlock()
	w.Header().Add("Set-Cookie", "upstream=1")
	io.WriteString(w, "upstream")
}

func (u *upstream) got() http.Header {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.last
}

func (u *upstream) clear() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.last = nil
}

func (u *upstream) close() { u.server.Close() }
