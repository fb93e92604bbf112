package authz_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/response"
	"github.com/stepward/stepward/pkg/stepup"
	"github.com/stepward/stepward/pkg/token"
)

// unverified is a policy that ignores the token, and is asked before the caller is known.
type unverified struct{ rules }

func (u unverified) Traits() policy.Traits {
	t := u.rules.Traits()
	t.IgnoresToken = true
	return t
}

// counting counts the credentials that are verified.
type counting struct {
	verifier
	n *int
}

func (c counting) Verify(ctx context.Context, r request.Request, x credential.Credential) (*token.Token, error) {
	*c.n++
	return c.verifier.Verify(ctx, r, x)
}

// A credential is verified where something is required, and nowhere else; the policy is
// asked once.
func TestUnverified(t *testing.T) {
	for name, v := range map[string]struct {
		level, bearer string
		reason        stepup.Reason
		verified      int
	}{
		"nothing required":                     {stepup.Anonymous, "two", stepup.OK, 0},
		"nothing required, keys not there":     {stepup.Anonymous, "nokeys", stepup.OK, 0},
		"nothing required of a verifier's bug": {stepup.Anonymous, "panic", stepup.OK, 0},
		"required and there":                   {"mfa", "two", stepup.OK, 1},
		"required and too weak":                {"mfa", "one", stepup.InsufficientLevel, 1},
		"required and expired":                 {"mfa", "expired", stepup.TokenExpired, 1},
		"required, keys not there":             {"mfa", "nokeys", stepup.KeysUnavailable, 1},
		"required of a verifier's bug":         {"mfa", "panic", stepup.Internal, 1},
		"required of nobody":                   {"mfa", "", stepup.NoCredentials, 0},
	} {
		t.Run(name, func(t *testing.T) {
			asked, verified := 0, 0
			a := newAuthorizer(t, unverified{
				rules{evaluate: func(context.Context, policy.Input) (policy.Result, error) {
					asked++
					return policy.Result{PassCredential: true, AddBeside: true, MetadataAtTop: true,
						Require: []stepup.Requirement{{Level: v.level}}}, nil
				}}})
			a.Verifier = counting{a.Verifier.(verifier), &verified}
			raw := get("/")
			if v.bearer != "" {
				raw = get("/", bearer(v.bearer)...)
			}
			r := a.Authorize(t.Context(), raw)
			if r.Reason() != v.reason || (r.Response.Kind == response.Allow) != (v.reason == stepup.OK) ||
				verified != v.verified || asked != 1 {
				t.Errorf("%s, %d verified, asked %d times; want %s, %d", r.Reason(), verified, asked, v.reason,
					v.verified)
			}
			kept := !slices.Contains(r.Response.Remove, "authorization")
			if (r.Response.Kind == response.Allow) && !kept {
				t.Error("the credential does not reach the application")
			}
		})
	}
}

// A policy that fails is a refusal, however it fails, and nobody is verified for it.
func TestUnverifiedFault(t *testing.T) {
	for want, err := range map[stepup.Reason]error{stepup.PolicyTimeout: policy.ErrTimeout,
		stepup.RequestAmbiguous: policy.ErrRequest, stepup.BodyUnreadable: policy.ErrBody,
		stepup.RouteConfig: policy.ErrRoute, stepup.PolicyError: context.DeadlineExceeded} {
		if want == stepup.PolicyError {
			err = errPolicy
		}
		a := newAuthorizer(t, unverified{rules{evaluate: func(context.Context, policy.Input) (policy.Result, error) {
			return policy.Result{}, err
		}}})
		verified := 0
		a.Verifier = counting{a.Verifier.(verifier), &verified}
		if r := a.Authorize(t.Context(), get("/", bearer("two")...)); r.Reason() != want ||
			(r.Response.Kind == response.Allow) || r.Response.Status != want.Status() || verified != 0 {
			t.Errorf("%v: %s %d, %d verified", err, r.Reason(), r.Response.Status, verified)
		}
	}
}

var errPolicy = policyError("broken")

type policyError string

func (e policyError) Error() string { return string(e) }

