// Package explain says in words what each stage made of a request: what was
// presented, who it is, what is required and by which rule, what is missing, what
// was answered. It is what `stepward explain` prints and what the control socket
// tells of decisions that were made.
package explain

import (
	"fmt"
	"strings"
	"time"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/response"
	"github.com/stepward/stepward/pkg/stepup"
)

// Explanation is a decision in words, as it is written in JSON. Members that a
// decision did not come to are left out.
type Explanation struct {
	DecisionID string    `json:"decision_id"`
	Time       time.Time `json:"time"`
	DurationMS float64   `json:"duration_ms"`
	Revision   string    `json:"policy_revision"`

	Request   Request `json:"request"`
	Presented string  `json:"presented,omitempty"` // the scheme of the credential
	Claimed   string  `json:"claimed,omitempty"`   // what the credential says of itself, unverified
	Token     *Token  `json:"token,omitempty"`
	Failure   string  `json:"token_failure,omitempty"`
	Fault     string  `json:"fault,omitempty"`

	Level    string        `json:"level"`                       // the strongest that is proven
	AuthAge  *int64        `json:"auth_age,omitempty"`          // seconds since the authentication
	Needs    string        `json:"required_level"`              // the strictest that is required by name
	Required []Requirement `json:"required,omitempty"`          // of every rule and floor
	Denied   []Denial      `json:"denied,omitempty"`            // by rules
	Missing  []Missing     `json:"missing,omitempty"`           // of what is required
	Observed []Missing     `json:"observed_only,omitempty"`     // shadow requirements that are not met
	Rule     string        `json:"rule,omitempty"`              // behind the decision
	Answer   Answer        `json:"answer"`                      // to this client
	Others   []Answer      `json:"answers_to_others,omitempty"` // to other kinds of client, for the same request
}

// Request is what was asked for. The query is not part of it.
type Request struct {
	ID       string   `json:"id,omitempty"`
	Method   string   `json:"method"`
	Host     string   `json:"host"`
	RawPath  string   `json:"raw_path"`
	Path     string   `json:"path"`
	Segments []string `json:"segments"`
	Kind     string   `json:"kind"`
	// Asked is the path as it was sent, cut and escaped and without what looks like a
	// credential, where it could not be read.
	Asked string `json:"asked,omitempty"`

	ClientAddress string   `json:"client_address,omitempty"` // that a trusted proxy saw
	Doubts        []string `json:"doubts,omitempty"`         // what was sent and could not be believed
}

// Shown is the path, or what was asked for where it could not be read.
func (r Request) Shown() string {
	if r.Path != "" {
		return r.Path
	}
	return r.Asked
}

// Token is who asks.
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

// Requirement is what one rule asks for.
type Requirement struct {
	Rule   string `json:"rule"`
	Text   string `json:"text"`
	Reason string `json:"reason,omitempty"`
	Floor  bool   `json:"floor,omitempty"`
	Shadow bool   `json:"shadow,omitempty"`
}

// Denial is a refusal by a rule.
type Denial struct {
	Rule   string `json:"rule"`
	Code   string `json:"code,omitempty"`
	Reason string `json:"reason,omitempty"`
	Always bool   `json:"always,omitempty"`
}

// Missing is a part of a requirement that is not met.
type Missing struct {
	Part string `json:"part"`
	Rule string `json:"rule"`
}

// Answer is what a client gets, and the application where the client is let in.
type Answer struct {
	Client    string            `json:"client,omitempty"` // the kind, where it is another than the one that asked
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
		Request: Request{
			ID: r.Request.ID, Method: r.Request.Method, Host: r.Request.Host, RawPath: r.Request.RawPath,
			Path: r.Request.Path, Segments: r.Request.Segments, Kind: string(r.Request.Kind),
			ClientAddress: r.Request.ClientAddress, Doubts: r.Request.Doubts,
		},
		Presented: string(r.Scheme), Level: r.Held, Needs: r.Shortfall.Level, Rule: r.Rule(), Answer: AnswerOf(r),
	}
	if e.Request.RawPath == "" {
		e.Request.Asked = r.Request.Asked
	}
	if t := r.Token; t != nil {
		proof := t.Strongest()
		e.Token = &Token{Issuer: t.Issuer, IssuerName: t.IssuerName, Subject: t.Subject, ClientID: t.ClientID,
			Principal: string(t.Principal), ACR: proof.ACR, AMR: proof.AMR, Expires: t.ExpiresAt, Bound: t.SenderConstrained}
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
	e.Missing, e.Observed = missing(r.Shortfall.Unmet), missing(r.Shortfall.Shadowed)
	return e
}

func missing(gaps []stepup.Gap) []Missing {
	var out []Missing
	for _, g := range gaps {
		out = append(out, Missing{Part: string(g.Part), Rule: g.Requirement.Rule})
	}
	return out
}

// AnswerOf is what the client of r gets.
func AnswerOf(r authz.Record) Answer {
	a := Answer{Result: string(r.Result()), Reason: string(r.Reason()), Allowed: (r.Response.Kind == response.Allow),
		Removed: r.Response.Remove}
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

// WithoutQuery is e less the query of where a browser is sent, in which stands the
// query of the page that was asked for. It is for what is kept.
func (e Explanation) WithoutQuery() Explanation {
	e.Answer.Location, _, _ = strings.Cut(e.Answer.Location, "?")
	return e
}

// words is q on one line.
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
	add(hasAge, "in the last %s", short(age))
	add(len(q.AMR) > 0, "by %s", strings.Join(q.AMR, " and "))
	add(len(q.Scope) > 0, "scope %s", strings.Join(q.Scope, " "))
	add(len(q.Audience) > 0, "audience %s", strings.Join(q.Audience, " or "))
	add(len(q.Issuer) > 0, "issuer %s", strings.Join(q.Issuer, " or "))
	add(q.SenderConstrained, "sender-constrained")
	add(hasTokenAge, "token issued in the last %s", short(tokenAge))
	add(q.Shadow, "observed only")
	return strings.Join(parts, ", ")
}

// short is d without the units of which there are none: "5m", not "5m0s".
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
