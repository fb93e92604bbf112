// Package server puts the parts together: it makes a snapshot of a configuration,
// serves Envoy's Check calls with it, and tells whether it is ready. It is the one
// place that knows every other package, and what an embedder calls to run the
// whole service inside of a test.
package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"

	"github.com/stepward/stepward/pkg/admin"
	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/extauthz"
	"github.com/stepward/stepward/pkg/telemetry"
)

// Times of the life cycle.
const (
	readyInterval = 50 * time.Millisecond // between looks at whether the keys are there
	drainCap      = 10 * time.Second      // for calls that are under way when the server stops
)

// Options are what is not configuration. All fields may be left out.
type Options struct {
	Snapshot SnapshotOptions
	Log      *zap.Logger // nil logs nothing
	Version  any         // shown at /version
	// Listener and AdminListener are used in place of the configured addresses.
	Listener, AdminListener net.Listener
	// Observe is called with every record, after it was logged and counted.
	Observe func(context.Context, authz.Record)
	// DrainDelay is how long the server goes on answering after it has told Envoy
	// that it stops.
	DrainDelay time.Duration
}

// Server is a service that is about to run. Make it with [New] and run it once.
type Server struct {
	log      *zap.Logger
	delay    time.Duration
	snapshot *Snapshot
	metrics  *telemetry.Metrics

	current  atomic.Pointer[authz.Authorizer] // nil until ready
	listener net.Listener
	admin    net.Listener
	grpc     *grpc.Server
	http     *http.Server
	health   *health.Server
}

// New makes a server of c, reads its policy and keys, and opens its listeners.
// The errors are those of [NewSnapshot], and of listeners that cannot be opened.
func New(ctx context.Context, c config.Config, o Options) (*Server, error) {
	s := &Server{log: o.Log, delay: o.DrainDelay, metrics: telemetry.NewMetrics(fmt.Sprint(o.Version))}
	if s.log == nil {
		s.log = zap.NewNop()
	}
	refreshed := o.Snapshot.OnRefresh
	o.Snapshot.OnRefresh = func(issuer string, err error) {
		s.refreshed(issuer, err)
		if refreshed != nil {
			refreshed(issuer, err)
		}
	}
	var err error
	if s.snapshot, err = NewSnapshot(ctx, c, o.Snapshot); err != nil {
		return nil, err
	}
	observer := &telemetry.Observer{Log: s.log, Metrics: s.metrics}
	s.snapshot.Authorizer.Observe = func(ctx context.Context, r authz.Record) {
		observer.Observe(ctx, r)
		if o.Observe != nil {
			o.Observe(ctx, r)
		}
	}
	s.serveCheck(c)
	s.http = &http.Server{
		Handler:           admin.Handler(admin.Config{Ready: s.checks, Metrics: s.metrics.Handler(), Version: o.Version}),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10,
	}
	return s, s.listen(c, o)
}

// serveCheck makes the gRPC server. Its limits are for a peer that is hostile or
// broken; the enforcement policy is so that an Envoy that pings is not thrown out.
func (s *Server) serveCheck(c config.Config) {
	s.grpc = grpc.NewServer(
		grpc.MaxRecvMsgSize(int(c.Limits.Message)),
		grpc.MaxConcurrentStreams(10_000),
		grpc.MaxHeaderListSize(64<<10),
		grpc.ConnectionTimeout(10*time.Second),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 10 * time.Second}),
	)
	extauthz.Register(s.grpc, &extauthz.Server{
		Current: s.current.Load,
		OnPanic: func(any) { s.log.Error("a Check call panicked outside of the stages", zap.Stack("stack")) },
	})
	s.health = health.NewServer()
	grpc_health_v1.RegisterHealthServer(s.grpc, s.health)
	s.serving(false)
}

func (s *Server) serving(yes bool) {
	status := grpc_health_v1.HealthCheckResponse_NOT_SERVING
	if yes {
		status = grpc_health_v1.HealthCheckResponse_SERVING
	}
	s.health.SetServingStatus("", status)
	s.health.SetServingStatus(extauthz.ServiceName, status)
}

