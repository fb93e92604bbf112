package stepup

import "github.com/stepward/stepward/pkg/token"

// Decision says what to answer: one of [Allow], [Redirect], [Challenge], [Deny],
// [Preflight] and [Page], and nothing else. A nil Decision refuses.
//
//sumtype:decl
type Decision interface {
	// Reason is why.
	Reason() Reason
	sealed()
}

// Allow lets the request through.
type Allow struct{}

// Redirect sends a browser to prove what Ask says.
type Redirect struct {
	Why Reason
	Ask Ask
}

// Challenge tells a program what to prove: RFC 6750 §3, RFC 9470 §3.
type Challenge struct {
	Why Reason
	Ask Ask
}

// Deny refuses for a reason that no authentication cures.
type Deny struct {
	Why    Reason
	Denial Denial // of the policy; zero when it did not speak
}

// Preflight answers a CORS preflight from a configured origin.
type Preflight struct{}

// Page serves one of our own pages.
type Page struct{}

// Reason is [OK].
func (Allow) Reason() Reason { return OK }

// Reason is why the browser is sent away.
func (d Redirect) Reason() Reason { return d.Why }

// Reason is why the caller is challenged.
func (d Challenge) Reason() Reason { return d.Why }

// Reason is why the request is refused.
func (d Deny) Reason() Reason { return d.Why }

// Reason is [OK].
func (Preflight) Reason() Reason { return OK }

// Reason is [OK].
func (Page) Reason() Reason { return OK }

func (Allow) sealed()     {}
func (Redirect) sealed()  {}
func (Challenge) sealed() {}
func (Deny) sealed()      {}
func (Preflight) sealed() {}
func (Page) sealed()      {}

// Result is the coarse outcome of a decision.
type Result string

// The results.
const (
	ResultAllow     Result = "allow"
	ResultChallenge Result = "challenge"
	ResultRedirect  Result = "redirect"
	ResultPreflight Result = "preflight"
	ResultPage      Result = "page"
	ResultDeny      Result = "deny"
	ResultError     Result = "error" // refused for a fault of our own
)

// ResultOf returns the result of d. For nil it is [ResultError].
func ResultOf(d Decision) Result {
	switch d := d.(type) {
	case Allow:
		return ResultAllow
	case Redirect:
		return ResultRedirect
	case Preflight:
		return ResultPreflight
	case Page:
		return ResultPage
	case Challenge:
		if d.Why.Status() == 401 {
			return ResultChallenge
		}
		return ResultDeny
	case Deny:
		if d.Why.Status() < 500 {
			return ResultDeny
		}
	}
	return ResultError
}

// Case holds everything that a decision depends on.
type Case struct {
	// Fault is our own: the policy or the route could not be evaluated, or no
	// time was left. Empty when all went well.
	Fault     Reason
	Shortfall Shortfall
	Denials   []Denial

	// Presented is true when the caller brought a credential of ours.
	Presented bool
	// Token is what the credential proves. It is nil if there is none, or if Failure says
	// why it proves nothing.
	Token   *token.Token
	Failure *token.Error

	// Interactive is true when a redirect would reach a person who can log in.
	Interactive bool
}

// Decide judges a case in a fixed order, so that a caller learns of a later
// requirement only after it has met the earlier ones: a fault of our own, no
// rule, denials that hold for everyone, then who the caller is, then the other
// denials, then what the caller lacks. It allows only when nothing is left.
func Decide(c Case) Decision {
	switch {
	case c.Fault != "":
		return Deny{Why: c.Fault}
	case !c.Shortfall.Covered:
		return Deny{Why: PolicyNoMatch}
	}
	for _, d := range c.Denials {
		if d.Always {
			return Deny{Why: PolicyDenied, Denial: d}
		}
	}
	if c.Shortfall.Needed && c.Token == nil {
		return c.unidentified()
	}
	if len(c.Denials) > 0 {
		return Deny{Why: PolicyDenied, Denial: c.Denials[0]}
	}
	if !c.Shortfall.Needed {
		return Allow{}
	}
	return c.judge()
}

// unidentified answers a caller who must be known but is not.
func (c Case) unidentified() Decision {
	ask := c.Shortfall.Ask
	switch {
	case c.Failure != nil && c.Failure.OwnFault():
		return Deny{Why: Reason(c.Failure.Code)}
	case c.Failure != nil:
		return Challenge{Why: Reason(c.Failure.Code)}
	case c.Presented:
		return Deny{Why: Internal} // a credential that was neither accepted nor refused
	case c.Interactive:
		return Redirect{Why: NoCredentials, Ask: ask}
	}
	return Challenge{Why: NoCredentials, Ask: ask}
}

// judge answers a caller whose token is valid.
func (c Case) judge() Decision {
	s := c.Shortfall
	if len(s.Unmet) == 0 {
		return Allow{}
	}
	first := s.Unmet[0].Part
	_, lacksLevel := s.gap(PartLevel)
	_, lacksAge := s.gap(PartAge)
	_, wrongIssuer := s.gap(PartIssuer)
	switch {
	case first == PartAudience:
		return Challenge{Why: TokenWrongAudience, Ask: s.Ask}
	case first == PartTokenAge:
		return Challenge{Why: TokenTooOld, Ask: s.Ask}
	case first == PartSenderConstrained:
		return Challenge{Why: NotSenderConstrained, Ask: s.Ask}
	case wrongIssuer,
		(lacksLevel || lacksAge) && (s.Ask.Impossible || c.Token.Principal != token.User):
		return Deny{Why: PolicyUnsatisfiable}
	case lacksLevel:
		return c.stepUp(InsufficientLevel)
	case lacksAge:
		return c.stepUp(StaleAuthentication)
	case first == PartMethods:
		return Deny{Why: InsufficientMethods}
	case first == PartScope:
		return Challenge{Why: InsufficientScope, Ask: s.Ask}
	}
	return Deny{Why: Internal}
}

func (c Case) stepUp(why Reason) Decision {
	if c.Interactive {
		return Redirect{Why: why, Ask: c.Shortfall.Ask}
	}
	return Challenge{Why: why, Ask: c.Shortfall.Ask}
}
