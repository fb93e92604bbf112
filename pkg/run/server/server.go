// Package server puts the parts together: it makes a snapshot of a configuration,
// serves Envoy's Check calls with it, follows changes of its files, and tells
// whether it is ready. It is the one place that knows every other package, and what
// an embedder calls to run the whole service inside of a test.
//
// server.go is the life of the service, snapshot.go what one configuration makes,
// reload.go how one snapshot follows another.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/extauthz"
	"github.com/stepward/stepward/pkg/rollout/bundle"
	"github.com/stepward/stepward/pkg/run/admin"
	"github.com/stepward/stepward/pkg/run/control"
	"github.com/stepward/stepward/pkg/run/telemetry"
	"github.com/stepward/stepward/pkg/trust/keyset"
	"github.com/stepward/stepward/pkg/trust/revocation"
)

// Options are what is not configuration. All fields may be left out.
type Options struct {
	Snapshot SnapshotOptions
	Log      *zap.Logger // of events; nil logs nothing
	// Decisions is where decisions are logged; nil logs none.
	Decisions *zap.Logger
	Metrics   *telemetry.Metrics // nil means ones of its own
	Tracing   *telemetry.Tracing // nil traces nothing
	Version   any                // shown at /version
	// Reload reads the configuration again, by a look. Without it the service keeps the
	// one that it was started with.
	Reload func(*files.Look) (config.Config, error)
	// Terms are when files are taken.
	Terms files.Terms
	// Level serves the level of the log on the control socket, as zap.AtomicLevel
	// does; nil means that it cannot be changed there.
	Level http.Handler
	// Listener and AdminListener are used in place of the configured addresses.
	Listener, AdminListener net.Listener
	// Enforce is called with each configuration that has come into force.
	Enforce func(config.Config)
	// Observe is called with every record, after it was logged and counted.
	Observe func(context.Context, authz.Record)
	// Reflection serves the gRPC reflection service on the Check listener.
	Reflection bool
}

// Server is a service that is about to run. Make it with [New] and run it once.
type Server struct {
	log      *zap.Logger
	options  SnapshotOptions
	load     func(*files.Look) (config.Config, error)
	terms    files.Terms
	observe  func(*Snapshot)
	enforced func(config.Config)
	metrics  *telemetry.Metrics
	gate     *authz.Gate

	first   *Snapshot                // made by New
	looked  *files.Look              // that it was made of; nil where nothing is reloaded
	current atomic.Pointer[Snapshot] // enforced; nil until ready
	pending atomic.Pointer[Snapshot] // waits for keys; nil when none does
	tls     atomic.Pointer[tls.Config]
	last    atomic.Pointer[attempt]
	set     atomic.Pointer[bundle.Set] // what bundles hold; nil before the first
	warned  sync.Map                   // what compare has said
	reload  chan struct{}

	bundles   *bundle.Manager // nil without
	proposals chan proposal
	ended     chan struct{} // closed when nobody takes proposals any more
	revisions revisions

	draining, stalled atomic.Bool

	listener net.Listener
	admin    net.Listener
	control  net.Listener // nil when there is none
	grpc     *grpc.Server
	http     *http.Server
	console  *http.Server
	ring     *control.Ring // nil without a control socket
	health   *health.Server
}

