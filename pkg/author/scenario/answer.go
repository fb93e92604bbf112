package scenario

import (
	"maps"

	"github.com/stepward/stepward/pkg/author/explain"
	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/stepup"
)

// Answer holds the outcome of a scenario, as tests read it.
type Answer struct {
	Result string `json:"result"` // allow, challenge, redirect, preflight, deny or error
	Reason string `json:"reason"`
	Status int    `json:"status"`         // 200 for an allow
	Rule   string `json:"rule,omitempty"` // behind the decision
	Fault  string `json:"fault,omitempty"`

	Held     string   `json:"held"`               // the strongest level proven
	Required string   `json:"required"`           // the strictest level required by name
	Missing  []string `json:"missing,omitempty"`  // unmet parts: level, age, methods, scope …
	Observed []string `json:"observed,omitempty"` // unmet rules in shadow mode

	// What a challenge or redirect asks for:
	Level     string   `json:"level,omitempty"`
	ACRValues []string `json:"acr_values,omitempty"`
	MaxAge    *int64   `json:"max_age,omitempty"` // seconds
	Scope     []string `json:"scope,omitempty"`

	Location  string            `json:"location,omitempty"`
	Challenge string            `json:"www_authenticate,omitempty"`
	Headers   map[string]string `json:"headers,omitempty"` // that the upstream gets, including identity headers
	Metadata  map[string]any    `json:"metadata,omitempty"`
}

// AnswerOf returns the answer in r.
func AnswerOf(r authz.Record) Answer {
	x := explain.AnswerOf(r)
	a := Answer{
		Result: x.Result, Reason: x.Reason, Status: x.Status, Rule: r.Rule(), Held: r.Held, Required: r.Shortfall.Level,
		Location: x.Location, Challenge: x.Challenge, Headers: maps.Clone(x.Upstream), Metadata: r.Policy.Metadata,
	}
	if x.Allowed {
		a.Status = 200
	}
	if r.Fault != nil {
		a.Fault = r.Fault.Error()
	}
	for _, g := range r.Shortfall.Unmet {
		a.Missing = append(a.Missing, string(g.Part))
	}
	for _, g := range r.Shortfall.Shadowed {
		a.Observed = append(a.Observed, g.Requirement.Rule)
	}
	switch r.Result() {
	case stepup.ResultChallenge, stepup.ResultRedirect:
		ask := r.Shortfall.Ask
		a.Level, a.ACRValues, a.Scope = ask.Level, ask.ACRValues, ask.Scope
		if d, set := ask.MaxAge.Get(); set {
			seconds := int64(d.Seconds())
			a.MaxAge = &seconds
		}
	}
	return a
}
