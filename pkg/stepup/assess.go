package stepup

import (
	"slices"
	"time"

	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/token"
)

// ReauthenticationWindow is how long ago a user may have authenticated for a
// bearer token to satisfy a max_age of zero: such a token must be fetched first,
// so "right now" cannot be taken literally.
const ReauthenticationWindow = 60 * time.Second

// Part is one aspect of a requirement that can be unmet on its own.
type Part string

// The parts, in the order in which they are judged.
const (
	PartAudience          Part = "audience"
	PartTokenAge          Part = "token_age"
	PartSenderConstrained Part = "sender_constrained"
	PartIssuer            Part = "issuer"
	PartLevel             Part = "level"
	PartAge               Part = "age"
	PartMethods           Part = "methods"
	PartScope             Part = "scope"
)

// parts lists all of them, in the order of judgement.
var parts = [...]Part{PartAudience, PartTokenAge, PartSenderConstrained, PartIssuer, PartLevel, PartAge, PartMethods,
	PartScope}

// Gap is one part of one requirement that a token does not meet.
type Gap struct {
	Part        Part
	Requirement Requirement
}

// Ask is what a client must bring to be let in: the merge of all requirements
// into one challenge (RFC 9470 §3). The zero Ask asks for nothing.
type Ask struct {
	Level     string   // the weakest level that satisfies all; empty when acr values decide
	ACRValues []string // in order of preference; nil when any will do
	MaxAge    Age      // the smallest of all
	Scope     []string // all of all
	// Impossible is true when no acr value satisfies every requirement, or
	// the issuer has no word for the level.
	Impossible bool
}

// Shortfall is what a caller lacks at one second. The zero Shortfall covers
// nothing, and is refused.
type Shortfall struct {
	// Covered is true when at least one enforced rule applied. Floors and shadow
	// requirements do not cover a request.
	Covered bool
	// Needed is true when something above anonymous is required.
	Needed bool
	// Level is the strictest level required by name, anonymous at least.
	Level string
	// Rule names the rule behind Level.
	Rule string
	Ask  Ask
	// Unmet holds at most one gap for each part, in the order of judgement. It
	// is empty when there is no token to judge.
	Unmet []Gap
	// Shadowed holds the gaps that requirements in shadow mode would add.
	Shadowed []Gap
	// Age is how long ago the user gave the strongest proof, in whole seconds; absent
	// when the token does not say.
	Age Age
}

// Missing lists the unmet parts that the caller may know about and could mend.
func (s Shortfall) Missing() []Part {
	var missing []Part
	for _, g := range s.Unmet {
		switch g.Part {
		case PartLevel, PartAge, PartMethods, PartScope:
			missing = append(missing, g.Part)
		}
	}
	return missing
}

// gap returns the requirement whose part p is unmet, if any.
func (s Shortfall) gap(p Part) (Requirement, bool) {
	for _, g := range s.Unmet {
		if g.Part == p {
			return g.Requirement, true
		}
	}
	return Requirement{}, false
}

// Assess compares what is required with what t proves at now. With a nil token
// it says only what is required.
//
// Each requirement is judged alone and on one proof: different proofs may meet different
// requirements, but one proof must meet the level, age and methods of one requirement.
// Levels and ages come from t's own issuer, in the words of l.
func Assess(reqs []Requirement, l Ladder, t *token.Token, now time.Time) Shortfall {
	s := Shortfall{Level: Anonymous}
	strictest := -1
	var enforced []Requirement
	for _, r := range reqs {
		if r.Shadow {
			continue
		}
		s.Covered = s.Covered || !r.Floor
		if rank := l.required(r); rank > strictest {
			strictest, s.Rule = rank, r.Rule
			if r.Level != "" {
				s.Level = r.Level
			} else {
				s.Level = Authenticated
			}
		}
		if !r.anonymous() {
			s.Needed = true
			enforced = append(enforced, r)
		}
	}
	s.Ask = l.ask(enforced)
	if t == nil {
		return s
	}
	if p := l.StrongestFirst(t).Strongest(); !p.At.IsZero() {
		s.Age = AgeOf(max(0, since(p.At, now)))
	}
	s.Unmet = unmet(enforced, l, t, now)
	s.Shadowed = unmet(slices.DeleteFunc(slices.Clone(reqs), func(r Requirement) bool {
		return !r.Shadow || r.anonymous()
	}), l, t, now)
	return s
}

// since returns whole seconds: in practice NumericDate has no fraction (RFC 7519 §2), and a
// fraction of our own clock must not make a token a second too old.
func since(t, now time.Time) time.Duration {
	return now.Truncate(time.Second).Sub(t)
}

