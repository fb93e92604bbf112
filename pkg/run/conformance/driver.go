package conformance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/extauthz"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/run/server"
	"github.com/stepward/stepward/pkg/run/snapshot"
)

// Driver carries out cases. One goroutine calls its methods.
type Driver interface {
	Name() string
	// Do sends the request of c, with headers in one of Envoy's two encodings if the driver
	// can choose. [ErrUnreachable] means that it cannot cause this case.
	Do(ctx context.Context, c Case, rawHeaders bool) (Outcome, error)
	// Encodings returns how many encodings the driver can choose from.
	Encodings() int
	Close()
}

// ErrUnreachable means that a driver cannot cause a case. The case is counted, but not as
// passed.
var ErrUnreachable = errors.New("not reachable by this driver")

// Outcome holds the outcome of a case.
type Outcome struct {
	Allowed        bool
	Status         int // of the client's answer; 0 for an allow of a driver without an upstream
	Headers        http.Header
	Body           string
	Reason, Result string
	Upstream       http.Header // what the upstream got; nil if it was not reached
	Asked          bool        // whether Stepward was asked at all
}

// inProcess calls the service's Check without a network.
type inProcess struct {
	rig       *Rig
	snapshots map[string]*snapshot.Snapshot
}

// InProcess makes a driver that calls Check in this process.
func InProcess(r *Rig) Driver { return &inProcess{rig: r, snapshots: map[string]*snapshot.Snapshot{}} }

func (*inProcess) Name() string   { return "in process" }
func (*inProcess) Encodings() int { return 2 }
func (*inProcess) Close()         {}

func (d *inProcess) Do(ctx context.Context, c Case, rawHeaders bool) (Outcome, error) {
	name := c.fixture()
	snapshot := d.snapshots[name]
	if snapshot == nil {
		var err error
		if snapshot, err = d.rig.snapshot(ctx, name); err != nil {
			return Outcome{}, err
		}
		d.snapshots[name] = snapshot
	}
	a := *snapshot.Authorizer
	current := &a
	if d.rig.suite.Fixtures[name].State == "not_ready" {
		current = nil
	}
	switch c.Request.Inside {
	case "ended":
		ended, cancel := context.WithCancel(ctx)
		cancel()
		ctx = ended
	case "full":
		a.Gate = authz.NewGate(0)
	case "panic":
		a.Policy = panicking{a.Policy}
	}
	lines, err := d.rig.lines(c.Request)
	if err != nil {
		return Outcome{}, err
	}
	res, err := (&extauthz.Server{Current: func() *authz.Authorizer { return current }}).Check(
		ctx, checkRequest(c.Request, lines, rawHeaders, d.rig.suite.Fixtures[c.fixture()].Bodies))
	if err != nil {
		return Outcome{}, err
	}
	return interpret(res, lines), nil
}

// panicking is a policy that fails in the worst way.
type panicking struct{ authz.Policy }

func (panicking) Evaluate(context.Context, policy.Input) (policy.Result, error) {
	panic("a fault of our own")
}

// overGRPC calls Check on a running Stepward: one that was started elsewhere with the base
// fixture, or one that it starts for each fixture.
type overGRPC struct {
	rig     *Rig
	address string
	running map[string]*instance
	conns   map[string]*grpc.ClientConn
}

// OverGRPC makes a driver that calls Check over gRPC: at address, where a Stepward serves
// the base fixture of r, or on its own servers if address is empty.
func OverGRPC(r *Rig, address string) Driver {
	return &overGRPC{rig: r, address: address, running: map[string]*instance{}, conns: map[string]*grpc.ClientConn{}}
}

// Reach fails if nothing answers at address, or if the answer is not gRPC.
func Reach(ctx context.Context, address string) error {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{})
	if status.Code(err) == codes.Unavailable || status.Code(err) == codes.DeadlineExceeded {
		return errors.New(status.Convert(err).Message())
	}
	return nil // whatever it says, the cases will judge it
}

func (*overGRPC) Name() string   { return "gRPC" }
func (*overGRPC) Encodings() int { return 2 }

func (d *overGRPC) Close() {
	for _, c := range d.conns {
		c.Close()
	}
	for _, i := range d.running {
		i.stop()
	}
}

func (d *overGRPC) Do(ctx context.Context, c Case, rawHeaders bool) (Outcome, error) {
	if c.Request.Inside != "" {
		return Outcome{}, fmt.Errorf("%w: it happens inside of the service", ErrUnreachable)
	}
	conn, err := d.dial(ctx, c.fixture())
	if err != nil {
		return Outcome{}, err
	}
	lines, err := d.rig.lines(c.Request)
	if err != nil {
		return Outcome{}, err
	}
	res, err := authv3.NewAuthorizationClient(conn).Check(ctx, checkRequest(c.Request, lines, rawHeaders,
		d.rig.suite.Fixtures[c.fixture()].Bodies))
	if err != nil {
		return Outcome{}, fmt.Errorf("a decision must not be a gRPC error: %w", err)
	}
	return interpret(res, lines), nil
}

func (d *overGRPC) dial(ctx context.Context, fixture string) (*grpc.ClientConn, error) {
	if conn := d.conns[fixture]; conn != nil {
		return conn, nil
	}
	address := d.address
	if address != "" && fixture != "base" {
		return nil, fmt.Errorf("%w: the service there serves the base fixture, not %s", ErrUnreachable, fixture)
	}
	if address == "" {
		i, err := d.rig.serve(ctx, fixture, nil)
		if err != nil {
			return nil, err
		}
		d.running[fixture], address = i, i.server.Addr().String()
	}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	d.conns[fixture] = conn
	return conn, nil
}