// New makes a server of c, reads its policy and keys, and opens its listeners.
// The errors are those of [NewSnapshot], and of listeners that cannot be opened.
func New(ctx context.Context, c config.Config, o Options) (*Server, error) {
	s := &Server{
		log: o.Log, options: o.Snapshot, load: o.Reload, terms: o.Terms, reload: make(chan struct{}, 1),
		proposals: make(chan proposal), ended: make(chan struct{}),
		metrics: o.Metrics, gate: authz.NewGate(c.Limits.InFlight), enforced: o.Enforce,
	}
	if s.metrics == nil {
		s.metrics = telemetry.NewMetrics(fmt.Sprint(o.Version))
	}
	if s.log == nil {
		s.log = zap.NewNop()
	}
	s.metrics.Watch(s.gate)
	s.options.Gate = s.gate
	s.options.OnFetch = func(issuer string, f keyset.Fetch) {
		s.fetched(issuer, f)
		if o.Snapshot.OnFetch != nil {
			o.Snapshot.OnFetch(issuer, f)
		}
	}
	s.options.OnAnswer = s.metrics.Introspected
	if s.options.Revocations == nil {
		s.options.Revocations = revocation.New(0, o.Snapshot.Now)
	}
	s.metrics.WatchKeys(s.issuers)
	s.metrics.WatchRevocations(s.options.Revocations)
	var err error
	if err = s.begin(ctx, c); err != nil {
		return nil, err
	}
	if err = s.opa(c); err != nil {
		return nil, err
	}
	s.metrics.WatchSources(s.sources)
	s.tls.Store(s.first.TLS)
	if c.Control != "" {
		s.serveControl(o)
	}
	s.observer(o)
	s.serveCheck(c, o)
	s.http = &http.Server{
		Handler: admin.Handler(admin.Config{Ready: s.checks, Metrics: s.metrics.Handler(),
			Version: o.Version}),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		MaxHeaderBytes: 16 << 10,
	}
	if err = s.listen(c, o); err != nil && s.bundles != nil {
		s.bundles.Close()
	}
	return s, err
}

// begin makes the first snapshot. Where the caller brings no look at files that have
// settled, it is made here.
func (s *Server) begin(ctx context.Context, c config.Config) (err error) {
	o := s.options
	if s.options.Look = nil; s.load != nil && o.Look == nil {
		again, look, err := Read(ctx, s.load, s.terms)
		if err != nil {
			return err
		}
		if !reflect.DeepEqual(again, c) {
			return errors.New("server: the configuration has changed since it was read")
		}
		o.Look = look
	}
	s.looked = o.Look
	s.first, err = NewSnapshot(ctx, c, o)
	return err
}

// observer makes what every snapshot's authorizer reports to.
func (s *Server) observer(o Options) {
	s.observe = func(x *Snapshot) {
		observer := &telemetry.Observer{Log: o.Decisions, Metrics: s.metrics, Tracing: o.Tracing}
		if log := x.Config.Log; log.Input {
			observer.Input = &telemetry.Input{Prefix: x.Config.Upstream.HeaderPrefix, Masks: masks(log)}
		}
		s.shadow(x)
		labels := x.policy.labels()
		x.Authorizer.Observe = func(ctx context.Context, r authz.Record) {
			observer.Observe(ctx, r)
			if x.shadow != nil {
				x.shadow.Observe(r)
			}
			if s.ring != nil {
				s.ring.Observe(ctx, r)
			}
			if s.bundles != nil {
				s.decided(ctx, x, labels, r)
			}
			if o.Observe != nil {
				o.Observe(ctx, r)
			}
		}
	}
	s.observe(s.first)
}

// remembered is how many decisions the control socket can tell of.
const remembered = 1000

// serveControl makes the server of the control socket.
func (s *Server) serveControl(o Options) {
	level := o.Level
	if level == nil {
		level = http.NotFoundHandler()
	}
	s.ring = control.NewRing(remembered)
	s.console = &http.Server{
		Handler: control.Handler(control.Config{
			Ring: s.ring, Snapshot: func() any { return s.inForce(o.Version) }, Level: level, Issuers: s.states,
			Revocations: s.options.Revocations, Candidate: s.candidate,
			Revisions: s.revisions.list, Again: s.again,
		}),
		ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10,
	}
}

// inForce says what decides now.
func (s *Server) inForce(version any) map[string]any {
	x := s.snapshot()
	in := map[string]any{
		"version": version, "policy_revision": s.Revision(), "configuration": x.Config.Sources,
		"levels": x.Authorizer.Ladder.Names(),
		"checks": s.checks(), "revisions": s.revisions.list(), "data": x.Data(),
	}
	if s.bundles != nil {
		in["bundles"] = s.bundles.Status()
	}
	return in
}

