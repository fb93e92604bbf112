// Package explain says in words what each stage made of a request: what was presented, who
// asks, what is required and by which rule, what is missing, and what was answered.
// `stepward explain` prints it, and the control socket reports it for past decisions.
//
// [Of] explains the record of a decision. [Asked] makes a request from a command line;
// package scenario decides it.
package explain

import (
	"fmt"
	"strings"
	"time"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/response"
	"github.com/stepward/stepward/pkg/stepup"
)

// Explanation puts a decision into words, as JSON has it. It leaves out stages that the
// decision did not reach.
type Explanation struct {
	DecisionID string    `json:"decision_id"`
	Time       time.Time `json:"time"`
	DurationMS float64   `json:"duration_ms"`
	Revision   string    `json:"policy_revision"`

	Request   Request `json:"request"`
	Presented string  `json:"presented,omitempty"` // the scheme of the credential
	Claimed   string  `json:"claimed,omitempty"`   // what the credential says about itself, unverified
	Token     *Token  `json:"token,omitempty"`
	Failure   string  `json:"token_failure,omitempty"`
	Fault     string  `json:"fault,omitempty"`

	Level    string        `json:"level"`                       // the strongest that is proven
	AuthAge  *int64        `json:"auth_age,omitempty"`          // seconds since the authentication
	Needs    string        `json:"required_level"`              // the strictest that is required by name
	Required []Requirement `json:"required,omitempty"`          // of every rule and floor
	Denied   []Denial      `json:"denied,omitempty"`            // by rules
	Missing  []Missing     `json:"missing,omitempty"`           // of what is required
	Observed []Missing     `json:"observed_only,omitempty"`     // unmet shadow requirements
	Rule     string        `json:"rule,omitempty"`              // behind the decision
	Answer   Answer        `json:"answer"`                      // to this client
	Others   []Answer      `json:"answers_to_others,omitempty"` // to other kinds of client, for the same request
}

// Request says what was asked for, without the query.
type Request struct {
	ID       string   `json:"id,omitempty"`
	Method   string   `json:"method"`
	Host     string   `json:"host"`
	RawPath  string   `json:"raw_path"`
	Path     string   `json:"path"`
	Segments []string `json:"segments"`
	Kind     string   `json:"kind"`
	// Asked is the path as sent, if it could not be read: cut, escaped, and without
	// anything that looks like a credential.
	Asked string `json:"asked,omitempty"`

	ClientAddress string   `json:"client_address,omitempty"` // that a trusted proxy saw
	Doubts        []string `json:"doubts,omitempty"`         // what was sent but could not be believed
}

// Shown returns the path, or the path as sent if it could not be read.
func (r Request) Shown() string {
	if r.Path != "" {
		return r.Path
	}
	return r.Asked
}

// Token says who asks.
type Token struct {
	Issuer     string    `json:"issuer"`
	IssuerName string    `json:"issuer_name"`
	Subject    string    `json:"subject"`
	ClientID   string    `json:"client_id,omitempty"`
	Principal  string    `json:"principal"`
	ACR        string    `json:"acr,omitempty"`
	AMR        []string  `json:"amr,omitempty"`
	Expires    time.Time `json:"expires,omitzero"`
	Bound      bool      `json:"sender_constrained,omitempty"`
}

// Requirement says what one rule asks for.
type Requirement struct {
	Rule   string `json:"rule"`
	Text   string `json:"text"`
	Reason string `json:"reason,omitempty"`
	Floor  bool   `json:"floor,omitempty"`
	Shadow bool   `json:"shadow,omitempty"`
}

// Denial says that a rule refuses, and why.
type Denial struct {
	Rule   string `json:"rule"`
	Code   string `json:"code,omitempty"`
	Reason string `json:"reason,omitempty"`
	Always bool   `json:"always,omitempty"`
}

// Missing names an unmet part of a requirement.
type Missing struct {
	Part string `json:"part"`
	Rule string `json:"rule"`
}

// Answer says what a client gets, and what the application gets if the client is let in.
type Answer struct {
	Client    string            `json:"client,omitempty"` // its kind, if it is not the client that asked
	Result    string            `json:"result"`
	Reason    string            `json:"reason"`
	Allowed   bool              `json:"allowed"`
	Status    int               `json:"status,omitempty"` // of a refusal
	Location  string            `json:"location,omitempty"`
	Challenge string            `json:"www_authenticate,omitempty"`
	Upstream  map[string]string `json:"upstream_headers,omitempty"`
	Removed   []string          `json:"removed_headers,omitempty"`
}

