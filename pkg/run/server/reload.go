package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/run/snapshot"
)

// How often the conductor looks.
const (
	readyInterval = 50 * time.Millisecond  // whether keys are there
	watchInterval = 100 * time.Millisecond // whether files have changed, and have settled
)

// attempt holds the outcome of the last reload.
type attempt struct {
	at      time.Time
	err     error // nil if it is enforced, or waits for keys
	bundles bool  // it concerned only bundles
}

// conductor decides which snapshot is enforced. It is one goroutine: it waits until the
// keys of a new snapshot are there, installs it as a whole, and keeps the old one until
// there is a good new one.
type conductor struct {
	server  *Server
	keys    *snapshot.Keyring
	pending *snapshot.Snapshot // its keys are not all there yet

	unfollow func() // ends the shadow of the enforced snapshot; nil without one

	settler *files.Settler
	looked  *files.Look // the files of the last attempt
	asked   bool        // somebody wants a reload, whether or not files have changed
	watched []string
	tried   uint64 // stamp of the watched files at the last look; zero if a look is due
}

// conduct runs until ctx ends.
func (s *Server) conduct(ctx context.Context) {
	c := &conductor{server: s, keys: snapshot.NewKeyring(ctx), pending: s.first, watched: s.first.Config.Sources,
		settler: files.NewSettler(s.options.Terms), looked: s.looked}
	c.keys.Start(c.pending.Keys)
	ready, watch := time.NewTicker(readyInterval), time.NewTicker(s.watchInterval())
	defer ready.Stop()
	defer watch.Stop()
	defer close(s.ended)
	for {
		c.enforce(ctx)
		select {
		case <-ctx.Done():
			c.follow(ctx, nil)
			c.keys.Retain()
			return
		case <-s.reload:
			if c.asked = s.options.Reload != nil; !c.asked {
				c.refused(errNothing)
			}
			c.look(ctx)
		case p := <-s.proposals:
			p.taken <- c.take(ctx, p.set)
		case <-watch.C:
			c.look(ctx)
			c.refresh(ctx)
		case <-ready.C:
		}
	}
}

// watchInterval returns how often files are looked at.
func (s *Server) watchInterval() time.Duration {
	if s.options.Terms.Rest > 0 {
		return min(watchInterval, s.options.Terms.Rest)
	}
	return watchInterval
}

// errNothing refuses a reload if the service was given nothing to read.
var errNothing = errors.New("server: there is nothing to reload from")

// look looks at the files when they have changed, and accepts them once they have settled.
// After a long wait it says what it is waiting for.
func (c *conductor) look(ctx context.Context) {
	s := c.server
	if s.options.Reload == nil {
		return
	}
	before := files.Stamp(c.watched)
	if before == c.tried && !c.asked {
		c.settler.Forget()
		return
	}
	begun := c.now()
	if !c.settler.Due(begun) {
		return
	}
	l := files.NewLook()
	loaded, err := snapshot.LookAt(l, s.options.Reload)
	same := c.watch(loaded.Sources)
	taken, _, moving := c.settler.Offer(l, begun)
	if moving != nil {
		c.refused(moving)
	}
	if !taken || !same { // then the stamp belongs to other files: the next look decides
		return
	}
	again := c.looked != nil && c.looked.Differs(l) == ""
	c.tried = before
	if again && !c.asked {
		return // as at the start: all of this has already been tried
	}
	c.asked, c.looked = false, l
	c.reload(ctx, loaded, err)
}

// watch notes which files are watched from now on, and reports whether they are the same as
// before. It watches the files of the enforced snapshot and of the last attempt: a broken
// policy may not be enforced yet.
func (c *conductor) watch(tried []string) (same bool) {
	base := c.server.newest()
	if now := c.server.current.Load(); now != nil {
		base = now
	}
	watched := slices.Concat(tried, base.Config.Sources)
	slices.Sort(watched)
	watched = slices.Compact(watched)
	same = slices.Equal(watched, c.watched)
	c.watched = watched
	return same
}

func (c *conductor) now() time.Time {
	if c.server.options.Terms.Now != nil {
		return c.server.options.Terms.Now()
	}
	return time.Now()
}