// What a policy words is sent as it stands; what it does not is ours.
func TestWording(t *testing.T) {
	for name, v := range map[string]struct {
		denial stepup.Denial
		status int
		body   string // is in it; empty is an empty one
		fields string // names of all headers, in order
	}{
		"nothing": {stepup.Denial{Wording: &stepup.Wording{}}, 403, `"reason":"policy_denied"`,
			"cache-control content-type"},
		"a status": {stepup.Denial{Status: 404, Wording: &stepup.Wording{}}, 404, `"title":"Not Found"`,
			"cache-control content-type"},
		"a body":        {stepup.Denial{Wording: &stepup.Wording{Body: "no", HasBody: true}}, 403, "no", ""},
		"an empty body": {stepup.Denial{Wording: &stepup.Wording{HasBody: true}}, 403, "", ""},
		"headers": {stepup.Denial{Status: 302, Wording: &stepup.Wording{
			Headers: map[string][]string{"location": {"/"}}}}, 302, "", "location"},
		"several values": {stepup.Denial{
			Wording: &stepup.Wording{Headers: map[string][]string{"set-cookie": {"a=1", "b=2"}}}}, 403, "",
			"set-cookie set-cookie"},
	} {
		t.Run(name, func(t *testing.T) {
			v.denial.Always = true
			a := newAuthorizer(t, unverified{
				rules{evaluate: func(context.Context, policy.Input) (policy.Result, error) {
					return policy.Result{PassCredential: true, AddBeside: true, MetadataAtTop: true,
						Require: []stepup.Requirement{{Level: stepup.Anonymous}}, Deny: []stepup.Denial{v.denial},
						Metadata: map[string]any{"own": "x", "decision_id": "forged", "level": "theirs"}}, nil
				}}})
			r := a.Authorize(t.Context(), get("/"))
			res := r.Response
			if res.Kind == response.Allow || res.Status != v.status || !strings.Contains(res.Body, v.body) ||
				v.body == "" && res.Body != "" || names(res.Headers) != v.fields {
				t.Errorf("%+v", res)
			}
			if res.Metadata["own"] != "x" || res.Metadata["decision_id"] != r.ID || res.Metadata["level"] != "theirs" ||
				res.Metadata["policy"] != nil {
				t.Errorf("metadata %v", res.Metadata)
			}
		})
	}
}

func names(fields []request.Field) string {
	var list []string
	for _, f := range fields {
		list = append(list, f.Name)
	}
	return strings.Join(list, " ")
}

// Edits of an allow: headers that the policy removes go, our identity stays, and response
// headers that it adds join the application's own.
func TestEdits(t *testing.T) {
	a := newAuthorizer(t, unverified{rules{headers: []string{"x-user"}, evaluate: func(context.Context, policy.Input) (
		policy.Result, error) {
		return policy.Result{
			PassCredential: true, AddBeside: true, MetadataAtTop: true, Require: []stepup.Requirement{
				{Level: stepup.Anonymous}}, Headers: map[string][]string{"authorization": {"Basic x"}},
			Remove: []string{"x-a", "x-stepward-level"}, Response: map[string][]string{"x-b": {"1", "2"}},
			SetQuery: map[string][]string{"q": {"1"}}, RemoveQuery: []string{"r"},
		}, nil
	}}})
	res := a.Authorize(t.Context(), get("/", append(bearer("two"), "x-stepward-subject", "root")...)).Response
	switch {
	case res.Kind != response.Allow || !res.AddBeside || names(res.Add) != "x-b x-b" || names(res.SetQuery) != "q" ||
		!slices.Equal(res.RemoveQuery, []string{"r"}):
		t.Errorf("%+v", res)
	case header(res.Set, "authorization") != "Basic x" || header(res.Set, "x-stepward-level") != "anonymous":
		t.Errorf("%+v", res.Set)
	}
	for name, want := range map[string]bool{"x-a": true, "x-user": true, "x-stepward-subject": true,
		"x-stepward-level": false, "authorization": false} {
		if slices.Contains(res.Remove, name) != want {
			t.Errorf("%s is removed: %t", name, !want)
		}
	}
}

var _ authz.Policy = unverified{}