// serveCheck makes the gRPC server. Its limits are for a peer that is hostile or
// broken; the enforcement policy is so that an Envoy that pings is not thrown out.
func (s *Server) serveCheck(c config.Config, o Options) {
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(int(c.Limits.Message)),
		grpc.MaxConcurrentStreams(10_000),
		grpc.MaxHeaderListSize(64 << 10),
		grpc.ConnectionTimeout(10 * time.Second),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 500 * time.Millisecond,
			PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 10 * time.Second}),
		grpc.UnaryInterceptor(s.metrics.Interceptor()),
	}
	if o.Tracing != nil {
		options = append(options, o.Tracing.ServerOption())
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
	if o.Reflection {
		reflection.Register(s.grpc)
	}
	s.metrics.Serves(s.grpc)
	s.updateHealth()
}

// authorizer is that of the enforced snapshot, or nil.
func (s *Server) authorizer() *authz.Authorizer {
	if now := s.current.Load(); now != nil {
		return now.Authorizer
	}
	return nil
}

// updateHealth tells Envoy's health checks how it stands.
func (s *Server) updateHealth() {
	status := grpc_health_v1.HealthCheckResponse_NOT_SERVING
	if s.Ready() && !s.draining.Load() && !s.stalled.Load() {
		status = grpc_health_v1.HealthCheckResponse_SERVING
	}
	s.health.SetServingStatus("", status)
	s.health.SetServingStatus(extauthz.ServiceName, status)
}

