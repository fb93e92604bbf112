// Package divergence says how another policy would have answered: who would newly be
// challenged, who no longer, who would be refused.
//
// A [Comparison] is one decision as it was made and as it would be; a [Tally] counts
// them in memory that does not grow with their number; a [Report] is what people read,
// as text, JSON or a page. `stepward replay` makes one of a log, and a running service
// of its candidate policy.
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

// Kind is how two answers to the same request differ.
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

// Kinds lists what can differ, what makes requests harder first.
func Kinds() []Kind {
	return []Kind{NewlyChallenged, NewlyRefused, NewlyFailing, AskedOtherwise, NoLongerChallenged, NoLongerRefused,
		NewlyAllowed, NoLongerFailing}
}

// Weaker reports whether k lets a caller in, or nearer, who was kept out before.
func (k Kind) Weaker() bool {
	return k == NewlyAllowed || k == NoLongerChallenged || k == NoLongerRefused
}

// Comparison is a decision as it was made, and as another policy would make it.
type Comparison struct {
	DecisionID string
	Time       time.Time
	Revision   string // of the policy that decided
	Method     string
	Route      string // see [Route]
	Client     string // the kind of request, or program, or nobody known
	Issuer     string // its short name; empty where nobody is known
	Erased     bool   // something was masked in what the other policy saw
	Was, Is    decisionlog.Outcome
	Fault      string // why the other policy failed, in the operator's words
}

// Compare compares what came of a question before with what comes of it now.
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

// kinds is what it is called when an answer of the class of the row becomes one of the
// class of the column.
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

// Rule names the rule that makes the difference: of the new answer where it is harder,
// of the old one where that was.
func (c Comparison) Rule() string {
	if c.Kind().Weaker() || c.Is.Rule == "" {
		return c.Was.Rule
	}
	return c.Is.Rule
}

// Route returns a path of at most four segments, without what looks like the name of one
// thing, as against a kind of things: numbers, hexadecimal digits, addresses, long
// words.
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
