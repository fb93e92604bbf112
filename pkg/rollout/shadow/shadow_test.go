package shadow_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/internal/wait"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/rollout/divergence"
	"github.com/stepward/stepward/pkg/rollout/shadow"
	"github.com/stepward/stepward/pkg/stepup"
)

// candidate answers as its function does.
type candidate struct {
	evaluate func() (policy.Result, error)
}

func (c candidate) Evaluate(context.Context, policy.Input) (policy.Result, error) {
	return c.evaluate()
}
func (candidate) Traits() policy.Traits { return policy.Traits{Revision: "next"} }

func runner(evaluate func() (policy.Result, error), sample func(divergence.Comparison)) (*shadow.Runner,
	*divergence.Tally) {
	tally := &divergence.Tally{}
	return shadow.New(shadow.Options{Judge: &authz.Authorizer{}, Candidate: candidate{evaluate}, Tally: tally,
		OnSample: sample}), tally
}

// allowed returns a decision that let somebody in.
func allowed(n int) *authz.Record {
	return &authz.Record{
		ID: fmt.Sprint(n), Time: time.Unix(int64(n), 0), Stages: authz.Stages{Evaluated: time.Unix(1, 0)},
		Judgement: authz.Judgement{Revision: "now", Decision: stepup.Allow{}},
	}
}

func refuse() (policy.Result, error) {
	return policy.Result{Require: []stepup.Requirement{{Level: stepup.Anonymous}}, Deny: []stepup.Denial{{Code: "x"}}},
		nil
}

// during runs r for as long as f takes.
func during(t *testing.T, r *shadow.Runner, f func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); r.Run(ctx) }()
	f()
	cancel()
	<-done
}

// Nobody waits for a runner that does not run, or whose candidate hangs; what it is too
// slow for is counted.
func TestObserveDoesNotWait(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	r, tally := runner(refuse, nil)
	for n := range 1000 {
		r.Observe(allowed(n))
	}
	if left := r.Report().Left[shadow.Behind]; left < 900 {
		t.Errorf("%d left out", left)
	}
	r.Observe(&authz.Record{}) // the policy was not asked: nothing to compare
	during(t, r, func() {
		wait.Until(t, "what waited is compared",
			func() bool { c := r.Report(); return c.Decisions+c.Left[shadow.Behind] == 1000 })
	})
	if c := tally.Report(""); c.Kinds[divergence.NewlyRefused] != c.Decisions || c.Decisions == 0 {
		t.Errorf("%+v", c.Kinds)
	}
}

// A candidate that panics fails, and is asked again; one that keeps running past its time
// rests.
func TestCandidatesThatFail(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	r, tally := runner(func() (policy.Result, error) { panic("odd") }, nil)
	during(t, r, func() {
		for n := range 20 {
			r.Observe(allowed(n))
		}
		wait.Until(t, "all are compared", func() bool { return tally.Report("").Decisions == 20 })
	})
	if c := r.Report(); c.Kinds[divergence.NewlyFailing] != 20 || c.Suspended || c.Revision != "next" {
		t.Errorf("%+v", c)
	}
	var asked atomic.Int64
	r, tally = runner(func() (policy.Result, error) { asked.Add(1); return policy.Result{}, policy.ErrTimeout }, nil)
	during(t, r, func() {
		for n := range 20 {
			r.Observe(allowed(n))
		}
		wait.Until(t, "it rests", func() bool {
			c := tally.Report("")
			return c.Decisions+
				c.Left[shadow.Resting] == 20
		})
	})
	if c := r.Report(); !c.Suspended || asked.Load() != 5 || c.Decisions != 5 {
		t.Errorf("asked %d times, %+v", asked.Load(), c)
	}
}

// The first difference is reported at once as a sample, and no other within a second; equal
// answers are not reported.
func TestSamples(t *testing.T) {
	var told atomic.Int64
	r, tally := runner(refuse, func(divergence.Comparison) { told.Add(1) })
	during(t, r, func() {
		for n := range 20 {
			r.Observe(allowed(n))
		}
		wait.Until(t, "all are compared", func() bool { return tally.Report("").Decisions == 20 })
	})
	if n := told.Load(); n < 1 || n > 2 {
		t.Errorf("%d samples", n)
	}
	r, tally = runner(func() (policy.Result, error) {
		return policy.Result{Require: []stepup.Requirement{{Level: stepup.Anonymous}}}, nil
	}, func(divergence.Comparison) { t.Error("what is the same is told") })
	during(t, r, func() {
		r.Observe(allowed(1))
		wait.Until(t, "it is compared", func() bool { return tally.Report("").Kinds[divergence.Same] == 1 })
	})
}
