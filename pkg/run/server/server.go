// Package server runs the service: it listens, puts snapshots into force, follows changes
// to their files and bundles, and reports whether it is ready. An embedder calls it to run
// the whole service inside a test.
//
// server.go holds the parts of a server, serve.go its listeners and its life, and status.go
// what it reports about itself. reload.go decides which snapshot follows another,
// bundles.go accepts content from bundle servers, and revisions.go keeps the last policies.
// Package snapshot says what a snapshot is made of.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"reflect"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/rollout/bundle"
	"github.com/stepward/stepward/pkg/run/control"
	"github.com/stepward/stepward/pkg/run/snapshot"
	"github.com/stepward/stepward/pkg/run/telemetry"
	"github.com/stepward/stepward/pkg/trust/revocation"
)

// Options holds everything that is not configuration. All fields may be left out.
type Options struct {
	// Snapshot holds the options for snapshots. The server sets its own Observe, Shadow and
	// Gate there.
	Snapshot snapshot.Options
	Log      *zap.Logger // of events; nil logs nothing
	// Decisions is where decisions are logged; nil logs none.
	Decisions *zap.Logger
	Metrics   *telemetry.Metrics // nil means new ones
	Tracing   *telemetry.Tracing // nil traces nothing
	Version   any                // shown at /version
	// Reload reads the configuration again, through a look. Without it the service keeps
	// the configuration that it started with.
	Reload func(*files.Look) (config.Config, error)
	// Terms say when files are accepted.
	Terms files.Terms
	// Level serves the level of the log on the control socket, as zap.AtomicLevel
	// does; nil means that it cannot be changed there.
	Level http.Handler
	// Listener and AdminListener replace the configured addresses.
	Listener, AdminListener net.Listener
	// Enforce is called with each configuration that has taken effect.
	Enforce func(config.Config)
	// Observe is called with every record, after it was logged and counted.
	Observe func(context.Context, *authz.Record)
	// Reflection serves the gRPC reflection service on the Check listener.
	Reflection bool
}

// Server is a service that is about to run. Make it with [New] and run it once.
type Server struct {
	options Options
	making  snapshot.Options // what every snapshot is made with
	log     *zap.Logger
	metrics *telemetry.Metrics
	gate    *authz.Gate

	first   *snapshot.Snapshot                // made by New
	looked  *files.Look                       // the look that it was made from; nil if nothing is reloaded
	current atomic.Pointer[snapshot.Snapshot] // enforced; nil until ready
	pending atomic.Pointer[snapshot.Snapshot] // waits for keys; nil if none does
	tls     atomic.Pointer[tls.Config]
	last    atomic.Pointer[attempt]
	set     atomic.Pointer[bundle.Set] // what bundles hold; nil before the first
	warned  sync.Map                   // warnings given about issuers' metadata
	reload  chan struct{}

	bundles   *bundle.Manager // nil without
	proposals chan proposal
	ended     chan struct{} // closed when nobody accepts proposals any more
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
// The errors are those of [snapshot.New], and of listeners that cannot be opened.
func New(ctx context.Context, c config.Config, o Options) (*Server, error) {
	s := &Server{
		options: o, making: o.Snapshot, log: o.Log, metrics: o.Metrics, gate: authz.NewGate(c.Limits.InFlight),
		reload: make(chan struct{}, 1), proposals: make(chan proposal), ended: make(chan struct{}),
	}
	if s.metrics == nil {
		s.metrics = telemetry.NewMetrics(fmt.Sprint(o.Version))
	}
	if s.log == nil {
		s.log = zap.NewNop()
	}
	if c.Control != "" {
		s.ring = control.NewRing(remembered)
	}
	s.prepare()
	if err := s.begin(ctx, c); err != nil {
		return nil, err
	}
	if err := s.openBundles(c); err != nil {
		return nil, err
	}
	s.metrics.WatchSources(s.sources)
	s.tls.Store(s.first.TLS)
	if c.Control != "" {
		s.serveControl()
	}
	s.serveCheck(c.Limits)
	s.serveAdmin()
	err := s.listen(c)
	if err != nil && s.bundles != nil {
		s.bundles.Close()
	}
	return s, err
}

// prepare completes the options for every snapshot, and watches it.
func (s *Server) prepare() {
	m := &s.making
	m.Observe, m.Gate = s.observe, s.gate
	m.Shadow = snapshot.ShadowEvents{OnCompared: s.metrics.Compared, OnLeft: s.metrics.NotCompared, OnSample: s.sampled}
	m.OnFetch, m.OnAnswer = s.fetched, s.metrics.Introspected
	if m.Revocations == nil {
		m.Revocations = revocation.New(0, m.Now)
	}
	s.metrics.Watch(s.gate)
	s.metrics.WatchKeys(s.keyStatuses)
	s.metrics.WatchRevocations(m.Revocations)
}

// begin makes the first snapshot. If the caller brings no look at settled files, begin
// makes one.
func (s *Server) begin(ctx context.Context, c config.Config) (err error) {
	o := s.making
	if s.making.Look = nil; s.options.Reload != nil && o.Look == nil {
		again, look, err := snapshot.Read(ctx, s.options.Reload, s.options.Terms)
		if err != nil {
			return err
		}
		if !reflect.DeepEqual(again, c) {
			return errors.New("server: the configuration has changed since it was read; start again")
		}
		o.Look = look
	}
	s.looked = o.Look
	s.first, err = snapshot.New(ctx, c, o)
	return err
}

// observe passes r, which x made, to everyone who follows decisions.
func (s *Server) observe(ctx context.Context, x *snapshot.Snapshot, r *authz.Record) {
	o := telemetry.Observer{Log: s.options.Decisions, Metrics: s.metrics, Tracing: s.options.Tracing}
	if x.Config.Log.Input {
		o.Input = &telemetry.Input{Prefix: x.Config.Upstream.HeaderPrefix, Masks: x.Masks()}
	}
	o.Observe(ctx, r)
	if s.ring != nil {
		s.ring.Observe(ctx, r)
	}
	if s.bundles != nil {
		s.bundles.Observe(ctx, x.Decided(r))
	}
	if s.options.Observe != nil {
		s.options.Observe(ctx, r)
	}
}

// authorizer returns the authorizer of the enforced snapshot, or nil.
func (s *Server) authorizer() *authz.Authorizer {
	if now := s.current.Load(); now != nil {
		return now.Authorizer
	}
	return nil
}

// enforced returns the snapshot in force, or the first while none is.
func (s *Server) enforced() *snapshot.Snapshot {
	if now := s.current.Load(); now != nil {
		return now
	}
	return s.first
}

// newest returns the snapshot that waits for keys, or the one that is enforced.
func (s *Server) newest() *snapshot.Snapshot {
	if next := s.pending.Load(); next != nil {
		return next
	}
	return s.enforced()
}

// Revision returns the revision of the policy that is enforced, or will be once it is
// ready.
func (s *Server) Revision() string { return s.enforced().Authorizer.Policy.Traits().Revision }

// Ready reports whether the server decides; before that it refuses everything.
func (s *Server) Ready() bool { return s.current.Load() != nil }

// Reload asks for the configuration to be read again soon. It does not wait. The outcome is
// logged, counted and shown at /readyz?verbose.
func (s *Server) Reload() {
	select {
	case s.reload <- struct{}{}:
	default: // one is already due, and will see what this one would
	}
}
