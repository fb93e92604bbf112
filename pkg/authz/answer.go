package authz

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/response"
	"github.com/stepward/stepward/pkg/response/page"
	"github.com/stepward/stepward/pkg/stepup"
)

// Answers words decisions. The zero Answers discloses nothing it should not, redirects
// nobody and answers no CORS preflight.
type Answers struct {
	Names               response.Names // of identity headers; without them nobody is let through
	RemoveAuthorization bool           // keep a verified credential from the upstream too

	Realm            string // RFC 9110 §11.5
	ResourceMetadata string // URL for RFC 9728 §5.1, or empty
	// DPoPAlgorithms lists the algorithms that a proof may use (RFC 9449 §7.1). It is empty
	// if no issuer's tokens may be bound by DPoP.
	DPoPAlgorithms []string
	// HideRequirements drops levels, acr and age from answers to API clients
	// (challenge.disclose: none; RFC 9470 §9).
	HideRequirements bool
	// FaultStatus is the status for our own faults; 0 means 503.
	FaultStatus int

	CORS  CORS
	Login Login // nil redirects nobody
}

// reaches reports whether a redirect in answer to r would reach a person.
func (w Answers) reaches(r request.Request) bool { return w.Login != nil && w.Login.Reaches(r) }

// answer words r's decision, unless the words are already there, and attaches the metadata.
// It refuses if wording panics, if the decision is unknown, or if the words make another
// kind of answer.
func (a *Authorizer) answer(r *Record, own *response.Response) {
	defer func() {
		if p := recover(); p != nil {
			r.Decision, r.Fault = stepup.Deny{Why: stepup.Internal}, fmt.Errorf("%w: %T", errPanic, p)
			r.Response = response.Response{Status: stepup.Internal.Status()}
		}
	}()
	if own != nil {
		r.Response = *own
	} else {
		r.Response = a.Answers.word(r, a.Policy.Traits().RequestHeaders)
	}
	if !r.Response.Sound() || r.Response.Kind != kindOf(r.Decision) || own != nil && r.Response.Kind == response.Allow {
		r.Decision, r.Fault = stepup.Deny{Why: stepup.Internal}, errUnsound
		r.Response = a.Answers.deny(r, stepup.Deny{Why: stepup.Internal})
	}
	r.Response.Metadata = metadata(r)
}

// errUnsound stands for an answer that must not be sent.
var errUnsound = errors.New("authz: the answer does not fit the decision, or has a status that no such answer has")

// kindOf returns the kind of answer that d must be worded as.
func kindOf(d stepup.Decision) response.Kind {
	switch d.(type) {
	case stepup.Allow:
		return response.Allow
	case stepup.Preflight, stepup.Page:
		return response.Serve
	case stepup.Redirect, stepup.Challenge, stepup.Deny:
	}
	return response.Refuse
}

// word words the decision of r.
func (w Answers) word(r *Record, settable []string) response.Response {
	switch d := r.Decision.(type) {
	case stepup.Allow:
		return w.allow(r, settable)
	case stepup.Preflight:
		return w.CORS.preflight(r.Request)
	case stepup.Redirect:
		return w.redirect(r, d)
	case stepup.Challenge:
		return w.challenge(r, d)
	case stepup.Deny:
		return w.deny(r, d)
	case stepup.Page: // whose words are the site's
	}
	return w.deny(r, stepup.Deny{Why: stepup.Internal})
}

// challenge answers with 401, or with 403 if only the scope falls short (RFC 6750 §3.1).
func (w Answers) challenge(r *Record, d stepup.Challenge) response.Response {
	return w.refusal(r, d.Why.Status(), w.problem(r, d.Why, d.Ask), w.authenticate(r, d.Why, d.Ask))
}

func (w Answers) deny(r *Record, d stepup.Deny) response.Response {
	status := d.Why.Status()
	var fields []request.Field
	switch {
	case status >= 500 && w.FaultStatus != 0:
		status = w.FaultStatus
	case d.Denial.Status != 0:
		status = d.Denial.Status
	case d.Why == stepup.CredentialMalformed || d.Why == stepup.CredentialRepeated:
		fields = w.authenticate(r, d.Why, stepup.Ask{})
	}
	if d.Denial.Wording != nil && d.Why == stepup.PolicyDenied {
		return w.worded(r, d, status)
	}
	p := w.problem(r, d.Why, stepup.Ask{})
	p.Detail, p.Code = d.Denial.Detail, d.Denial.Code
	if d.Denial.Status != 0 {
		p.Title = http.StatusText(status)
	}
	return w.refusal(r, status, p, fields)
}

