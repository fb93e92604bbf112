// Package divergence says how another policy would have answered: who would newly be
// challenged, who would no longer be, and who would be refused.
//
// A [Comparison] holds one decision as it was made and as it would be. A [Tally] counts
// them in constant memory. A [Report] is for people, as text, JSON or a page. `stepward
// replay` makes one from a log, and a running service makes one for its candidate policy.
package divergence

import (
	"slices"
	"strings"
	"time"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/rollout/decisionlog"
	"github.com/stepward/stepward/pkg/stepup"
	"github.com/stepward/stepward/pkg/token"
)

// Kind says how two answers to the same request differ.
type Kind string

// The kinds. [Same] is none of them.
const (
	Same               Kind = "same"
	NewlyChallenged    Kind = "newly_challenged"     // was let in; would be asked to prove more
	NewlyRefused       Kind = "newly_refused"        // was let in or asked; would be refused
	NewlyFailing       Kind = "newly_failing"        // would be answered with our own fault
	NewlyAllowed       Kind = "newly_allowed"        // was refused; would be let in
	NoLongerChallenged Kind = "no_longer_challenged" // was asked to prove more; would be let in
	NoLongerRefused    Kind = "no_longer_refused"    // was refused; would be asked
	NoLongerFailing    Kind = "no_longer_failing"    // was our own fault
	AskedOtherwise     Kind = "asked_otherwise"      // asked for something else, or refused for another reason
)

// Kinds lists the kinds of difference, those that make requests harder first.
func Kinds() []Kind {
	return []Kind{NewlyChallenged, NewlyRefused, NewlyFailing, AskedOtherwise, NoLongerChallenged, NoLongerRefused,
		NewlyAllowed, NoLongerFailing}
}

// Weaker reports whether k lets in, or closer to getting in, a caller who was kept out
// before.
func (k Kind) Weaker() bool {
	return k == NewlyAllowed || k == NoLongerChallenged || k == NoLongerRefused
}

// Comparison holds a decision as it was made, and as another policy would make it.
type Comparison struct {
	DecisionID string
	Time       time.Time
	Revision   string // of the policy that decided
	Method     string
	Route      string // see [Route]
	Client     string // the kind of request, or that it came from a program or nobody known
	Issuer     string // its short name; empty if nobody is known
	Erased     bool   // part of the other policy's input was masked
	Was, Is    decisionlog.Outcome
	Fault      string // why the other policy failed, in the operator's words
}

// Compare compares the earlier outcome of a question with the one now.
func Compare(q authz.Question, was decisionlog.Outcome, is authz.Judgement) Comparison {
	c := Comparison{
		Time: q.Time, Method: q.Request.Method, Route: Route(q.Request.Segments), Client: client(q), Was: was,
		Is: decisionlog.OutcomeOf(is),
	}
	if q.Token != nil {
		c.Issuer = q.Token.IssuerName
	}
	if is.Fault != nil {
		c.Fault = is.Fault.Error()
	}
	return c
}

func client(q authz.Question) string {
	if q.Token != nil && q.Token.Principal == token.Client {
		return "program"
	}
	return string(q.Request.Kind)
}

// The classes of an answer.
const (
	letIn = iota
	asked
	refused
	failed
)

func class(o decisionlog.Outcome) int {
	switch o.Result {
	case stepup.ResultAllow, stepup.ResultPreflight:
		return letIn
	case stepup.ResultChallenge, stepup.ResultRedirect:
		return asked
	case stepup.ResultDeny:
		return refused
	}
	return failed
}

// kinds names the change from an answer of the row's class to one of the column's.
var kinds = [4][4]Kind{
	letIn:   {Same, NewlyChallenged, NewlyRefused, NewlyFailing},
	asked:   {NoLongerChallenged, Same, NewlyRefused, NewlyFailing},
	refused: {NewlyAllowed, NoLongerRefused, Same, NewlyFailing},
	failed:  {NoLongerFailing, NoLongerFailing, NoLongerFailing, Same},
}

// Kind says how the answers differ.
func (c Comparison) Kind() Kind {
	k := kinds[class(c.Was)][class(c.Is)]
	if k == Same && class(c.Was) != letIn && !c.sameTerms() {
		return AskedOtherwise
	}
	return k
}

func (c Comparison) sameTerms() bool {
	a, b := c.Was, c.Is
	sameAge := (a.MaxAge == nil) == (b.MaxAge == nil) && (a.MaxAge == nil || *a.MaxAge == *b.MaxAge)
	return a.Reason == b.Reason && slices.Equal(a.ACRValues, b.ACRValues) && slices.Equal(a.Scope, b.Scope) && sameAge
}

// Rule names the rule that makes the difference: the rule behind the harder of the two
// answers.
func (c Comparison) Rule() string {
	if c.Kind().Weaker() || c.Is.Rule == "" {
		return c.Was.Rule
	}
	return c.Is.Rule
}

// Route returns a path of at most four segments, without segments that look like the name
// of a single thing rather than a kind of thing: numbers, hexadecimal digits, addresses,
// long words.
func Route(segments []string) string {
	const most = 4
	var b strings.Builder
	for i, s := range segments {
		if i == most {
			b.WriteString("/…")
			break
		}
		if particular(s) {
			s = "{}"
		}
		b.WriteString("/" + s)
	}
	if b.Len() == 0 {
		return "/"
	}
	return b.String()
}

func particular(s string) bool {
	if len(s) > 32 || strings.ContainsAny(s, "@=%:,; ") {
		return true
	}
	digits, hex := 0, 0
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digits++
			hex++
		case c >= 'a' && c <= 'f', c >= 'A' && c <= 'F', c == '-':
			hex++
		case c < ' ' || c > '~':
			return true
		}
	}
	version := len(s) <= 3 && (strings.HasPrefix(s, "v") || strings.HasPrefix(s, "V"))
	return digits > 0 && !version && (digits*2 >= len(s) || digits > 3 || len(s) >= 8 && hex == len(s))
}
