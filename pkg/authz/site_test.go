package authz_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/internal/wait"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/response"
	"github.com/stepward/stepward/pkg/stepup"
)

// site answers by a function.
type site func(context.Context, request.Request) (stepup.Decision, response.Response)

func (s site) Serve(ctx context.Context, r request.Request) (stepup.Decision, response.Response) {
	return s(ctx, r)
}

func withSite(t *testing.T, s site) *authz.Authorizer {
	t.Helper()
	a := newAuthorizer(t, requires(stepup.Requirement{Level: stepup.Anonymous}))
	a.Gate = authz.NewGate(1)
	a.Site, a.SiteDeadline, a.SiteGate = s, time.Minute, authz.NewGate(2)
	return a
}

func page(context.Context, request.Request) (stepup.Decision, response.Response) {
	return stepup.Page{}, response.Response{Kind: response.Serve, Status: 200, Body: "ours"}
}

// A site never lets a request through, and its words fit what it decided.
func TestSiteAnswers(t *testing.T) {
	for name, v := range map[string]struct {
		decision stepup.Decision
		words    response.Response
		reason   stepup.Reason
		status   int
	}{
		"a page": {stepup.Page{}, response.Response{Kind: response.Serve, Status: 200, Body: "ours"},
			stepup.OK, 200},
		"nothing to show": {stepup.Page{}, response.Response{Kind: response.Serve, Status: 204}, stepup.OK,
			204},
		"a redirect": {stepup.Redirect{Why: stepup.NoCredentials}, response.Response{Status: 302},
			stepup.NoCredentials, 302},
		"a refusal": {stepup.Deny{Why: stepup.PolicyDenied}, response.Response{Status: 404},
			stepup.PolicyDenied, 404},
		"an allow": {stepup.Allow{}, response.Response{Kind: response.Allow}, stepup.Internal, 503},
		"an allow that is served": {stepup.Allow{}, response.Response{Kind: response.Serve, Status: 200},
			stepup.Internal, 503},
		"a page that lets through": {stepup.Page{}, response.Response{Kind: response.Allow}, stepup.Internal, 503},
		"a refusal that is served": {stepup.Deny{Why: stepup.PolicyDenied}, response.Response{Kind: response.Serve,
			Status: 200}, stepup.Internal, 503},
		"a refusal with 200": {stepup.Deny{Why: stepup.PolicyDenied}, response.Response{Status: 200},
			stepup.Internal, 503},
		"a page that refuses":       {stepup.Page{}, response.Response{Status: 404}, stepup.Internal, 503},
		"nothing decided":           {nil, response.Response{Kind: response.Serve, Status: 200}, stepup.Internal, 503},
		"nothing decided, and said": {nil, response.Response{}, stepup.Internal, 503},
	} {
		t.Run(name, func(t *testing.T) {
			a := withSite(t, func(context.Context, request.Request) (stepup.Decision, response.Response) {
				return v.decision, v.words
			})
			r := a.Authorize(t.Context(), get("/_stepward/x"))
			if r.Reason() != v.reason || r.Response.Status != v.status || r.Response.Kind == response.Allow ||
				r.Response.Kind == response.Serve && v.status > 204 {
				t.Errorf("%s, kind %d, status %d", r.Reason(), r.Response.Kind, r.Response.Status)
			}
			if r.Response.Metadata["reason"] != string(v.reason) || r.Response.Metadata["result"] != string(
				r.Result()) {
				t.Errorf("%v", r.Response.Metadata)
			}
			if v.status == 200 && (r.Response.Body != "ours" || r.Result() != stepup.ResultPage) {
				t.Errorf("%q, %s", r.Response.Body, r.Result())
			}
		})
	}
	a := withSite(t, func(context.Context, request.Request) (stepup.Decision, response.Response) {
		panic("in the site")
	})
	if r := a.Authorize(t.Context(), get("/_stepward/x")); r.Reason() != stepup.Internal || r.Response.Status != 503 ||
		r.Fault == nil {
		t.Errorf("a panic: %s, %d, %v", r.Reason(), r.Response.Status, r.Fault)
	}
}

// A site serves what lies below its path in normal form, and nothing else. Without a site
// the path is one like any other.
func TestSitePath(t *testing.T) {
	a := withSite(t, page)
	none := withSite(t, nil)
	none.Site = nil
	for target, want := range map[string]int{
		"/_stepward/": 200, "/_stepward/callback?code=x": 200, "/%5Fstepward/x": 200, "/_step%77ard/x": 200,
		"/_stepward": 0, "/_stepwardx/": 0, "/x/_stepward/": 0, "/_STEPWARD/x": 0, "/": 0, "/?/_stepward/": 0,
		"/_stepward/../x": 400, "/_stepward/%2e%2e/x": 400, "//_stepward/x": 400, "/_stepward/;x": 400,
		"/_stepward%2Fx": 400,
	} {
		if r := a.Authorize(t.Context(), get(target)); r.Response.Status != want ||
			(r.Response.Kind == response.Allow) != (want == 0) {
			t.Errorf("%s: kind %d, status %d; want %d", target, r.Response.Kind, r.Response.Status, want)
		}
		if want == 200 {
			want = 0
		}
		if r := none.Authorize(t.Context(), get(target)); r.Response.Status != want ||
			(r.Response.Kind == response.Allow) != (want == 0) {
			t.Errorf("%s without a site: kind %d, status %d; want %d", target, r.Response.Kind, r.Response.Status, want)
		}
	}
	// What is wrong with the rest of a request is found before the site sees it.
	raw := get("/_stepward/x", "authorization", "Bearer a,Bearer b")
	if r := a.Authorize(t.Context(), raw); r.Reason() != stepup.CredentialRepeated || r.Response.Status != 400 {
		t.Errorf("%s, %d", r.Reason(), r.Response.Status)
	}
}

