package stepup

import "time"

// Age is a length of time that may be absent. The zero Age is absent. A present Age of zero
// means "right now", and is the strictest of all.
type Age struct {
	set bool
	d   time.Duration
}

// AgeOf returns a present Age of d.
func AgeOf(d time.Duration) Age { return Age{set: true, d: d} }

// Get returns the length and whether there is one.
func (a Age) Get() (time.Duration, bool) { return a.d, a.set }

// Smaller returns the stricter of two ages. An absent age is the laxest.
func (a Age) Smaller(b Age) Age {
	if !a.set || (b.set && b.d < a.d) {
		return b
	}
	return a
}

// Requirement says what one rule asks of a request. Each is judged alone and all must be
// met, so a rule can only add to what a request needs.
//
// Level or ACR is set in a decoded requirement; the zero Requirement, with
// neither, means authenticated.
type Requirement struct {
	Level string   // a name of the ladder
	ACR   []string // exactly these, in order of preference, instead of Level

	MaxAge   Age      // RFC 9470 §3 max_age: since the user authenticated
	AMR      []string // all of these methods
	Scope    []string // all of these scopes
	Audience []string // any of these audiences
	Issuer   []string // any of these issuers, by URL
	TokenAge Age      // since the token was issued

	SenderConstrained bool

	Reason string // why, in the operator's words: for the log
	Detail string // why, in words for the client (RFC 9457 detail)
	Shadow bool   // observed, not enforced; covers nothing
	Floor  bool   // set by a route, not by a rule; enforced, covers nothing

	Rule string // the rule that asked, as package.rule (file:line), or the route
}

// anonymous reports whether the requirement asks for nothing at all.
func (r Requirement) anonymous() bool { return r.Level == Anonymous }

// Denial is a refusal that no authentication cures.
type Denial struct {
	Code   string // the policy's own word, for log and metadata
	Reason string // for the operator
	Detail string // for the client
	Status int    // 403 (also for 0), 404, 410, 429 or 451; of a Wording any from 300 to 599
	Always bool   // judged before the credential is looked at
	Rule   string
	// Wording holds the policy's own words for the answer; nil leaves the words to us.
	Wording *Wording
}

// Wording holds an answer to a client in a policy's own words.
type Wording struct {
	Headers map[string][]string // by names in lower case
	Body    string
	HasBody bool // false leaves the body to us, true with an empty Body sends none
}