// worded refuses in the policy's own words. If the policy gives neither headers nor a body,
// ours say why.
func (w Answers) worded(r *Record, d stepup.Deny, status int) response.Response {
	own := d.Denial.Wording
	if !own.HasBody && len(own.Headers) == 0 && status >= 400 {
		p := w.problem(r, d.Why, stepup.Ask{})
		p.Title = http.StatusText(status)
		return w.refusal(r, status, p, nil)
	}
	res := response.Response{Status: status, Headers: w.CORS.readable(r.Request, nil), Body: own.Body}
	res.Headers = slices.DeleteFunc(res.Headers, func(f request.Field) bool { return own.Headers[f.Name] != nil })
	res.Headers = append(res.Headers, responseHeaders(own.Headers)...)
	return res
}

// redirect answers with 302 if the request can simply be repeated after the login.
// Otherwise it serves a page of ours that moves on by GET, because a page's form-action
// policy would stop a redirected form on its way to the identity provider.
func (w Answers) redirect(r *Record, d stepup.Redirect) response.Response {
	to := w.Login.Begin(r.Request, d.Ask)
	var cookies []request.Field
	for _, c := range to.Cookies {
		cookies = append(cookies, request.Field{Name: "set-cookie", Value: c})
	}
	if r.Request.Method == "GET" || r.Request.Method == "HEAD" {
		return response.Response{Status: 302, Headers: append([]request.Field{
			{Name: "location", Value: to.Location},
			{Name: "cache-control", Value: "no-store"},
			{Name: "referrer-policy", Value: "no-referrer"},
		}, cookies...)}
	}
	fields := append(w.authenticate(r, d.Why, d.Ask), request.Field{Name: "cache-control", Value: "no-store"})
	return response.Response{Status: 401, Headers: slices.Concat(fields, page.Headers(), cookies),
		Body: page.Move{Target: to.Location, DecisionID: r.ID}.HTML()}
}

// authenticate returns the WWW-Authenticate headers, one for each scheme, and the nonce
// that the next proof must have. It tells the requirement only to a caller with a valid
// token (RFC 9470 §9), and to nobody if requirements are hidden.
func (w Answers) authenticate(r *Record, why stepup.Reason, ask stepup.Ask) []request.Field {
	params := []stepup.Param{
		{Name: "realm", Value: w.Realm},
		{Name: "error", Value: why.ErrorCode()},
		{Name: "error_description", Value: description(why)},
	}
	if tells(why) {
		params = append(params, w.disclosed(ask).Params()...)
	}
	params = append(params, stepup.Param{Name: "resource_metadata", Value: w.ResourceMetadata})
	var fields []request.Field
	bearer, dpop := w.schemes(r.Scheme, why)
	if bearer {
		fields = append(fields, request.Field{Name: "www-authenticate", Value: stepup.FormatChallenge(
			"Bearer", params)})
	}
	if dpop {
		params = append(params, stepup.Param{Name: "algs", Value: strings.Join(w.DPoPAlgorithms, " ")})
		fields = append(fields, request.Field{Name: "www-authenticate", Value: stepup.FormatChallenge("DPoP", params)})
	}
	if r.Failure != nil && r.Failure.Nonce != "" {
		fields = append(fields, request.Field{Name: "dpop-nonce", Value: r.Failure.Nonce})
	}
	return fields
}

// schemes returns the schemes that a challenge names: the one that the caller used, or both
// if it used none or if its bearer token was bound or had to be (RFC 9449 §7.1, §7.2).
func (w Answers) schemes(used credential.Scheme, why stepup.Reason) (bearer, dpop bool) {
	offered := len(w.DPoPAlgorithms) > 0
	if used == credential.DPoP && offered {
		return false, true
	}
	return true, offered && (used == "" || why == stepup.NotSenderConstrained || why == stepup.TokenBinding)
}

// tells reports whether an answer for this reason goes to a caller whose token is valid but
// not strong enough.
func tells(why stepup.Reason) bool {
	switch why {
	case stepup.InsufficientLevel, stepup.StaleAuthentication, stepup.InsufficientScope:
		return true
	}
	return false
}

// disclosed returns ask without its hidden parts. A scope stays, since it says nothing
// about authentication.
func (w Answers) disclosed(ask stepup.Ask) stepup.Ask {
	if w.HideRequirements {
		return stepup.Ask{Scope: ask.Scope}
	}
	return ask
}

// metadata returns what the proxy's access log can show. Empty values are left out.
func metadata(r *Record) map[string]any {
	m := map[string]any{
		"decision_id":     r.ID,
		"result":          string(r.Result()),
		"reason":          string(r.Reason()),
		"level":           r.Held,
		"required_level":  r.Shortfall.Level,
		"policy_revision": r.Revision,
	}
	if age, ok := r.Shortfall.Age.Get(); ok {
		m["auth_age"] = age.Seconds()
	}
	if r.Token != nil {
		m["issuer"], m["issuer_name"] = r.Token.Issuer, r.Token.IssuerName
	}
	switch own := r.Policy.Metadata; {
	case r.Policy.MetadataAtTop:
		for name, value := range own {
			if name != "decision_id" {
				m[name] = value
			}
		}
	case len(own) > 0:
		m["policy"] = own
	}
	return m
}
