package authz_test

import (
	"context"
	"testing"

	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/response"
	"github.com/stepward/stepward/pkg/stepup"
)

// A refusal that has the status of a success, by whatever mistake of a policy, is our own
// fault and not an answer.
func TestNoRefusalIsASuccess(t *testing.T) {
	for status, want := range map[int]int{200: 503, 204: 503, 299: 503, 100: 503, 600: 503, -1: 503, 403: 403, 302: 302, 0: 403} {
		denial := stepup.Denial{Status: status, Always: true, Wording: &stepup.Wording{HasBody: true, Body: "welcome"}}
		a := newAuthorizer(t, rules{evaluate: func(context.Context, policy.Input) (policy.Result, error) {
			return policy.Result{Require: []stepup.Requirement{{Level: "anonymous"}}, Deny: []stepup.Denial{denial}}, nil
		}})
		r := a.Authorize(t.Context(), get("/"))
		if r.Response.Kind != response.Refuse || r.Response.Status != want {
			t.Errorf("a denial with %d is answered with kind %d, status %d", status, r.Response.Kind, r.Response.Status)
		}
		if faulty := r.Reason() == stepup.Internal && r.Fault != nil; faulty != (want == 503) {
			t.Errorf("a denial with %d: %s, %v", status, r.Reason(), r.Fault)
		}
	}
}
