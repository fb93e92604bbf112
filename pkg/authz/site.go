package authz

import (
	"context"
	"fmt"
	"strings"

	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/response"
	"github.com/stepward/stepward/pkg/stepup"
)

// isSite reports whether raw is for a site. It is called before the gate for decisions, so
// that a flood of such requests takes no places there. Without a site the path is like any
// other.
func (a *Authorizer) isSite(raw request.Raw) bool {
	if a.Site == nil {
		return false
	}
	path, ok := request.PathOf(raw, a.Normalize)
	return ok && strings.HasPrefix(path, SitePath)
}

// served holds what a site made of a request.
type served struct {
	decision stepup.Decision
	response *response.Response // nil after a panic
	fault    error
}

// serve lets the site answer raw, and returns its words. It returns nil if the site did not
// answer, and r then says why.
func (a *Authorizer) serve(ctx context.Context, raw request.Raw, r *Record) *response.Response {
	defer r.refusePanic()
	if !a.normalize(raw, r) {
		return nil
	}
	if !a.SiteGate.enter() {
		r.Decision = stepup.Deny{Why: stepup.Overloaded}
		return nil
	}
	done := make(chan served, 1) // so that a site that finishes too late can still leave
	go func() {
		defer a.SiteGate.leave()
		done <- a.ask(ctx, r.Request)
	}()
	select {
	case s := <-done:
		r.Decision, r.Fault = s.decision, s.fault
		return s.response
	case <-ctx.Done():
		return nil // which the spine refuses
	}
}

// ask lets the site serve r. A panic refuses.
func (a *Authorizer) ask(ctx context.Context, r request.Request) (s served) {
	defer func() {
		if p := recover(); p != nil {
			s = served{stepup.Deny{Why: stepup.Internal}, nil, fmt.Errorf("%w: %T", errPanic, p)}
		}
	}()
	decision, words := a.Site.Serve(ctx, r)
	return served{decision: decision, response: &words}
}
