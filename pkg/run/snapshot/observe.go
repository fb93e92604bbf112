package snapshot

import (
	"cmp"
	"context"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/engine/opaenvoy"
	"github.com/stepward/stepward/pkg/rollout/bundle"
	"github.com/stepward/stepward/pkg/rollout/decisionlog"
	"github.com/stepward/stepward/pkg/rollout/divergence"
	"github.com/stepward/stepward/pkg/rollout/shadow"
)

// ShadowEvents receives the results of comparing the candidate policy with the enforced
// one. Any field may be nil.
type ShadowEvents struct {
	OnCompared func(divergence.Comparison)
	// OnSample is called with some comparisons that differ, and with the candidate's revision.
	OnSample func(candidate string, c divergence.Comparison)
	OnLeft   func(why string, n int64)
}

// observed completes x with the authorizer that decides for it. Every way to make a
// snapshot ends here, so that o.Observe and the shadow see each decision.
func (x *Snapshot) observed(a *authz.Authorizer, tally *divergence.Tally, o Options) {
	x.Authorizer, x.labels, x.shadow = a, x.policy.labels(), nil
	if x.Candidate != nil {
		x.shadow = newShadow(a, x.Candidate, tally, o.Shadow)
	}
	a.Observe = func(ctx context.Context, r *authz.Record) {
		o.Observe(ctx, x, r)
		if x.shadow != nil {
			x.shadow.Observe(r)
		}
	}
}

// newShadow makes the runner that compares candidate with the policy of a, once it runs.
func newShadow(a *authz.Authorizer, candidate authz.Policy, tally *divergence.Tally, e ShadowEvents) *shadow.Runner {
	options := shadow.Options{Judge: a, Candidate: candidate, Tally: tally, OnCompared: e.OnCompared, OnLeft: e.OnLeft}
	if e.OnSample != nil {
		options.OnSample = func(c divergence.Comparison) { e.OnSample(candidate.Traits().Revision, c) }
	}
	return shadow.New(options)
}

// tally returns the tally for the candidate of x. If previous has the same candidate, it is
// the same tally, so that a reload forgets nothing.
func (x *Snapshot) tally(previous *Snapshot) *divergence.Tally {
	if previous != nil && previous.shadow != nil && x.Candidate != nil &&
		previous.Candidate.Traits().Revision == x.Candidate.Traits().Revision {
		return previous.shadow.Tally()
	}
	return &divergence.Tally{}
}

// Shadow returns the runner that compares the candidate policy, or nil if there is none. It
// compares nothing before it runs.
func (x *Snapshot) Shadow() *shadow.Runner { return x.shadow }

// Masks says what is removed from an input before it is kept.
func (x *Snapshot) Masks() decisionlog.Masks {
	return decisionlog.Masks{More: x.Config.Log.Mask, Keep: x.Config.Log.Keep}
}

// Decided returns r for upload, with what x knows about the policy that decided.
func (x *Snapshot) Decided(r *authz.Record) bundle.Decided {
	d := bundle.Decided{Record: r, Masks: x.Masks(), Revisions: x.policy.revisions, Labels: x.labels}
	if x.Config.Policy.Compat == config.OPAEnvoy {
		d.Path = cmp.Or(x.Config.Policy.Path, opaenvoy.DefaultPath)
	}
	return d
}
