package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/pkg/rollout/bundle"
	"github.com/stepward/stepward/pkg/rollout/decisionlog"
	"github.com/stepward/stepward/pkg/run/admin"
	"github.com/stepward/stepward/pkg/run/telemetry"
)

// proposal is what bundles hold now, and where to say whether it is taken.
type proposal struct {
	set   bundle.Set
	taken chan error
}

// errStopping refuses a bundle that comes while the service stops.
var errStopping = errors.New("server: the service stops")

// opa makes the plugins of c, where it has any. They do nothing until they are run.
func (s *Server) opa(c config.Config) error {
	if c.Bundles.ConfigFile == "" {
		return nil
	}
	settings, err := opaSettings(c)
	if err != nil {
		return err
	}
	for _, w := range settings.Warnings {
		s.log.Warn(w.Message, zap.String("file", w.File))
	}
	var library []rego.Source
	if c.Policy.Compat == "" { // another product's bundles know nothing of ours
		if library, err = Library(nil); err != nil {
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
	s.options.Confirmed, s.options.Taken = s.confirmed, s.revisions.taken
	return nil
}

// CheckBundles says of OPA's configuration in c what means nothing here. An error is what
// keeps its plugins from starting.
func CheckBundles(c config.Config) (finding.List, error) {
	settings, err := opaSettings(c)
	if err != nil || c.Bundles.ConfigFile == "" {
		return nil, err
	}
	return settings.Warnings, bundle.Check(settings)
}

// propose asks the conductor to take a set, and waits until it has.
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

// take puts a set of bundles into force, as reload does with files: the whole of it, or
// nothing. Before every bundle has come there is nothing to decide by yet. Files are not
// read again: a bundle that comes while they are broken, or half written, comes into force
// with those that are.
func (c *conductor) take(ctx context.Context, set bundle.Set) error {
	s := c.server
	if was := s.set.Load(); !set.Complete() {
		if was == nil || !was.Complete() {
			s.set.Store(&set)
		}
		return nil
	}
	base := s.newest()
	o := s.options
	o.Bundles = &set
	next, err := base.bundled(ctx, o)
	last := s.last.Load()
	whole := last == nil || last.err == nil || last.bundles // else files are broken, and stay so
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
	// What is enforced does not wait for the keys of what is pending. Under a configuration
	// that is to go the set may be no policy; then it is as if it came with the next one.
	if now := s.current.Load(); now != nil && now != base {
		if now, err := now.bundled(ctx, o); err == nil {
			s.observe(now)
			c.put(ctx, now)
		}
	}
	s.observe(next)
	c.await(next)
	c.enforce(ctx)
	return nil
}

// refresh makes the policy anew when data has become too old to be believed, or is fresh
// again.
func (c *conductor) refresh(ctx context.Context) {
	if next := c.renewed(ctx, c.pending); next != nil {
		c.await(next)
	}
	// What is enforced does not wait for the keys of what is pending.
	if next := c.renewed(ctx, c.server.current.Load()); next != nil {
		c.put(ctx, next)
	}
}

// renewed is x with the data that is believed now, or nil where that is the same.
func (c *conductor) renewed(ctx context.Context, x *Snapshot) *Snapshot {
	s := c.server
	if x == nil || !x.outdated(time.Now()) {
		return nil
	}
	next, err := x.renewed(ctx, s.options)
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
	s.observe(next)
	return next
}

// fromOPA logs what a plugin has to say.
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

// confirmed is when a bundle's server last said what it should be. One that was kept on
// disk is as old as can be until then: nobody knows how long the service was down.
func (s *Server) confirmed(name string) time.Time {
	for _, b := range s.bundles.Status() {
		if b.Name == name {
			return b.Confirmed
		}
	}
	return time.Time{}
}

// decided gives a decision to the plugin that uploads it.
func (s *Server) decided(ctx context.Context, x *Snapshot, labels map[string]map[string]any, r authz.Record) {
	d := bundle.Decided{Record: r, Masks: masks(x.Config.Log), Revisions: x.policy.revisions, Labels: labels}
	if x.Config.Policy.Compat == config.OPAEnvoy {
		d.Path = cmp.Or(x.Config.Policy.Path, rego.DefaultCompatPath)
	}
	s.bundles.Observe(ctx, d)
}

// masks are what is not kept of an input, as it is configured.
func masks(c config.Log) decisionlog.Masks { return decisionlog.Masks{More: c.Mask, Keep: c.Keep} }

// sources are how bundles and data stand, for metrics.
func (s *Server) sources() []telemetry.Source {
	var list []telemetry.Source
	if s.bundles != nil {
		for _, b := range s.bundles.Status() {
			list = append(list, telemetry.Source{Kind: "bundle", Name: b.Name, At: s.confirmed(b.Name),
				Failing: b.Error != ""})
		}
	}
	for _, d := range s.snapshot().Data() {
		list = append(list, telemetry.Source{Kind: "data", Name: d.Name, At: d.AsOf, Failing: d.Unknown})
	}
	return list
}

// sourceChecks show how bundles and data stand. A bundle that cannot be fetched again
// changes no readiness: the last good one decides.
func (s *Server) sourceChecks() []admin.Check {
	var list []admin.Check
	if s.bundles != nil {
		for _, b := range s.bundles.Status() {
			list = append(list, admin.Check{Name: "bundle " + b.Name, Ready: s.Ready() || !b.Activated.IsZero(),
				Detail: bundleDetail(b)})
		}
	}
	for _, d := range s.snapshot().Data() {
		list = append(list, admin.Check{Name: "data " + d.Name, Ready: true, Detail: d.String()})
	}
	return list
}

func bundleDetail(b bundle.Status) string {
	text := "not activated yet"
	if !b.Activated.IsZero() {
		text = fmt.Sprintf("revision %q, activated at %s", b.Revision, b.Activated.UTC().Format(time.RFC3339))
	}
	if b.Error != "" {
		text += "; the last attempt failed: " + b.Error
	}
	return text
}
