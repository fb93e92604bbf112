package server

import (
	"context"

	"go.uber.org/zap"

	"github.com/stepward/stepward/pkg/rollout/divergence"
	"github.com/stepward/stepward/pkg/rollout/shadow"
)

// shadow gives x a runner for its candidate. It compares once x is enforced. What was
// counted of the same candidate before a reload stays counted.
func (s *Server) shadow(x *Snapshot) {
	if x.Candidate == nil {
		return
	}
	tally := &divergence.Tally{}
	if now := s.current.Load(); now != nil && now.shadow != nil && now.Candidate.Traits().Revision == x.Candidate.Traits().Revision {
		tally = now.shadow.Tally()
	}
	x.shadow = shadow.New(shadow.Options{
		Judge: x.Authorizer, Candidate: x.Candidate, Tally: tally, OnCompared: s.metrics.Compared,
		OnLeft: s.metrics.NotCompared,
		OnSample: func(c divergence.Comparison) {
			s.log.Info("the candidate policy would have answered otherwise",
				zap.String("difference", string(c.Kind())), zap.String("decision_id", c.DecisionID),
				zap.String("route", c.Method+" "+c.Route),
				zap.String("was", string(c.Was.Reason)), zap.String("would_be", string(c.Is.Reason)),
				zap.String("rule", c.Rule()),
				zap.String("policy_revision", c.Revision), zap.String("candidate_revision", x.Candidate.Traits().Revision),
				zap.String("detail", c.Fault))
		},
	})
}

// candidate is what is known of the candidate policy, with false where there is none.
func (s *Server) candidate() (divergence.Report, bool) {
	if now := s.snapshot(); now.shadow != nil {
		return now.shadow.Report(), true
	}
	return divergence.Report{}, false
}

// follow runs the candidate of x in place of the one before, until ctx ends or it is
// called again.
func (c *conductor) follow(ctx context.Context, x *Snapshot) {
	if c.unfollow != nil {
		c.unfollow()
		c.unfollow = nil
	}
	if x == nil || x.shadow == nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); x.shadow.Run(ctx) }()
	c.unfollow = func() { cancel(); <-done }
}
