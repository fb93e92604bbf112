package authz

import (
	"time"

	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/stepup"
	"github.com/stepward/stepward/pkg/token"
)

// Record holds what every stage made of one request. It never holds a
// credential, but it does hold the claims of a token and a query string, which
// do not belong into a log.
//
// A Record is not changed after Authorize has returned it. Stages that were not
// reached are zero.
type Record struct {
	ID       string // decision id, random
	Time     time.Time
	Duration time.Duration
	Stages   Stages
	Revision string // of the policy

	Request request.Request
	Scheme  token.Scheme // of the credential presented; empty for none
	Token   *token.Token // nil when nobody is known
	Failure *token.Error // why the credential presented is not a Token

	Policy    policy.Result        // what the rules returned
	Required  []stepup.Requirement // rules and floors together
	Shortfall stepup.Shortfall
	Held      string // the strongest level proven; anonymous for nobody

	Decision stepup.Decision
	// Fault says what went wrong, in the operator's words, when the request was
	// malformed or we were at fault.
	Fault    error
	Response Response
}

// Stages are the times at which stages ended; zero for one that was not reached.
type Stages struct {
	Normalized, Verified, Evaluated time.Time
}

// Reason is why the request was answered as it was; [stepup.Internal] before
// anything was decided.
func (r Record) Reason() stepup.Reason {
	if r.Decision == nil {
		return stepup.Internal
	}
	return r.Decision.Reason()
}

// Result is the coarse outcome.
func (r Record) Result() stepup.Result { return stepup.ResultOf(r.Decision) }

// Rule names the rule behind the decision: of the denial, else of the first
// requirement that is not met, else of the strictest there is.
func (r Record) Rule() string {
	if d, ok := r.Decision.(stepup.Deny); ok && d.Denial.Rule != "" {
		return d.Denial.Rule
	}
	if len(r.Shortfall.Unmet) > 0 {
		return r.Shortfall.Unmet[0].Requirement.Rule
	}
	return r.Shortfall.Rule
}
