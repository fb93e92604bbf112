package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/stepward/stepward/pkg/config"
)

// How often the conductor looks.
const (
	readyInterval = 50 * time.Millisecond  // whether keys are there
	watchInterval = 250 * time.Millisecond // whether files have changed
)

// attempt is what the last reload came to.
type attempt struct {
	at      time.Time
	err     error // nil when it is enforced, or waits for keys
	bundles bool  // it was of bundles alone
}

// conductor decides which snapshot is enforced. It is one goroutine: it waits until
// the keys of a new snapshot are there, puts it in place as a whole, and leaves the
// old one as long as there is no good new one.
type conductor struct {
	server  *Server
	keys    *keyring
	pending *Snapshot // its keys are not all there yet

	unfollow func() // ends the comparing of the enforced snapshot's candidate; nil without one

	watched     []string
	tried, seen uint64 // stamps of what is watched: as it was tried, and at the last look
}

// conduct runs until ctx ends.
func (s *Server) conduct(ctx context.Context) {
	c := &conductor{server: s, keys: newKeyring(ctx), pending: s.first, watched: s.first.Config.Sources}
	c.tried = s.started // else what changed since it was read would go unnoticed
	c.keys.start(c.pending.Keys)
	ready, watch := time.NewTicker(readyInterval), time.NewTicker(watchInterval)
	defer ready.Stop()
	defer watch.Stop()
	defer close(s.ended)
	for {
		c.enforce(ctx)
		select {
		case <-ctx.Done():
			c.follow(ctx, nil)
			c.keys.retain()
			return
		case <-s.reload:
			c.reload(ctx)
		case p := <-s.proposals:
			p.taken <- c.take(ctx, p.set)
		case <-watch.C:
			if s.load != nil && c.changed() {
				c.reload(ctx)
			} else {
				c.refresh(ctx)
			}
		case <-ready.C:
		}
	}
}

// changed reports a change that is over: the files are not what was tried, and
// are what they were at the last look.
func (c *conductor) changed() bool {
	now := stamp(c.watched)
	settled := now == c.seen
	c.seen = now
	return settled && now != c.tried
}

// enforce puts the pending snapshot in place once its keys are there.
func (c *conductor) enforce(ctx context.Context) {
	if c.pending == nil || len(c.pending.Waiting()) > 0 {
		return
	}
	next := c.pending
	c.pending = nil
	c.server.pending.Store(nil)
	c.put(ctx, next)
}

// put enforces next. What is pending stays so.
func (c *conductor) put(ctx context.Context, next *Snapshot) {
	s := c.server
	s.current.Store(next)
	s.tls.Store(next.TLS)
	s.revisions.enforce(next, time.Now())
	s.gate.SetLimit(next.Config.Limits.InFlight)
	c.keys.retain(next, c.pending)
	s.metrics.Enforced(s.Revision())
	c.follow(ctx, next)
	if next.Candidate != nil {
		s.metrics.Candidate(next.Candidate.Revision())
	} else {
		s.metrics.Candidate("")
	}
	s.updateHealth()
	if s.enforced != nil {
		s.enforced(next.Config)
	}
	s.log.Info("ready", zap.String("policy_revision", s.Revision()))
}

// reload makes a snapshot of what the files hold now. When it cannot, nothing
// changes but what is said about it.
func (c *conductor) reload(ctx context.Context) {
	s := c.server
	next, err := c.build(ctx)
	if errors.Is(err, errMoving) {
		return // what was read may be half of each; the next look tries again
	}
	s.metrics.Reloaded(err)
	s.last.Store(&attempt{at: time.Now(), err: err})
	if err != nil {
		s.log.Error("reload failed; the last good configuration stays in force", zap.Error(err), zap.String("policy_revision", s.Revision()))
		return
	}
	c.await(next)
	if waiting := next.Waiting(); len(waiting) > 0 {
		s.log.Warn("reload waits; the last good configuration stays in force until then", zap.Strings("for", waiting))
	}
}

// await holds next until its keys are there.
func (c *conductor) await(next *Snapshot) {
	s := c.server
	c.pending = next
	s.pending.Store(next)
	c.keys.start(next.Keys)
	c.keys.retain(s.current.Load(), next)
}

func (c *conductor) build(ctx context.Context) (*Snapshot, error) {
	s := c.server
	if s.load == nil {
		return nil, errors.New("server: there is nothing to reload from")
	}
	before := stamp(c.watched)
	loaded, err := s.load()
	moved := stamp(c.watched) != before
	base := s.first
	if now := s.current.Load(); now != nil {
		base = now
	}
	// What is enforced and what was tried are both watched: a policy that is broken
	// may be one that is enforced by nobody yet.
	c.watched = slices.Concat(loaded.Sources, base.Config.Sources)
	slices.Sort(c.watched)
	c.watched = slices.Compact(c.watched)
	c.tried = stamp(c.watched)
	var next *Snapshot
	if err == nil {
		err = fixed(base.Config, loaded)
	}
	if err == nil {
		o := s.options
		o.Previous, o.Bundles = base, s.set.Load()
		next, err = NewSnapshot(ctx, loaded, o)
	}
	if moved || stamp(c.watched) != c.tried {
		c.tried = 0
		return nil, errMoving
	}
	if err != nil {
		return nil, err
	}
	s.observe(next)
	return next, nil
}

// errMoving means that files changed while they were read.
var errMoving = errors.New("server: the files changed while they were read")

// fixed is an error when something has changed that a running service cannot
// follow.
func fixed(was, is config.Config) error {
	for name, same := range map[string]bool{
		"listen":         was.Listen == is.Listen,
		"admin":          was.Admin == is.Admin,
		"control":        was.Control == is.Control,
		"tls":            (was.TLS.CertFile == "") == (is.TLS.CertFile == ""),
		"bundles":        was.Bundles == is.Bundles,
		"policy.compat":  was.Policy.Compat == is.Policy.Compat || is.Bundles.ConfigFile == "", // of which the bundles' library depends
		"limits.message": was.Limits.Message == is.Limits.Message,
		"log":            was.Log.Decisions == is.Log.Decisions && was.Log.File == is.Log.File && was.Log.MaxSize == is.Log.MaxSize && was.Log.MaxFiles == is.Log.MaxFiles,
	} {
		if !same {
			return fmt.Errorf("server: %s cannot change while the service runs; restart it", name)
		}
	}
	return nil
}