// instance is a Stepward that runs for a fixture.
type instance struct {
	server *server.Server
	cancel context.CancelFunc
	done   chan error
}

func (i *instance) stop() {
	i.cancel()
	<-i.done
}

// serve runs a Stepward with a fixture on free ports.
func (r *Rig) serve(ctx context.Context, fixture string, observe func(context.Context, *authz.Record)) (
	*instance, error) {
	c, err := r.config(fixture)
	if err != nil {
		return nil, err
	}
	state := r.suite.Fixtures[fixture].State
	if state == "not_ready" { // it would wait for an issuer that never answers
		for i := range c.Issuers {
			c.Issuers[i].Optional = false
		}
	}
	o := server.Options{Observe: observe, Version: "conformance"}
	for _, l := range []*net.Listener{&o.Listener, &o.AdminListener} {
		if *l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return nil, err
		}
	}
	s, err := server.New(ctx, c, o)
	if err != nil {
		return nil, fmt.Errorf("fixture %s: %w", fixture, err)
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	i := &instance{server: s, cancel: cancel, done: make(chan error, 1)}
	go func() { i.done <- s.Run(running) }()
	if state == "" {
		if err := s.WaitReady(ctx); err != nil {
			i.stop()
			return nil, err
		}
	}
	return i, nil
}

// checkRequest makes the request that Envoy would send for lines: line by line with raw
// bytes, or as a map with repetitions joined by commas.
func checkRequest(q Request, lines []string, rawHeaders bool, bodies int) *authv3.CheckRequest {
	if q.Body != "" {
		lines = append(slices.Clone(lines), fmt.Sprintf("content-length: %d", len(q.Body)))
		if bodies > 0 {
			lines = append(lines, fmt.Sprintf("x-envoy-auth-partial-body: %t", len(q.Body) > bodies))
		}
	}
	h := &authv3.AttributeContext_HttpRequest{Id: "conformance", Method: q.method(), Host: q.host(), Path: q.Target,
		Scheme: "https", Protocol: "HTTP/1.1"}
	if sent := q.Body[:min(len(q.Body), bodies)]; rawHeaders || !utf8.ValidString(sent) {
		h.RawBody = []byte(sent)
	} else {
		h.Body = sent
	}
	switch q.Without {
	case "path":
		h.Path = ""
	case "host":
		h.Host = ""
	case "method":
		h.Method = ""
	}
	if rawHeaders {
		h.HeaderMap = &corev3.HeaderMap{}
	} else {
		h.Headers = map[string]string{}
	}
	for _, line := range lines {
		name, value := split(line)
		if rawHeaders {
			h.HeaderMap.Headers = append(h.HeaderMap.Headers, &corev3.HeaderValue{Key: name, RawValue: []byte(value)})
		} else if was, twice := h.Headers[name]; twice {
			h.Headers[name] = was + "," + strings.ToValidUTF8(value, "!")
		} else {
			h.Headers[name] = strings.ToValidUTF8(value, "!")
		}
	}
	req := &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		ContextExtensions: q.Extensions, Request: &authv3.AttributeContext_Request{Http: h},
	}}
	if q.Metadata != nil {
		if s, err := structpb.NewStruct(plainNumbers(q.Metadata)); err == nil {
			req.Attributes.RouteMetadataContext = &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{
				"stepward": s}}
		}
	}
	switch q.Without {
	case "attributes":
		return &authv3.CheckRequest{}
	case "request":
		req.Attributes.Request = nil
	case "http":
		req.Attributes.Request.Http = nil
	}
	return req
}

func plainNumbers(m map[string]any) map[string]any {
	out, _ := number(m).(map[string]any)
	return out
}

// split splits a header line. White space around the value is not part of it (RFC 9110
// §5.5).
func split(line string) (name, value string) {
	name, value, _ = strings.Cut(line, ":")
	return strings.ToLower(name), strings.Trim(value, " \t")
}

// interpret handles an answer as Envoy does.
func interpret(res *authv3.CheckResponse, lines []string) Outcome {
	o := Outcome{
		Allowed: res.GetStatus().GetCode() == 0, Headers: http.Header{}, Asked: true,
		Reason: res.GetDynamicMetadata().GetFields()["reason"].GetStringValue(),
		Result: res.GetDynamicMetadata().GetFields()["result"].GetStringValue(),
	}
	if !o.Allowed {
		d := res.GetDeniedResponse()
		o.Status, o.Body = int(d.GetStatus().GetCode()), d.GetBody()
		for _, h := range d.GetHeaders() {
			o.Headers.Add(h.GetHeader().GetKey(), h.GetHeader().GetValue())
		}
		return o
	}
	ok := res.GetOkResponse()
	o.Upstream = http.Header{}
	for _, line := range lines {
		name, value := split(line)
		o.Upstream[name] = append(o.Upstream[name], value)
	}
	for _, h := range ok.GetHeaders() {
		o.Upstream[h.GetHeader().GetKey()] = []string{h.GetHeader().GetValue()}
	}
	for _, name := range ok.GetHeadersToRemove() {
		delete(o.Upstream, name)
	}
	for _, h := range ok.GetResponseHeadersToAdd() {
		o.Headers.Add(h.GetHeader().GetKey(), h.GetHeader().GetValue())
	}
	return o
}

// sorted lists the names of m in order, for messages.
func sorted[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
