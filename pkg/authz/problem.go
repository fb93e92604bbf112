package authz

import (
	"encoding/json"
	"strings"

	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/response"
	"github.com/stepward/stepward/pkg/response/page"
	"github.com/stepward/stepward/pkg/stepup"
)

// problemBase is the prefix of problem types (RFC 9457 §3.1.1). They are names;
// clients compare them and need not fetch them.
const problemBase = "https://stepward.dev/problems/"

// problem is the body of a refusal: RFC 9457 with the members of RFC 9470.
type problem struct {
	Type       string        `json:"type"`
	Title      string        `json:"title"`
	Status     int           `json:"status"`
	Detail     string        `json:"detail,omitempty"`
	Error      string        `json:"error,omitempty"`
	Reason     string        `json:"reason,omitempty"`
	Code       string        `json:"code,omitempty"`
	Missing    []stepup.Part `json:"missing,omitempty"`
	ACRValues  []string      `json:"acr_values,omitempty"`
	MaxAge     *int64        `json:"max_age,omitempty"`
	Level      string        `json:"level,omitempty"`
	Scope      string        `json:"scope,omitempty"`
	StepUpURI  string        `json:"step_up_uri,omitempty"`
	DecisionID string        `json:"decision_id"`
}

// problem words a refusal. It includes the requirement only for a caller who has shown a
// valid token, and only if requirements are not hidden.
func (w Answers) problem(r *Record, why stepup.Reason, ask stepup.Ask) problem {
	p := problem{
		Type:       problemBase + kebab(problemName(why)),
		Title:      title(why),
		Error:      why.ErrorCode(),
		Reason:     publicReason(why),
		DecisionID: r.ID,
	}
	if !tells(why) {
		return p
	}
	shown := w.disclosed(ask)
	p.Scope = strings.Join(shown.Scope, " ")
	if w.HideRequirements && why != stepup.InsufficientScope {
		p.Reason = "" // the level or the age: hide which one, too
		return p
	}
	p.Missing = r.Shortfall.Missing()
	p.ACRValues, p.Level = shown.ACRValues, shown.Level
	if d, ok := shown.MaxAge.Get(); ok {
		seconds := int64(d.Seconds())
		p.MaxAge = &seconds
	}
	if len(r.Shortfall.Unmet) > 0 {
		p.Detail = r.Shortfall.Unmet[0].Requirement.Detail
	}
	if why != stepup.InsufficientScope && w.Login != nil {
		p.StepUpURI = w.Login.Link(r.Request, ask)
	}
	return p
}

// publicReason returns the reason that a client is told. Only the holder of a token learns
// what exactly is wrong with it, and we know the holder only once the signature is
// verified. Anyone else would learn how to forge one.
func publicReason(why stepup.Reason) string {
	switch why {
	case stepup.TokenExpired, stepup.TokenTooOld, stepup.NotSenderConstrained:
		return string(why)
	}
	if why.ErrorCode() == stepup.ErrorInvalidToken {
		return stepup.ErrorInvalidToken
	}
	return string(why)
}

// problemName names the kind of problem, by the OAuth error if there is one.
func problemName(why stepup.Reason) string {
	if code := why.ErrorCode(); code != "" {
		return code
	}
	if why.Status() >= 500 {
		return "unavailable"
	}
	return string(why)
}

func kebab(s string) string { return strings.ReplaceAll(s, "_", "-") }

func title(why stepup.Reason) string {
	switch {
	case why == stepup.NoCredentials:
		return "Authentication required"
	case why == stepup.InsufficientScope:
		return "Insufficient scope"
	case why == stepup.DPoPProof || why == stepup.DPoPNonce:
		return "Invalid DPoP proof"
	case tells(why):
		return "Stronger authentication required"
	case why.Status() == 400:
		return "Bad request"
	case why.Status() == 401:
		return "Invalid token"
	case why.Status() == 403:
		return "Forbidden"
	}
	return "Temporarily unavailable"
}

// description returns the error_description of a challenge (RFC 6750 §3): constant for each
// error, and empty if there is no error.
func description(why stepup.Reason) string {
	switch why {
	case stepup.InsufficientLevel:
		return "A stronger authentication is required"
	case stepup.StaleAuthentication:
		return "A more recent authentication is required"
	case stepup.TokenExpired:
		return "The access token has expired"
	case stepup.TokenTooOld:
		return "The access token was issued too long ago"
	case stepup.DPoPProof:
		return "The DPoP proof is invalid"
	case stepup.DPoPNonce:
		return "The DPoP proof needs the nonce that was sent"
	case stepup.NotSenderConstrained:
		return "A sender-constrained access token is required"
	}
	switch why.ErrorCode() {
	case stepup.ErrorInvalidRequest:
		return "The credential is malformed or was sent more than once"
	case stepup.ErrorInvalidToken:
		return "The access token is invalid"
	case stepup.ErrorInsufficientScope:
		return "The access token does not have the scope that is required"
	}
	return ""
}

// refusal returns the answer with p in the form that suits the client: a page if a person
// is looking, one plain line for gRPC, whose clients show the body as the status message,
// and otherwise a problem document.
func (w Answers) refusal(r *Record, status int, p problem, fields []request.Field) response.Response {
	p.Status = status
	res := response.Response{Status: status}
	res.Headers = append(append(res.Headers, fields...), request.Field{Name: "cache-control", Value: "no-store"})
	if status == 503 {
		res.Headers = append(res.Headers, request.Field{Name: "retry-after", Value: "1"})
	}
	switch {
	case r.Request.Kind == request.GRPC:
		res.Headers = append(res.Headers, request.Field{Name: "content-type", Value: "text/plain; charset=utf-8"})
		res.Body = p.line()
	case r.Request.Kind.HTML():
		res.Headers = append(res.Headers, page.Headers()...)
		res.Body = p.page().HTML()
	default:
		res.Headers = append(res.Headers, request.Field{Name: "content-type", Value: "application/problem+json"})
		body, _ := json.Marshal(p) // strings and integers only: cannot fail
		res.Body = string(body)
	}
	res.Headers = append(res.Headers, w.CORS.readable(r.Request, fields)...)
	return res
}

func (p problem) page() page.Refusal {
	return page.Refusal{Title: p.Title, Detail: p.Detail, Reason: p.Reason, StepUpURI: p.StepUpURI,
		DecisionID: p.DecisionID}
}

func (p problem) line() string {
	line := strings.ToLower(p.Title)
	if p.Reason != "" {
		line += ": " + p.Reason
	}
	return line + " (decision " + p.DecisionID + ")"
}
