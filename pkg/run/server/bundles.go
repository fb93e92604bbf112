package server

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/rollout/bundle"
	"github.com/stepward/stepward/pkg/run/snapshot"
)

// proposal holds the new content of bundles, and where to report whether it was accepted.
type proposal struct {
	set   bundle.Set
	taken chan error
}

// errStopping refuses a bundle that arrives while the service stops.
var errStopping = errors.New("server: the service stops")

// openBundles makes OPA's plugins for c, if it has any. They do nothing until they are run.
func (s *Server) openBundles(c config.Config) error {
	if c.Bundles.ConfigFile == "" {
		return nil
	}
	settings, err := snapshot.BundleSettings(c.Bundles)
	if err != nil {
		return err
	}
	for _, w := range settings.Warnings {
		s.log.Warn(w.Message, zap.String("file", w.File))
	}
	var library []rego.Source
	if c.Policy.Compat == "" { // the bundles of another product do not know our library
		if library, err = snapshot.Library(nil); err != nil {
			return err
		}
	}
	s.bundles, err = bundle.New(settings, bundle.Options{
		Library: library, OnChange: s.propose, OnLog: s.fromOPA, OnDrop: func() { s.metrics.Dropped("opa") },
		Registerer: s.metrics.Registerer(), HeaderPrefix: c.Upstream.HeaderPrefix,
	})
	if err != nil {
		return err
	}
	s.making.Confirmed, s.making.Taken = s.confirmed, s.revisions.taken
	return nil
}

// propose asks the conductor to accept a set, and waits for the result.
func (s *Server) propose(ctx context.Context, set bundle.Set) error {
	p := proposal{set: set, taken: make(chan error, 1)}
	select {
	case s.proposals <- p:
	case <-s.ended:
		return errStopping
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-p.taken:
		return err
	case <-s.ended:
		return errStopping
	}
}

// take puts a set of bundles into force, as reload does with files: all of it, or nothing.
// Nothing can decide before every bundle has arrived. Files are not read again: a bundle
// that arrives while they are broken, or half written, takes effect with the files in
// force.
func (c *conductor) take(ctx context.Context, set bundle.Set) error {
	s := c.server
	if was := s.set.Load(); !set.Complete() {
		if was == nil || !was.Complete() {
			s.set.Store(&set)
		}
		return nil
	}
	base := s.newest()
	o := s.making
	o.Bundles = &set
	next, err := base.WithBundles(ctx, o)
	last := s.last.Load()
	whole := last == nil || last.err == nil || last.bundles // otherwise the files are broken, and stay so
	if whole || err != nil {
		s.metrics.Reloaded(err)
		s.last.Store(&attempt{at: time.Now(), err: err, bundles: whole})
	}
	if err != nil {
		s.log.Error("bundles are refused; the last good ones stay in force", zap.Error(err),
			zap.String("policy_revision", s.Revision()))
		return err
	}
	s.set.Store(&set)
	// The enforced snapshot does not wait for the keys of a pending one. Under the old
	// configuration the set may not be a valid policy; then it takes effect with the next
	// configuration.
	if now := s.current.Load(); now != nil && now != base {
		if now, err := now.WithBundles(ctx, o); err == nil {
			c.put(ctx, now)
		}
	}
	c.await(next)
	c.enforce(ctx)
	return nil
}

// refresh rebuilds the policy when data has become too old to be believed, or is fresh
// again.
func (c *conductor) refresh(ctx context.Context) {
	if next := c.renewed(ctx, c.pending); next != nil {
		c.await(next)
	}
	// The enforced snapshot does not wait for the keys of a pending one.
	if next := c.renewed(ctx, c.server.current.Load()); next != nil {
		c.put(ctx, next)
	}
}

// renewed rebuilds x with the data that is believed now. It returns nil if that is the
// same.
func (c *conductor) renewed(ctx context.Context, x *snapshot.Snapshot) *snapshot.Snapshot {
	s := c.server
	if x == nil || !x.Outdated(time.Now()) {
		return nil
	}
	next, err := x.Renewed(ctx, s.making)
	if err != nil {
		s.log.Error("the age of data has changed, and the policy cannot be made anew", zap.Error(err),
			zap.String("policy_revision", s.Revision()))
		return nil
	}
	for _, d := range next.Data() {
		if d.Unknown {
			s.log.Warn("data is too old to be believed, and was taken away from policies", zap.String("data", d.Name),
				zap.String("source", d.Source), zap.Time("as_of", d.AsOf))
		}
	}
	return next
}

// fromOPA logs a line of a plugin.
func (s *Server) fromOPA(l bundle.Line) {
	fields := make([]zap.Field, 0, len(l.Fields))
	for name, value := range l.Fields {
		fields = append(fields, zap.Any(name, value))
	}
	log := s.log.Named("opa")
	switch l.Level {
	case "error":
		log.Error(l.Message, fields...)
	case "warn":
		log.Warn(l.Message, fields...)
	case "info":
		log.Info(l.Message, fields...)
	default:
		log.Debug(l.Message, fields...)
	}
}

// confirmed returns when a bundle's server last said what it should be. Until then a bundle
// that was kept on disk counts as infinitely old: nobody knows how long the service was
// down.
func (s *Server) confirmed(name string) time.Time {
	for _, b := range s.bundles.Status() {
		if b.Name == name {
			return b.Confirmed
		}
	}
	return time.Time{}
}
