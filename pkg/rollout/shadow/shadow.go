// Package shadow evaluates a candidate policy next to the enforced one, to learn what it
// would change before it changes anything.
//
// A [Runner] sees every decision after it was made, so the candidate has no part in it. It
// never makes a decision wait: it skips decisions that it cannot keep up with, and counts
// them. One goroutine evaluates, with pauses. A candidate that keeps exceeding its time
// must rest.
package shadow

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/rollout/decisionlog"
	"github.com/stepward/stepward/pkg/rollout/divergence"
)

// Options holds what a runner needs.
type Options struct {
	Judge     *authz.Authorizer // the one that is enforced; its policy is not asked
	Candidate authz.Policy
	// Tally is where it counts. A runner may continue the Tally of the runner that it
	// replaces.
	Tally *divergence.Tally
	// OnCompared, if set, is called with each comparison.
	OnCompared func(divergence.Comparison)
	// OnSample, if set, is called with some of the comparisons that differ: at most one a
	// second.
	OnSample func(divergence.Comparison)
	Now      func() time.Time // nil means time.Now
	// OnLeft, if set, is called with the reason when n decisions were not compared.
	OnLeft func(why string, n int64)
}

// The reasons why a decision is not compared.
const (
	Behind  = "behind"  // the candidate was too slow for the traffic
	Resting = "resting" // it ran past its time too often
)

const (
	queued  = 64               // decisions that may wait
	trips   = 5                // evaluations in a row past their time before the candidate rests
	rest    = 30 * time.Second // for how long
	sampled = time.Second      // between samples

	// The candidate is asked at most a hundred times a second, and may use a quarter of one
	// core, so that it does not slow down decisions.
	interval = 10 * time.Millisecond
	pause    = 3
)

// Runner compares. Make it with [New]. Many goroutines may call Observe, even while it does
// not run.
type Runner struct {
	options Options
	waiting chan *authz.Record
	behind  atomic.Int64 // decisions that found no place and are not yet counted
	breaker *gobreaker.CircuitBreaker[authz.Judgement]
	sampled time.Time
}

// New makes a runner that compares nothing before [Runner.Run].
func New(o Options) *Runner {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Runner{options: o, waiting: make(chan *authz.Record, queued),
		breaker: gobreaker.NewCircuitBreaker[authz.Judgement](gobreaker.Settings{
			Name: "candidate", Timeout: rest, ReadyToTrip: func(c gobreaker.Counts) bool {
				return c.ConsecutiveFailures >= trips
			},
		})}
}

// Observe queues r for later. It does not wait.
func (s *Runner) Observe(r *authz.Record) {
	if r.Stages.Evaluated.IsZero() {
		return // the enforced policy was not asked either
	}
	select {
	case s.waiting <- r:
	default:
		s.behind.Add(1)
	}
}

// leave counts n decisions that are not compared.
func (s *Runner) leave(why string, n int64) {
	if n == 0 {
		return
	}
	s.options.Tally.Leave(why, n)
	if s.options.OnLeft != nil {
		s.options.OnLeft(why, n)
	}
}

// Tally returns where s counts.
func (s *Runner) Tally() *divergence.Tally { return s.options.Tally }

// Report returns the counts so far.
func (s *Runner) Report() divergence.Report {
	s.leave(Behind, s.behind.Swap(0))
	r := s.options.Tally.Report(s.options.Candidate.Traits().Revision)
	r.Suspended = s.breaker.State() == gobreaker.StateOpen
	return r
}

// Run compares until ctx ends.
func (s *Runner) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-s.waiting:
			start := s.options.Now()
			s.compare(ctx, r)
			s.leave(Behind, s.behind.Swap(0))
			if !wait(ctx, max(interval, pause*s.options.Now().Sub(start))) {
				return
			}
		}
	}
}

// wait waits for d, and reports whether ctx has not ended.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

func (s *Runner) compare(ctx context.Context, r *authz.Record) {
	q := r.Question()
	is, err := s.breaker.Execute(func() (authz.Judgement, error) {
		j := s.options.Judge.Judge(ctx, s.options.Candidate, q)
		if errors.Is(j.Fault, policy.ErrTimeout) {
			return j, j.Fault // what counts for a rest
		}
		return j, nil
	})
	switch {
	case ctx.Err() != nil:
		return
	case errors.Is(err, gobreaker.ErrOpenState), errors.Is(err, gobreaker.ErrTooManyRequests):
		s.leave(Resting, 1)
		return
	}
	c := divergence.Compare(q, decisionlog.OutcomeOf(r.Judgement), is)
	c.DecisionID, c.Revision = r.ID, r.Revision
	s.options.Tally.Add(c)
	if s.options.OnCompared != nil {
		s.options.OnCompared(c)
	}
	if now := s.options.Now(); c.Kind() != divergence.Same && s.options.OnSample != nil &&
		now.Sub(s.sampled) >= sampled {
		s.sampled = now
		s.options.OnSample(c)
	}
}
