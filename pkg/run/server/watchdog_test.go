package server

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/stepup"
)

// hung is a policy that answers when it is let go.
type hung struct{ inside, release chan struct{} }

func (hung) Traits() policy.Traits { return policy.Traits{Revision: "r"} }
func (h hung) Evaluate(context.Context, policy.Input) (policy.Result, error) {
	h.inside <- struct{}{}
	<-h.release
	return policy.Result{Require: []stepup.Requirement{{Level: stepup.Anonymous}}}, nil
}

// Calls without answers are a stall; calls with answers, and none at all, are not.
func TestStall(t *testing.T) {
	gate := authz.NewGate(10)
	h := hung{make(chan struct{}), make(chan struct{})}
	a := authz.Authorizer{Policy: h, Gate: gate, Deadline: time.Minute, Now: time.Now, Rand: rand.Reader}
	w := stall{gate: gate}
	for range 10 {
		if w.look() {
			t.Fatal("idle is a stall")
		}
	}
	done := make(chan struct{})
	ask := func() {
		a.Authorize(t.Context(), request.Raw{Method: "GET", Host: "a", Scheme: "https", Target: "/"})
		done <- struct{}{}
	}
	go ask()
	<-h.inside
	for i := range stallLooks {
		if stalled := w.look(); stalled != (i == stallLooks-1) {
			t.Fatalf("look %d: %t", i, stalled)
		}
	}
	go ask()
	<-h.inside
	if !w.look() {
		t.Error("another call that hangs is taken for an answer")
	}
	h.release <- struct{}{}
	<-done
	if w.look() {
		t.Error("an answer is not noticed")
	}
	h.release <- struct{}{}
	<-done
	if w.look() {
		t.Error("idle is a stall")
	}
}