func (s *Server) listen(c config.Config, o Options) (err error) {
	if s.listener = o.Listener; s.listener == nil {
		if s.listener, err = Listen(c.Listen, 0o660); err != nil {
			return fmt.Errorf("server: listen: %w", err)
		}
	}
	if s.admin = o.AdminListener; s.admin == nil {
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

// Addr is where Check is served.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// AdminAddr is where health and metrics are served.
func (s *Server) AdminAddr() net.Addr { return s.admin.Addr() }

// Revision is that of the policy that is enforced, or will be once it is ready.
func (s *Server) Revision() string { return s.snapshot().Authorizer.Policy.Traits().Revision }

// snapshot is the one that is enforced, or the first while none is.
func (s *Server) snapshot() *Snapshot {
	if now := s.current.Load(); now != nil {
		return now
	}
	return s.first
}

// Ready reports whether the server decides; before that it refuses everything.
func (s *Server) Ready() bool { return s.current.Load() != nil }

// Reload reads the configuration again, soon. It does not wait, and what comes of
// it is logged, counted and shown at /readyz?verbose.
func (s *Server) Reload() {
	select {
	case s.reload <- struct{}{}:
	default: // one is due already, and will see what this one would
	}
}

// Run serves until ctx ends, then tells Envoy's health checks, waits for them to
// notice, lets calls under way finish, and returns. An error is that of a listener
// that failed before.
func (s *Server) Run(ctx context.Context) error {
	background, stop := context.WithCancel(context.Background())
	failed := make(chan error, 4)
	var running sync.WaitGroup
	running.Go(func() { s.conduct(background) })
	if s.bundles != nil {
		running.Go(func() {
			if err := s.bundles.Run(background); err != nil {
				failed <- err
			}
		})
	}
	running.Go(func() { s.watchdog(background, stallInterval) })
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
	var err error
	select {
	case <-ctx.Done():
		s.stop()
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

// stop says that the server stops before it does: Envoy takes a few health checks
// to notice, and sends calls until then.
func (s *Server) stop() {
	drain := s.snapshot().Config.Drain
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

// checks are the reasons for readiness. A reload that failed is among them, and
// does not change it.
func (s *Server) checks() []admin.Check {
	list := []admin.Check{{Name: "policy", Ready: true, Detail: "revision " + s.Revision()}}
	for _, k := range s.snapshot().Keys {
		list = append(list, admin.Check{Name: "keys of " + k.Name, Ready: s.Ready() || k.Optional || k.Source.Loaded(),
			Detail: detail(k.Source.Status())})
	}
	list = append(list, s.sourceChecks()...)
	if last := s.last.Load(); last != nil {
		detail := "done at " + last.at.UTC().Format(time.RFC3339)
		if last.err != nil {
			detail = "failed at " + last.at.UTC().Format(time.RFC3339) +
				"; the last good configuration stays in force: " + last.err.Error()
		} else if pending := s.pending.Load(); pending != nil {
			detail = "waits for " + strings.Join(pending.Waiting(), ", ") +
				"; the last good configuration stays in force"
		}
		list = append(list, admin.Check{Name: "reload", Ready: true, Detail: detail})
	}
	if s.draining.Load() {
		list = append(list, admin.Check{Name: "draining", Detail: "the service stops"})
	}
	if s.stalled.Load() {
		list = append(list, admin.Check{Name: "answers", Detail: "no call has been answered for a while"})
	}
	return append(list, admin.Check{Name: "serving", Ready: s.Ready()})
}

// detail is how an issuer's keys stand, in words.
func detail(k keyset.Status) string {
	switch {
	case k.At.IsZero() && !k.Usable:
		return "not fetched yet: " + k.Err.Error()
	case !k.Usable:
		return fmt.Sprintf("too old to be trusted, fetched at %s; its tokens are answered with 503: %v",
			k.At.UTC().Format(time.RFC3339), k.Err)
	case k.At.IsZero():
		return fmt.Sprintf("%d keys from a file", k.Count)
	case k.Cached:
		return fmt.Sprintf("%d keys of an earlier run, fetched at %s: %v", k.Count, k.At.UTC().Format(time.RFC3339),
			k.Err)
	case k.Err != nil:
		return fmt.Sprintf("%d keys, fetched at %s; the last fetch failed: %v", k.Count,
			k.At.UTC().Format(time.RFC3339), k.Err)
	}
	return fmt.Sprintf("%d keys, fetched at %s", k.Count, k.At.UTC().Format(time.RFC3339))
}

// fetched says what a fetch of keys came to, and after the first good one by name what
// the issuer does not say that it can.
func (s *Server) fetched(issuer string, f keyset.Fetch) {
	s.metrics.Refreshed(issuer, f.Err)
	log := s.log.With(zap.String("issuer_name", issuer))
	switch {
	case f.FromCache:
		log.Warn("keys could not be fetched; those of an earlier run are in use", zap.Error(f.Err))
	case f.Err != nil:
		log.Warn("keys could not be fetched; those that were fetched before stay in use", zap.Error(f.Err))
	default:
		log.Debug("keys fetched")
		s.compare(issuer)
	}
	if f.CacheErr != nil {
		log.Warn("the file of last good keys is of no use", zap.Error(f.CacheErr))
	}
}

// compare warns once for each thing that the configuration needs and the issuer's
// metadata do not name.
func (s *Server) compare(issuer string) {
	x := s.newest()
	for n, k := range x.Keys {
		if k.Name != issuer {
			continue
		}
		for _, p := range compare(x.Config, x.Config.Issuers[n], k.Source.Status()) {
			if _, said := s.warned.LoadOrStore(issuer+"\x00"+p.Detail, true); !said && p.Grade != "ok" {
				s.log.Warn(p.Detail, zap.String("issuer_name", issuer), zap.String("hint", p.Hint))
			}
		}
	}
}

// newest is the snapshot that waits for keys, or the one that is enforced.
func (s *Server) newest() *Snapshot {
	if next := s.pending.Load(); next != nil {
		return next
	}
	return s.snapshot()
}

// states is how each issuer stands, for people.
func (s *Server) states() []control.Issuer {
	x := s.snapshot()
	list := make([]control.Issuer, len(x.Keys))
	for n, k := range x.Keys {
		st := k.Source.Status()
		i := control.Issuer{Name: k.Name, Issuer: x.Config.Issuers[n].Issuer, Usable: st.Usable, State: detail(st),
			Keys: st.Keys, FetchedAt: st.At}
		for _, skipped := range st.Skipped {
			i.Skipped = append(i.Skipped, fmt.Sprintf("at place %d: %s", skipped.Index,
				strings.TrimPrefix(skipped.Why.Error(), "keyset: ")))
		}
		if st.Err != nil {
			i.Error = st.Err.Error()
		}
		for _, p := range compare(x.Config, x.Config.Issuers[n], st) {
			if p.Grade != "ok" {
				i.Warnings = append(i.Warnings, p.Detail)
			}
		}
		list[n] = i
	}
	return list
}

// issuers are the keys of each issuer.
func (s *Server) issuers() map[string]keyset.Status {
	all := map[string]keyset.Status{}
	for _, k := range s.snapshot().Keys {
		all[k.Name] = k.Source.Status()
	}
	return all
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
