// Package decisionlog defines the logged form of a decision: the policy's input and the
// outcome. An [Entry] lets you put the same question again, to another policy or years
// later.
//
// An entry never holds a credential, since no policy sees one. A client may still have put
// a secret in a query, a body or a header with a telling name. These are removed, and the
// entry lists what was removed: see [Masks].
//
// [Of] makes an entry of a record. [Parse] reads one back, from our own decision log with
// log.input, or from an event of OPA's decision logs.
package decisionlog

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/stepup"
	"github.com/stepward/stepward/pkg/token"
)

// Entry is one decision.
type Entry struct {
	DecisionID string
	Time       time.Time
	Revision   string         // of the policy that decided
	Input      map[string]any // the policy's input, without masked parts
	Erased     []string       // JSON pointers to what was masked, from /input
	Caller     Caller
	Outcome    Outcome
}

// Caller holds what a judgement needs to know about the caller beyond the input.
type Caller struct {
	Presented bool       `json:"presented,omitempty"` // a credential of ours
	Failure   token.Code `json:"failure,omitempty"`   // why it was not accepted
	AuthTime  int64      `json:"auth_time,omitempty"` // Unix seconds; 0 if the token does not say
	IssuedAt  int64      `json:"issued_at,omitempty"`
	// Assurance holds the values of the claim that proves levels, if that is neither acr
	// nor amr.
	Assurance []string `json:"assurance,omitempty"`
}

// Outcome holds the answer, and what it asked for.
type Outcome struct {
	Result    stepup.Result `json:"result"`
	Reason    stepup.Reason `json:"reason"`
	Rule      string        `json:"rule,omitempty"`
	Level     string        `json:"level,omitempty"` // the weakest that would do
	ACRValues []string      `json:"acr_values,omitempty"`
	MaxAge    *int64        `json:"max_age,omitempty"` // seconds
	Scope     []string      `json:"scope,omitempty"`
}

// OutcomeOf returns what j answers, with the terms that the caller is told.
func OutcomeOf(j authz.Judgement) Outcome {
	o := Outcome{Result: j.Result(), Reason: j.Reason(), Rule: j.Rule()}
	var ask stepup.Ask
	switch d := j.Decision.(type) {
	case stepup.Redirect:
		ask = d.Ask
	case stepup.Challenge:
		if j.Reason() != stepup.NoCredentials {
			ask = d.Ask
		}
	case stepup.Allow, stepup.Deny, stepup.Preflight, stepup.Page: // ask for nothing
	}
	o.Level, o.ACRValues, o.Scope = ask.Level, ask.ACRValues, ask.Scope
	if age, set := ask.MaxAge.Get(); set {
		seconds := int64(age.Seconds())
		o.MaxAge = &seconds
	}
	return o
}

// Of returns r in its logged form. It returns false if no policy was asked about the
// request, because it was malformed or there was no time. prefix begins the names of
// identity headers.
func Of(r *authz.Record, prefix string, m Masks) (e Entry, ok bool) {
	if r.Stages.Evaluated.IsZero() {
		return Entry{}, false
	}
	in := policy.Input{Request: r.Request, Token: r.Token, Levels: r.Levels}
	e = Entry{
		DecisionID: r.ID, Time: r.Time, Revision: r.Revision, Input: in.Document(prefix),
		Outcome: OutcomeOf(r.Judgement),
		Caller:  Caller{Presented: r.Scheme != ""},
	}
	if r.Failure != nil {
		e.Caller.Failure = r.Failure.Code
	}
	if t := r.Token; t != nil {
		proof := t.Strongest()
		e.Caller.AuthTime, e.Caller.IssuedAt = seconds(proof.At), seconds(t.IssuedAt)
		e.Caller.Assurance = proof.Assurance
	}
	e.Input, e.Erased = m.apply(e.Input)
	return e, true
}

func seconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// line is an entry in either of the two shapes: a line of our decision log, or an event
// of OPA's.
type line struct {
	DecisionID     string          `json:"decision_id"`
	DecidedAt      time.Time       `json:"decided_at"`
	Timestamp      time.Time       `json:"timestamp"`
	PolicyRevision string          `json:"policy_revision"`
	Revision       string          `json:"revision"`
	Input          map[string]any  `json:"input"`
	Erased         []string        `json:"erased"`
	Caller         *Caller         `json:"caller"`
	Outcome        *Outcome        `json:"outcome"`
	Result         json.RawMessage `json:"result"`
	Custom         struct {
		Revision string   `json:"policy_revision"`
		Erased   []string `json:"erased"`
		Stepward *struct {
			Caller  *Caller  `json:"caller"`
			Outcome *Outcome `json:"outcome"`
		} `json:"stepward"`
	} `json:"custom"`
}

// ErrNoInput means that a line is a decision, but that its input was not kept.
var ErrNoInput = errors.New("decisionlog: the entry does not say what was asked; set log.input")

// ErrNotOurs means that a line is not a decision.
var ErrNotOurs = errors.New("decisionlog: not a decision")

// Parse reads one entry. The error wraps [ErrNoInput] or [ErrNotOurs] if the line is
// well-formed but useless; any other error means that it is broken.
func Parse(text []byte) (Entry, error) {
	d := newDecoder(text)
	var l line
	if err := d.Decode(&l); err != nil {
		return Entry{}, fmt.Errorf("decisionlog: %w", err)
	}
	if l.DecisionID == "" {
		return Entry{}, ErrNotOurs
	}
	e := Entry{DecisionID: l.DecisionID, Time: l.DecidedAt, Revision: l.PolicyRevision, Input: l.Input,
		Erased: append(l.Erased, l.Custom.Erased...)}
	if !l.Timestamp.IsZero() {
		e.Time, e.Revision = l.Timestamp, cmp.Or(l.Custom.Revision, l.Revision)
	}
	caller, outcome := l.Caller, l.Outcome
	if ours := l.Custom.Stepward; ours != nil {
		caller, outcome = ours.Caller, ours.Outcome
	}
	switch {
	case l.Input == nil || caller == nil:
		return Entry{}, ErrNoInput
	case outcome == nil || e.Time.IsZero():
		return Entry{}, errors.New("decisionlog: the entry does not say what was decided, or when")
	}
	e.Caller, e.Outcome = *caller, *outcome
	return e, nil
}

// Question returns the question of the entry, ready to be asked again.
func (e Entry) Question() (authz.Question, error) {
	in, err := policy.ParseInput(e.Input)
	if err != nil {
		return authz.Question{}, err
	}
	q := authz.Question{Request: in.Request, Presented: e.Caller.Presented, Token: in.Token, Time: e.Time}
	if q.Token != nil {
		proof := &q.Token.Proofs[0] // what a policy was shown has one
		proof.Assurance, proof.At = e.Caller.Assurance, at(e.Caller.AuthTime)
		q.Token.IssuedAt = at(e.Caller.IssuedAt)
	}
	if e.Caller.Failure != "" {
		q.Failure = &token.Error{Code: e.Caller.Failure}
	}
	return q, nil
}

func at(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}
