package authz_test

import (
	"context"
	"testing"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/response"
	"github.com/stepward/stepward/pkg/stepup"
)

// Beyond the limit a call is refused at once, and the place is free again after.
func TestGate(t *testing.T) {
	inside, release := make(chan struct{}), make(chan struct{})
	a := newAuthorizer(t, rules{evaluate: func(_ context.Context, in policy.Input) (policy.Result, error) {
		if in.Request.Path == "/slow" {
			inside <- struct{}{}
			<-release
		}
		return policy.Result{Require: []stepup.Requirement{{Level: stepup.Anonymous}}}, nil
	}})
	a.Gate = authz.NewGate(1)
	ask := func(path string) authz.Record {
		return a.Authorize(t.Context(), request.Raw{Method: "GET", Host: "app.example.com", Scheme: "https",
			Target: path})
	}
	if r := ask("/"); r.Reason() != stepup.OK {
		t.Fatalf("%s %v", r.Reason(), r.Fault)
	}
	done := make(chan authz.Record)
	go func() { done <- ask("/slow") }()
	<-inside
	if r := ask("/"); r.Reason() != stepup.Overloaded || (r.Response.Kind == response.Allow) ||
		r.Response.Status != 503 {
		t.Errorf("beyond the limit: %s %+v", r.Reason(), r.Response)
	}
	if inFlight, _ := a.Gate.Load(); inFlight != 1 {
		t.Errorf("%d in flight", inFlight)
	}
	close(release)
	if r := <-done; r.Reason() != stepup.OK {
		t.Errorf("the first: %s", r.Reason())
	}
	if r := ask("/"); r.Reason() != stepup.OK {
		t.Errorf("afterwards: %s", r.Reason())
	}
	if inFlight, answered := a.Gate.Load(); inFlight != 0 || answered != 3 {
		t.Errorf("%d in flight, %d answered", inFlight, answered)
	}
}
