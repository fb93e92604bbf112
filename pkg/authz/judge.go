package authz

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/stepup"
	"github.com/stepward/stepward/pkg/token"
)

// Question holds a request and its caller: everything that a judgement depends on besides
// the policy. It holds neither a credential nor how it was verified, so the same question
// can be put to another policy, or again much later.
type Question struct {
	Request   request.Request
	Presented bool         // the caller brought a credential of ours
	Token     *token.Token // nil when nobody is known
	Failure   *token.Error // why what was presented is not a Token
	Time      time.Time    // at which ages are judged
}

// Judgement holds what a policy and the rules of step-up made of a question. The zero
// Judgement refuses.
type Judgement struct {
	Revision string // of the policy

	Policy    policy.Result        // what the rules returned
	Required  []stepup.Requirement // rules and floors together
	Shortfall stepup.Shortfall
	Levels    []string // proven, weakest first
	Held      string   // the strongest of them; anonymous for nobody

	Decision stepup.Decision
	// Fault says what went wrong, in the operator's words, when the request was
	// malformed or we were at fault.
	Fault error
}

// Judge asks p what q requires, compares that with what q's caller can show at that time,
// and decides. If p fails or panics, the decision is a refusal.
func (a *Authorizer) Judge(ctx context.Context, p Policy, q Question) (j Judgement) {
	defer func() {
		if x := recover(); x != nil {
			j.Decision, j.Fault = stepup.Deny{Why: stepup.Internal}, fmt.Errorf("%w: %T", errPanic, x)
		}
	}()
	ladder, levels := a.ladder(q.Token)
	j = Judgement{Revision: p.Traits().Revision, Levels: levels, Held: stepup.Anonymous}
	if len(levels) > 0 {
		j.Held = levels[len(levels)-1]
	}
	floors, routes, err := policy.Floors(q.Request.Route, ladder)
	if err == nil {
		j.Policy, err = p.Evaluate(ctx, policy.Input{Request: q.Request, Token: q.Token, Levels: levels,
			Routes: routes})
	}
	j.Fault = err
	j.Required = slices.Concat(floors, j.Policy.Require)
	j.Shortfall = stepup.Assess(j.Required, ladder, q.Token, q.Time)
	j.Decision = stepup.Decide(stepup.Case{
		Fault:       policyReason(err),
		Shortfall:   j.Shortfall,
		Denials:     j.Policy.Deny,
		Presented:   q.Presented,
		Token:       q.Token,
		Failure:     q.Failure,
		Interactive: a.Answers.reaches(q.Request),
	})
	return j
}

// Reason says why the request was answered as it was. Before anything is decided it is
// [stepup.Internal].
func (j Judgement) Reason() stepup.Reason {
	if j.Decision == nil {
		return stepup.Internal
	}
	return j.Decision.Reason()
}

// Result returns the coarse outcome.
func (j Judgement) Result() stepup.Result { return stepup.ResultOf(j.Decision) }

// Rule names the rule behind the decision: the rule that denied, otherwise the first whose
// requirement is not met, otherwise the strictest.
func (j Judgement) Rule() string {
	if d, ok := j.Decision.(stepup.Deny); ok && d.Denial.Rule != "" {
		return d.Denial.Rule
	}
	if len(j.Shortfall.Unmet) > 0 {
		return j.Shortfall.Unmet[0].Requirement.Rule
	}
	return j.Shortfall.Rule
}
