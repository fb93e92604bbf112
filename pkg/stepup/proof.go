package stepup

import (
	"cmp"
	"slices"
	"time"

	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/token"
)

// StrongestFirst returns t with its proofs in the order that [token.Token.Strongest] relies
// on: the highest level first and, among equals, the newest first.
func (l Ladder) StrongestFirst(t *token.Token) *token.Token {
	if len(t.Proofs) < 2 {
		return t
	}
	ordered := *t
	ordered.Proofs = slices.Clone(t.Proofs)
	slices.SortStableFunc(ordered.Proofs, func(a, b token.Proof) int {
		return cmp.Or(cmp.Compare(l.Rank(b), l.Rank(a)), b.At.Compare(a.At))
	})
	return &ordered
}

// nearest returns the proof of t that comes nearest to r. If one proof meets every part of
// r that a proof can meet, that is the one. Otherwise nearest prefers a proof that shows
// the level, and among those one by the right methods, which the user only needs to repeat:
// a challenge can ask for a level and for recency, but not for methods. It returns nil if t
// has no proof.
//
// Level, age and methods are always judged on this one proof. A password from a minute ago
// and a second factor from last week do not make a second factor from a minute ago.
func (l Ladder) nearest(r Requirement, t *token.Token, now time.Time) *token.Proof {
	if len(t.Proofs) == 1 {
		return &t.Proofs[0]
	}
	var nearest *token.Proof
	least := 0
	for i := range t.Proofs {
		p := &t.Proofs[i]
		if d := l.distance(r, t.Scheme, p, now); nearest == nil || d < least {
			nearest, least = p, d
		}
	}
	return nearest
}

// distance weighs what p lacks to meet r: the level counts more than methods and age
// together, and the methods more than the age. It is 0 for a proof that meets r.
func (l Ladder) distance(r Requirement, s credential.Scheme, p *token.Proof, now time.Time) int {
	d := 0
	if !l.showsLevel(r, p) {
		d += 4
	}
	if !containsAll(p.AMR, r.AMR) {
		d += 2
	}
	if !isRecent(r, s, p, now) {
		d++
	}
	return d
}

// showsLevel reports whether p shows the level that r asks for, or one of its acr values.
func (l Ladder) showsLevel(r Requirement, p *token.Proof) bool {
	if len(r.ACR) > 0 {
		return intersects(r.ACR, l.shown(p))
	}
	return l.required(r) <= l.Rank(*p)
}

// isRecent reports whether p is as recent as r asks. For a max_age of zero, a bearer token
// gets the [ReauthenticationWindow], since it must be fetched first. A session needs a
// proof that is spent on this request.
func isRecent(r Requirement, s credential.Scheme, p *token.Proof, now time.Time) bool {
	limit := r.MaxAge
	if d, ok := limit.Get(); ok && d == 0 {
		if s == credential.Session && !p.Once {
			return false
		}
		limit = AgeOf(ReauthenticationWindow)
	}
	return within(limit, p.At, now)
}
