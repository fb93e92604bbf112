package server

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/response"
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

// hungSite is a site that never looks up.
type hungSite struct{ inside, release chan struct{} }

func (h hungSite) Serve(context.Context, request.Request) (stepup.Decision, response.Response) {
	h.inside <- struct{}{}
	<-h.release
	return stepup.Page{}, response.Response{Kind: response.Serve, Status: 204}
}

// A site that hangs is no stall of decisions.
func TestSiteIsNoStall(t *testing.T) {
	gate := authz.NewGate(10)
	h := hungSite{make(chan struct{}), make(chan struct{})}
	a := authz.Authorizer{Policy: hung{}, Gate: gate, Deadline: time.Minute, Now: time.Now, Rand: rand.Reader,
		Site: h, SiteDeadline: time.Minute, SiteGate: authz.NewGate(10)}
	w := stall{gate: gate}
	done := make(chan struct{})
	go func() {
		a.Authorize(t.Context(), request.Raw{Method: "GET", Host: "a", Scheme: "https", Target: "/_stepward/x"})
		close(done)
	}()
	<-h.inside
	for range 2 * stallLooks {
		if w.look() {
			t.Fatal("a site that hangs is taken for a stall")
		}
	}
	close(h.release)
	<-done
	if inFlight, answered := gate.Load(); inFlight != 0 || answered != 0 {
		t.Errorf("%d decisions in flight, %d answered, and there was none", inFlight, answered)
	}
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