// enforce installs the pending snapshot once its keys are there.
func (c *conductor) enforce(ctx context.Context) {
	if c.pending == nil || len(c.pending.Waiting()) > 0 {
		return
	}
	next := c.pending
	c.pending = nil
	c.server.pending.Store(nil)
	c.put(ctx, next)
}

// put enforces next. A pending snapshot stays pending.
func (c *conductor) put(ctx context.Context, next *snapshot.Snapshot) {
	s := c.server
	s.current.Store(next)
	s.tls.Store(next.TLS)
	s.revisions.enforce(next, time.Now())
	s.gate.SetLimit(next.Config.Limits.InFlight)
	c.keys.Retain(next, c.pending)
	s.metrics.Enforced(s.Revision())
	c.follow(ctx, next)
	if next.Candidate != nil {
		s.metrics.Candidate(next.Candidate.Traits().Revision)
	} else {
		s.metrics.Candidate("")
	}
	s.updateHealth()
	if s.options.Enforce != nil {
		s.options.Enforce(next.Config)
	}
	s.log.Info("ready", zap.String("policy_revision", s.Revision()))
}

// reload makes a snapshot of the files that were read. If it cannot, only the report of the
// attempt changes.
func (c *conductor) reload(ctx context.Context, loaded config.Config, err error) {
	s := c.server
	var next *snapshot.Snapshot
	if err == nil {
		next, err = c.build(ctx, loaded)
	}
	if err != nil {
		c.refused(err)
		return
	}
	s.metrics.Reloaded(nil)
	s.last.Store(&attempt{at: time.Now()})
	c.await(next)
	if waiting := next.Waiting(); len(waiting) > 0 {
		s.log.Warn("reload waits; the last good configuration stays in force until then", zap.Strings("for", waiting))
	}
}

// refused reports a failed reload.
func (c *conductor) refused(err error) {
	s := c.server
	s.metrics.Reloaded(err)
	s.last.Store(&attempt{at: time.Now(), err: err})
	s.log.Error("reload failed; the last good configuration stays in force", zap.Error(err),
		zap.String("policy_revision", s.Revision()))
}

// await holds next until its keys are there.
func (c *conductor) await(next *snapshot.Snapshot) {
	s := c.server
	c.pending = next
	s.pending.Store(next)
	c.keys.Start(next.Keys)
	c.keys.Retain(s.current.Load(), next)
}

func (c *conductor) build(ctx context.Context, loaded config.Config) (*snapshot.Snapshot, error) {
	s := c.server
	base := s.enforced()
	if err := fixed(base.Config, loaded); err != nil {
		return nil, err
	}
	o := s.making
	o.Previous, o.Bundles, o.Look = base, s.set.Load(), c.looked
	return snapshot.New(ctx, loaded, o)
}

// fixed fails if something has changed that a running service cannot follow.
func fixed(was, is config.Config) error {
	for name, same := range map[string]bool{
		"listen":  was.Listen == is.Listen,
		"admin":   was.Admin == is.Admin,
		"control": was.Control == is.Control,
		"tls":     (was.TLS.CertFile == "") == (is.TLS.CertFile == ""),
		"bundles": was.Bundles == is.Bundles,
		// the library that bundles are given depends on it
		"policy.compat":  was.Policy.Compat == is.Policy.Compat || is.Bundles.ConfigFile == "",
		"limits.message": was.Limits.Message == is.Limits.Message,
		"log": was.Log.Decisions == is.Log.Decisions && was.Log.File == is.Log.File &&
			was.Log.MaxSize == is.Log.MaxSize && was.Log.MaxFiles == is.Log.MaxFiles,
	} {
		if !same {
			return fmt.Errorf("server: %s cannot change while the service runs; restart it", name)
		}
	}
	return nil
}

// follow runs the candidate of x instead of the one before, until ctx ends or follow is
// called again.
func (c *conductor) follow(ctx context.Context, x *snapshot.Snapshot) {
	if c.unfollow != nil {
		c.unfollow()
		c.unfollow = nil
	}
	if x == nil || x.Shadow() == nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); x.Shadow().Run(ctx) }()
	c.unfollow = func() { cancel(); <-done }
}