func (s *Server) listen(c config.Config, o Options) (err error) {
	if s.listener = o.Listener; s.listener == nil {
		if s.listener, err = net.Listen("tcp", c.Listen); err != nil {
			return fmt.Errorf("server: listen: %w", err)
		}
	}
	if s.admin = o.AdminListener; s.admin == nil {
		if s.admin, err = net.Listen("tcp", c.Admin); err != nil {
			s.listener.Close()
			return fmt.Errorf("server: admin: %w", err)
		}
	}
	return nil
}

// Addr is where Check is served.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// AdminAddr is where health and metrics are served.
func (s *Server) AdminAddr() net.Addr { return s.admin.Addr() }

// Revision is that of the policy.
func (s *Server) Revision() string { return s.snapshot.Authorizer.Policy.Revision() }

// Ready reports whether the server decides; before that it refuses everything.
func (s *Server) Ready() bool { return s.current.Load() != nil }

// Run serves until ctx ends, then tells Envoy's health checks, waits for them to
// notice, lets calls under way finish, and returns. An error is that of a listener
// that failed before.
func (s *Server) Run(ctx context.Context) error {
	background, stop := context.WithCancel(context.Background())
	failed := make(chan error, 2)
	keys, ready, checks, pages := make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() { defer close(keys); s.snapshot.Run(background) }()
	go func() { defer close(ready); s.becomeReady(background) }()
	go func() { defer close(checks); failed <- s.grpc.Serve(s.listener) }()
	go func() {
		defer close(pages)
		if err := s.http.Serve(s.admin); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	}()
	var err error
	select {
	case <-ctx.Done():
		s.drain()
	case err = <-failed:
		s.serving(false)
		s.grpc.Stop()
	}
	s.http.Close()
	stop()
	for _, done := range []chan struct{}{keys, ready, checks, pages} {
		<-done
	}
	s.log.Info("stopped")
	return err
}

// drain says that the server stops before it does: Envoy takes a few health
// checks to notice, and sends calls until then.
func (s *Server) drain() {
	s.log.Info("stopping", zap.Duration("drain_delay", s.delay))
	s.serving(false)
	timer := time.NewTimer(s.delay)
	defer timer.Stop()
	<-timer.C
	stopped := make(chan struct{})
	go func() { defer close(stopped); s.grpc.GracefulStop() }()
	limit := time.NewTimer(drainCap)
	defer limit.Stop()
	select {
	case <-stopped:
	case <-limit.C:
		s.grpc.Stop()
		<-stopped
	}
}

// becomeReady waits until the keys of every issuer that is not optional have been
// there once. From then on an issuer's trouble is that of its own tokens.
func (s *Server) becomeReady(ctx context.Context) {
	tick := time.NewTicker(readyInterval)
	defer tick.Stop()
	for len(s.snapshot.Waiting()) > 0 {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
	s.current.Store(s.snapshot.Authorizer)
	s.metrics.Enforced(s.Revision())
	s.serving(true)
	s.log.Info("ready", zap.String("policy_revision", s.Revision()))
}

// checks are the reasons for readiness.
func (s *Server) checks() []admin.Check {
	list := []admin.Check{{Name: "policy", Ready: true, Detail: "revision " + s.Revision()}}
	for _, k := range s.snapshot.Keys {
		c := admin.Check{Name: "keys of " + k.Name, Ready: k.Optional || k.Source.Loaded(), Detail: "loaded"}
		if !k.Source.Loaded() {
			c.Detail = "not fetched yet"
		}
		list = append(list, c)
	}
	return append(list, admin.Check{Name: "serving", Ready: s.Ready()})
}

func (s *Server) refreshed(issuer string, err error) {
	s.metrics.Refreshed(issuer, err)
	if err != nil {
		s.log.Warn("keys could not be fetched; the last good ones stay in use", zap.String("issuer", issuer), zap.Error(err))
		return
	}
	s.log.Debug("keys fetched", zap.String("issuer", issuer))
}

// WaitReady returns when the server decides, or with ctx's error.
func (s *Server) WaitReady(ctx context.Context) error {
	tick := time.NewTicker(readyInterval / 5)
	defer tick.Stop()
	for !s.Ready() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("server: not ready: %w", ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}
