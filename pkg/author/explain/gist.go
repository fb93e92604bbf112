package explain

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stepward/stepward/pkg/stepup"
)

// Gist says in a few words, to go with the reason, who asked and what the caller lacks. It
// is silent about stages that the decision did not reach.
func (e Explanation) Gist() string {
	words := []string{e.whoHas()}
	switch {
	case e.Answer.Allowed:
	case e.Token == nil && e.named():
		words = append(words, "needs "+e.Needs)
	case e.Token != nil:
		words = append(words, e.lacks()...)
	}
	if e.Answer.Reason == string(stepup.PolicyNoMatch) {
		words = append(words, "no rule covers it")
	}
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), ", ")
}

// named reports whether the request requires a level that not everybody has.
func (e Explanation) named() bool { return e.Needs != "" && e.Needs != stepup.Anonymous }

func (e Explanation) whoHas() string {
	switch {
	case e.Token != nil && e.Level != "":
		return fmt.Sprintf("%.40q has %s", e.Token.Subject, e.Level)
	case e.Token != nil:
		return fmt.Sprintf("%.40q", e.Token.Subject)
	case e.Failure != "":
		return "a token that is not accepted"
	case e.unread():
		return "refused before anybody looked at who asks"
	case e.Presented != "":
		return "a token that was not needed or not reached"
	}
	return "nobody"
}

// unread reports whether the request was refused before its credential was looked at.
func (e Explanation) unread() bool {
	switch stepup.Reason(e.Answer.Reason) {
	case stepup.RequestAmbiguous, stepup.CredentialMalformed, stepup.CredentialRepeated, stepup.NotReady,
		stepup.Overloaded:
		return true
	}
	return false
}

// lacking words each unmet part of a requirement, apart from the level.
var lacking = map[stepup.Part]string{
	stepup.PartAudience: "needs a token for another audience", stepup.PartTokenAge: "needs a newer token",
	stepup.PartSenderConstrained: "needs a token bound to its key", stepup.PartIssuer: "needs another issuer",
	stepup.PartMethods: "needs other methods", stepup.PartScope: "needs more scope", stepup.PartAge: moreRecent,
}

const moreRecent = "more recent"

// lacks lists what a known caller would have to bring.
func (e Explanation) lacks() []string {
	var words []string
	for _, m := range e.Missing {
		w := lacking[stepup.Part(m.Part)]
		if m.Part == string(stepup.PartLevel) && e.named() {
			w = "needs " + e.Needs
		}
		if w != "" && !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	at := slices.Index(words, moreRecent)
	if at < 0 {
		return words
	}
	level := "needs an authentication"
	if e.named() {
		level = "needs " + e.Needs
	}
	words = slices.DeleteFunc(words, func(w string) bool { return w == level || w == moreRecent })
	return append([]string{level + ", " + moreRecent}, words...) // more recent than what, comes first
}
