package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"sync"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/extauthz"
	"github.com/stepward/stepward/pkg/run/admin"
	"github.com/stepward/stepward/pkg/run/control"
)

// serveCheck makes the gRPC server. Its limits guard against a hostile or broken peer; the
// enforcement policy keeps an Envoy that pings from being disconnected.
func (s *Server) serveCheck(l config.Limits) {
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(int(l.Message)),
		grpc.MaxConcurrentStreams(10_000),
		grpc.MaxHeaderListSize(64 << 10),
		grpc.ConnectionTimeout(10 * time.Second),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 500 * time.Millisecond,
			PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 10 * time.Second}),
		grpc.UnaryInterceptor(s.metrics.Interceptor()),
		extauthz.ServerOption(),
		// Goroutines that are kept have grown their stacks. A call that finds none of them
		// free gets one of its own.
		grpc.NumStreamWorkers(uint32(32 * runtime.GOMAXPROCS(0))),
	}
	if s.options.Tracing != nil {
		options = append(options, s.options.Tracing.ServerOption())
	}
	if s.first.TLS != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(&tls.Config{
			MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"},
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.tls.Load(), nil },
		})))
	}
	s.grpc = grpc.NewServer(options...)
	extauthz.Register(s.grpc, &extauthz.Server{
		Current: s.authorizer,
		OnPanic: func(any) { s.log.Error("a Check call panicked outside of the stages", zap.Stack("stack")) },
	})
	s.health = health.NewServer()
	grpc_health_v1.RegisterHealthServer(s.grpc, s.health)
	if s.options.Reflection {
		reflection.Register(s.grpc)
	}
	s.metrics.Serves(s.grpc)
	s.updateHealth()
}

// updateHealth tells Envoy's health checks whether the server decides.
func (s *Server) updateHealth() {
	status := grpc_health_v1.HealthCheckResponse_NOT_SERVING
	if s.Ready() && !s.draining.Load() && !s.stalled.Load() {
		status = grpc_health_v1.HealthCheckResponse_SERVING
	}
	s.health.SetServingStatus("", status)
	s.health.SetServingStatus(extauthz.ServiceName, status)
}

// serveAdmin makes the server for health, metrics and version.
func (s *Server) serveAdmin() {
	s.http = &http.Server{
		Handler: admin.Handler(admin.Config{Ready: s.checks, Metrics: s.metrics.Handler(),
			Version: s.options.Version}),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		MaxHeaderBytes: 16 << 10,
	}
}

// remembered is how many decisions the control socket can show.
const remembered = 1000

// serveControl makes the server for the control socket.
func (s *Server) serveControl() {
	level := s.options.Level
	if level == nil {
		level = http.NotFoundHandler()
	}
	s.console = &http.Server{
		Handler: control.Handler(control.Config{
			Ring: s.ring, Snapshot: s.inForce, Level: level, Issuers: s.states,
			Revocations: s.making.Revocations, Candidate: s.candidateReport,
			Revisions: s.revisions.list, Again: s.again,
		}),
		ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10,
	}
}

// listen opens the listeners, all of them or none.
func (s *Server) listen(c config.Config) (err error) {
	if s.listener = s.options.Listener; s.listener == nil {
		if s.listener, err = Listen(c.Listen, 0o660); err != nil {
			return fmt.Errorf("server: listen: %w", err)
		}
	}
	if s.admin = s.options.AdminListener; s.admin == nil {
		if s.admin, err = Listen(c.Admin, 0o660); err != nil {
			s.listener.Close()
			return fmt.Errorf("server: admin: %w", err)
		}
	}
	if s.console != nil {
		if s.control, err = Listen(c.Control, 0o600); err != nil {
			s.listener.Close()
			s.admin.Close()
			return fmt.Errorf("server: control: %w", err)
		}
	}
	return nil
}

// Addr returns where Check is served.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// AdminAddr returns where health and metrics are served.
func (s *Server) AdminAddr() net.Addr { return s.admin.Addr() }

// Run serves until ctx ends, then tells Envoy's health checks, waits for them to notice,
// lets calls under way finish, and returns. It returns the error of a listener that failed
// earlier.
func (s *Server) Run(ctx context.Context) error {
	background, stop := context.WithCancel(context.Background())
	failed := make(chan error, 4)
	var running sync.WaitGroup
	s.start(background, &running, failed)
	var err error
	select {
	case <-ctx.Done():
		s.drain()
	case err = <-failed:
		s.draining.Store(true)
		s.updateHealth()
		s.grpc.Stop()
	}
	s.http.Close()
	if s.console != nil {
		s.console.Close()
	}
	stop()
	running.Wait()
	s.log.Info("stopped")
	return err
}

// start starts everything that runs. A part that cannot go on reports to failed.
func (s *Server) start(ctx context.Context, running *sync.WaitGroup, failed chan<- error) {
	running.Go(func() { s.conduct(ctx) })
	if s.bundles != nil {
		running.Go(func() {
			if err := s.bundles.Run(ctx); err != nil {
				failed <- err
			}
		})
	}
	running.Go(func() { s.watchdog(ctx, stallInterval) })
	running.Go(func() { failed <- s.grpc.Serve(s.listener) })
	serve := func(h *http.Server, l net.Listener) {
		if err := h.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	}
	running.Go(func() { serve(s.http, s.admin) })
	if s.console != nil {
		running.Go(func() { serve(s.console, s.control) })
	}
}

// drain announces that the server will stop: Envoy takes a few health checks to notice, and
// sends calls until then.
func (s *Server) drain() {
	drain := s.enforced().Config.Drain
	s.log.Info("stopping", zap.Duration("drain_delay", time.Duration(drain.Delay)))
	s.draining.Store(true)
	s.updateHealth()
	time.Sleep(time.Duration(drain.Delay))
	stopped := make(chan struct{})
	go func() { defer close(stopped); s.grpc.GracefulStop() }()
	limit := time.NewTimer(time.Duration(drain.Cap))
	defer limit.Stop()
	select {
	case <-stopped:
	case <-limit.C:
		s.grpc.Stop()
		<-stopped
	}
}

// WaitReady returns when the server decides, or returns ctx's error.
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