// required returns the rank that r asks for. An acr list of its own ranks just above
// authenticated, where the ladder does not order it. Nothing can prove a level that is not
// on the ladder: it ranks above all.
func (l Ladder) required(r Requirement) int {
	if r.Level == "" {
		return 1
	}
	rank, ok := l.rank(r.Level)
	if !ok {
		return len(l.levels) + 2
	}
	return rank
}

// unmet returns the first gap of each part, in order of judgement.
func unmet(reqs []Requirement, l Ladder, t *token.Token, now time.Time) []Gap {
	var gaps []Gap
	for _, part := range parts {
		for _, r := range reqs {
			if !l.meets(part, r, t, now) {
				gaps = append(gaps, Gap{Part: part, Requirement: r})
				break
			}
		}
	}
	return gaps
}

// meets judges one part of one requirement. An unknown part is unmet.
func (l Ladder) meets(p Part, r Requirement, t *token.Token, now time.Time) bool {
	switch p {
	case PartAudience:
		return len(r.Audience) == 0 || intersects(r.Audience, t.Audience)
	case PartIssuer:
		return len(r.Issuer) == 0 || slices.Contains(r.Issuer, t.Issuer)
	case PartSenderConstrained:
		return !r.SenderConstrained || t.SenderConstrained
	case PartTokenAge:
		return within(r.TokenAge, t.IssuedAt, now)
	case PartLevel, PartAge, PartMethods:
		proof := l.nearest(r, t, now)
		if proof == nil {
			return p != PartLevel // which is then what is missing
		}
		return l.meetsBy(p, r, t.Scheme, proof, now)
	case PartScope:
		return containsAll(t.Scopes, r.Scope)
	}
	return false
}

// meetsBy judges a part that depends on a proof, by the one proof that r is judged on.
func (l Ladder) meetsBy(p Part, r Requirement, s credential.Scheme, proof *token.Proof, now time.Time) bool {
	switch p {
	case PartLevel:
		return l.showsLevel(r, proof)
	case PartAge:
		return isRecent(r, s, proof, now)
	}
	return containsAll(proof.AMR, r.AMR)
}

// within reports whether at lies no further back than limit. An unknown time is never
// within a limit.
func within(limit Age, at, now time.Time) bool {
	d, ok := limit.Get()
	if !ok {
		return true
	}
	return !at.IsZero() && since(at, now) <= d
}

func intersects(a, b []string) bool {
	return slices.ContainsFunc(a, func(x string) bool { return slices.Contains(b, x) })
}

func containsAll(have, want []string) bool {
	return !slices.ContainsFunc(want, func(x string) bool { return !slices.Contains(have, x) })
}

// ask merges requirements into one challenge. It includes those that are already met:
// otherwise the client would be sent back and forth between them. A client that brings
// exactly what is asked for here is let in, apart from methods.
func (l Ladder) ask(reqs []Requirement) Ask {
	var a Ask
	rank := 1
	var lists [][]string
	for _, r := range reqs {
		rank = max(rank, l.required(r))
		if len(r.ACR) > 0 {
			lists = append(lists, r.ACR)
		}
		a.MaxAge = a.MaxAge.Smaller(r.MaxAge)
		for _, s := range r.Scope {
			if !slices.Contains(a.Scope, s) {
				a.Scope = append(a.Scope, s)
			}
		}
	}
	switch {
	case len(lists) > 0:
		if l.by != ByAMR { // such an issuer proves no acr value
			a.ACRValues = l.common(lists, rank)
		}
		a.Impossible = len(a.ACRValues) == 0
	case rank >= 2:
		a.Level, a.ACRValues = l.weakest(rank)
		a.Impossible = len(a.ACRValues) == 0
	case len(reqs) > 0:
		a.Level = Authenticated
	}
	return a
}

// common returns the values that every list and rank accept, in the order of the first
// list.
func (l Ladder) common(lists [][]string, rank int) []string {
	var all []string
	for _, acr := range lists[0] {
		everywhere := !slices.ContainsFunc(lists[1:], func(list []string) bool { return !slices.Contains(list, acr) })
		if everywhere && (rank < 2 || slices.Contains(l.accepted(rank), acr)) && !slices.Contains(all, acr) {
			all = append(all, acr)
		}
	}
	return all
}

// weakest returns the first level, from rank upward, that the issuer has words for.
func (l Ladder) weakest(rank int) (string, []string) {
	for i, x := range l.levels {
		if i+2 >= rank && len(x.ACR) > 0 {
			return x.Name, x.ACR
		}
	}
	return "", nil
}