// A site that hangs, even one that does not look at its context, takes nothing from
// decisions, and no more than its own places.
func TestSiteHangs(t *testing.T) {
	inside, release := make(chan struct{}), make(chan struct{})
	a := withSite(t, func(ctx context.Context, r request.Request) (stepup.Decision, response.Response) {
		if r.Path == "/_stepward/hang" {
			inside <- struct{}{}
			<-release
		}
		return page(ctx, r)
	})
	answers := make(chan authz.Record, 2)
	ctx, cancel := context.WithCancel(t.Context())
	for range 2 {
		go func() { answers <- a.Authorize(ctx, get("/_stepward/hang")) }()
		wait.For(t, "the site to be asked", inside)
	}
	for n := range 5 {
		if r := a.Authorize(t.Context(), get("/")); r.Reason() != stepup.OK || r.Response.Kind != response.Allow {
			t.Fatalf("decision %d beside a site that hangs: %s", n, r.Reason())
		}
	}
	if inFlight, answered := a.Gate.Load(); inFlight != 0 || answered != 5 {
		t.Errorf("%d decisions in flight, %d answered", inFlight, answered)
	}
	if r := a.Authorize(t.Context(), get("/_stepward/")); r.Reason() != stepup.Overloaded || r.Response.Status != 503 {
		t.Errorf("beyond the site's own places: %s", r.Reason())
	}
	cancel() // the time of both is up, and the site does not notice
	for range 2 {
		if r := wait.For(t, "an answer", answers); r.Reason() != stepup.Deadline || r.Response.Status != 503 {
			t.Errorf("a site that does not come back: %s, %d", r.Reason(), r.Response.Status)
		}
	}
	if inFlight, _ := a.SiteGate.Load(); inFlight != 2 {
		t.Errorf("%d places of the site are taken; what was left behind still runs", inFlight)
	}
	close(release)
	wait.Until(t, "the site to be left", func() bool {
		inFlight, answered := a.SiteGate.Load()
		return inFlight == 0 && answered == 2
	})
	if r := a.Authorize(t.Context(), get("/_stepward/")); r.Response.Kind != response.Serve {
		t.Errorf("afterwards: %s", r.Reason())
	}
}

// A flood of requests for a site does not take the one place that there is for decisions.
func TestSiteIsFlooded(t *testing.T) {
	a := withSite(t, page)
	ctx, cancel := context.WithCancel(t.Context())
	var flood sync.WaitGroup
	for range 50 {
		flood.Go(func() {
			for ctx.Err() == nil {
				if r := a.Authorize(t.Context(), get("/_stepward/")); r.Response.Kind != response.Serve &&
					r.Reason() != stepup.Overloaded {
					t.Errorf("%s", r.Reason())
				}
			}
		})
	}
	for n := range 500 {
		if r := a.Authorize(t.Context(), get("/")); r.Reason() != stepup.OK {
			t.Fatalf("decision %d in a flood: %s", n, r.Reason())
		}
	}
	cancel()
	flood.Wait()
	if _, answered := a.Gate.Load(); answered != 500 {
		t.Errorf("%d decisions are counted", answered)
	}
}

// A site has a time of its own: neither does it end a decision's, nor is it bound by that.
func TestSiteDeadline(t *testing.T) {
	patient := withSite(t, func(ctx context.Context, r request.Request) (stepup.Decision, response.Response) {
		if ctx.Err() != nil {
			return stepup.Deny{Why: stepup.Deadline}, response.Response{Status: 503}
		}
		return page(ctx, r)
	})
	patient.Deadline = 0
	if r := patient.Authorize(t.Context(), get("/_stepward/")); r.Response.Kind != response.Serve {
		t.Errorf("a site with time, where decisions have none: %s", r.Reason())
	}
	if r := patient.Authorize(t.Context(), get("/")); r.Reason() != stepup.Deadline {
		t.Errorf("a decision without time: %s", r.Reason())
	}
	hasty := withSite(t, page)
	hasty.SiteDeadline = 0
	for range 100 { // whichever comes first, the page or the end of time
		if r := hasty.Authorize(t.Context(), get("/_stepward/")); r.Reason() != stepup.Deadline ||
			r.Response.Kind != response.Refuse {
			t.Fatalf("a site without time: %s", r.Reason())
		}
	}
	if r := hasty.Authorize(t.Context(), get("/")); r.Reason() != stepup.OK {
		t.Errorf("a decision with time: %s", r.Reason())
	}
}