// Of explains r.
func Of(r authz.Record) Explanation {
	e := Explanation{
		DecisionID: r.ID, Time: r.Time, DurationMS: float64(r.Duration.Microseconds()) / 1000, Revision: r.Revision,
		Request: requestOf(r), Token: tokenOf(r),
		Presented: string(r.Scheme), Level: r.Held, Needs: r.Shortfall.Level, Rule: r.Rule(), Answer: AnswerOf(r),
		Missing: missing(r.Shortfall.Unmet), Observed: missing(r.Shortfall.Shadowed),
	}
	if r.Failure != nil {
		e.Failure = r.Failure.Error()
	}
	if r.Fault != nil {
		e.Fault = r.Fault.Error()
	}
	if age, ok := r.Shortfall.Age.Get(); ok {
		seconds := int64(age.Seconds())
		e.AuthAge = &seconds
	}
	for _, q := range r.Required {
		e.Required = append(e.Required, Requirement{Rule: q.Rule, Text: words(q), Reason: q.Reason, Floor: q.Floor,
			Shadow: q.Shadow})
	}
	for _, d := range r.Policy.Deny {
		e.Denied = append(e.Denied, Denial{Rule: d.Rule, Code: d.Code, Reason: d.Reason, Always: d.Always})
	}
	return e
}

func requestOf(r authz.Record) Request {
	q := Request{
		ID: r.Request.ID, Method: r.Request.Method, Host: r.Request.Host, RawPath: r.Request.RawPath,
		Path: r.Request.Path, Segments: r.Request.Segments, Kind: string(r.Request.Kind),
		ClientAddress: r.Request.ClientAddress, Doubts: r.Request.Doubts,
	}
	if q.RawPath == "" {
		q.Asked = r.Request.Asked
	}
	return q
}

// tokenOf describes the caller, or returns nil for nobody.
func tokenOf(r authz.Record) *Token {
	t := r.Token
	if t == nil {
		return nil
	}
	proof := t.Strongest()
	return &Token{Issuer: t.Issuer, IssuerName: t.IssuerName, Subject: t.Subject, ClientID: t.ClientID,
		Principal: string(t.Principal), ACR: proof.ACR, AMR: proof.AMR, Expires: t.ExpiresAt,
		Bound: t.SenderConstrained}
}

func missing(gaps []stepup.Gap) []Missing {
	var out []Missing
	for _, g := range gaps {
		out = append(out, Missing{Part: string(g.Part), Rule: g.Requirement.Rule})
	}
	return out
}

// AnswerOf returns what the client of r gets.
func AnswerOf(r authz.Record) Answer {
	a := Answer{Result: string(r.Result()), Reason: string(r.Reason()), Removed: r.Response.Remove,
		Allowed: r.Response.Kind == response.Allow}
	if !a.Allowed {
		a.Status = r.Response.Status
	}
	for _, f := range r.Response.Set {
		if a.Upstream == nil {
			a.Upstream = map[string]string{}
		}
		a.Upstream[f.Name] = f.Value
	}
	for _, h := range r.Response.Headers {
		switch h.Name {
		case "location":
			a.Location = h.Value
		case "www-authenticate":
			a.Challenge = h.Value
		}
	}
	return a
}

// WithoutQuery returns e without the query of the redirect address, which holds the query
// of the requested page. Explanations that are kept go through it.
func (e Explanation) WithoutQuery() Explanation {
	e.Answer.Location, _, _ = strings.Cut(e.Answer.Location, "?")
	return e
}

// words puts q on one line.
func words(q stepup.Requirement) string {
	parts := []string{q.Level}
	if len(q.ACR) > 0 {
		parts = []string{"acr " + strings.Join(q.ACR, " or ")}
	}
	add := func(yes bool, format string, args ...any) {
		if yes {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	age, hasAge := q.MaxAge.Get()
	tokenAge, hasTokenAge := q.TokenAge.Get()
	add(hasAge, "in the last %s", config.Duration(age))
	add(len(q.AMR) > 0, "by %s", strings.Join(q.AMR, " and "))
	add(len(q.Scope) > 0, "scope %s", strings.Join(q.Scope, " "))
	add(len(q.Audience) > 0, "audience %s", strings.Join(q.Audience, " or "))
	add(len(q.Issuer) > 0, "issuer %s", strings.Join(q.Issuer, " or "))
	add(q.SenderConstrained, "sender-constrained")
	add(hasTokenAge, "token issued in the last %s", config.Duration(tokenAge))
	add(q.Shadow, "observed only")
	return strings.Join(parts, ", ")
}
