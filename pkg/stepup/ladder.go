package stepup

import (
	"errors"
	"fmt"
	"slices"

	"github.com/stepward/stepward/pkg/token"
)

// The two levels that every ladder has below the configured ones.
const (
	Anonymous     = "anonymous"     // nobody need be known
	Authenticated = "authenticated" // a valid token, of whatever strength
)

// Level is one rung of a [Ladder]: a name that policies use, and the words in
// which an issuer proves it.
type Level struct {
	Name string
	ACR  []string   // any one of these acr values proves the level
	AMR  [][]string // all methods of any one of these sets (assurance: amr)
}

// Ladder orders levels of authentication from weak to strong. It is immutable.
// The zero Ladder knows only anonymous and authenticated.
//
// RFC 9470 §2 knows no order between acr values; the order is the operator's, and it is
// defined in this one place. Names and values are compared exactly, including case. An acr
// value that no level names proves nothing above authenticated.
type Ladder struct {
	levels []Level
	by     Assurance
}

// Assurance names the one claim of an issuer that proves a level. It is never a choice of
// claims: some providers put a low acr beside a rich amr, and accepting either would mean
// accepting the better of two claims that mean different things.
type Assurance string

const (
	// ByACR: the acr claim proves a level that lists its value. The zero Assurance
	// means the same.
	ByACR Assurance = "acr"
	// ByAMR: the amr claim proves a level if it holds every method of one of the level's
	// sets (RFC 8176). Such an issuer can still be asked in acr values.
	ByAMR Assurance = "amr"
	// ByClaim: another claim, a string or an array of them, proves a level that
	// lists one of its values among its acr values; see token.Proof.Assurance.
	ByClaim Assurance = "claim"
)

// By returns the same ladder for an issuer that proves levels by the given claim.
func (l Ladder) By(a Assurance) Ladder {
	l.by = a
	return l
}

// shown returns the values of the claim that proves acr values, or none if methods prove
// the levels.
func (l Ladder) shown(p *token.Proof) []string {
	switch {
	case l.by == ByAMR:
		return nil
	case l.by == ByClaim:
		return p.Assurance
	case p.ACR == "":
		return nil
	}
	return []string{p.ACR}
}

// proves reports whether p proves x by the one claim that counts.
func (l Ladder) proves(x Level, p *token.Proof) bool {
	if l.by == ByAMR {
		return slices.ContainsFunc(x.AMR, func(set []string) bool { return containsAll(p.AMR, set) })
	}
	return intersects(x.ACR, l.shown(p))
}

// NewLadder returns the ladder of levels, weakest first.
//
// A level needs a name that is neither built in nor used twice. An acr value may belong to
// one level only. With two it would be ambiguous which of them it proves.
func NewLadder(levels []Level) (Ladder, error) {
	names := map[string]bool{Anonymous: true, Authenticated: true}
	owner := map[string]string{}
	for i, l := range levels {
		if l.Name == "" {
			return Ladder{}, fmt.Errorf("stepup: level %d has no name", i+1)
		}
		if names[l.Name] {
			return Ladder{}, fmt.Errorf("stepup: level %q is built in or named twice", l.Name)
		}
		names[l.Name] = true
		for _, acr := range l.ACR {
			if err := checkACR(acr); err != nil {
				return Ladder{}, fmt.Errorf("stepup: level %q: %w", l.Name, err)
			}
			if other, taken := owner[acr]; taken {
				return Ladder{}, fmt.Errorf("stepup: acr %q proves both %q and %q; name it at one level", acr, other,
					l.Name)
			}
			owner[acr] = l.Name
		}
		for _, set := range l.AMR {
			if len(set) == 0 {
				return Ladder{}, fmt.Errorf("stepup: level %q has an empty amr set, which everything would prove",
					l.Name)
			}
		}
	}
	return Ladder{levels: slices.Clone(levels)}, nil
}

// checkACR refuses a value that could not be sent in the space-separated list of acr_values
// (RFC 9470 §3) or in a quoted string (RFC 6750 §3).
func checkACR(acr string) error {
	if acr == "" {
		return errors.New("an acr value is empty")
	}
	if len(acr) > 1024 {
		return errors.New("an acr value is longer than 1024 bytes")
	}
	for i := range len(acr) {
		if c := acr[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return fmt.Errorf("acr %q holds a byte that acr_values cannot carry", acr)
		}
	}
	return nil
}

// With returns the same ladder in an issuer's own words: they replace the ladder's for each
// level named in words. A name that is not on the ladder is an error.
func (l Ladder) With(words map[string]Level) (Ladder, error) {
	levels := slices.Clone(l.levels)
	for name, w := range words {
		i := slices.IndexFunc(levels, func(x Level) bool { return x.Name == name })
		if i < 0 {
			return Ladder{}, fmt.Errorf("stepup: no level %q on the ladder", name)
		}
		levels[i] = Level{Name: name, ACR: w.ACR, AMR: w.AMR}
	}
	own, err := NewLadder(levels)
	return own.By(l.by), err
}

// Has reports whether name is a level, built in or configured.
func (l Ladder) Has(name string) bool {
	_, ok := l.rank(name)
	return ok
}

// Names lists every level, weakest first, the built-in ones included.
func (l Ladder) Names() []string {
	names := []string{Anonymous, Authenticated}
	for _, x := range l.levels {
		names = append(names, x.Name)
	}
	return names
}

// ACRValues lists every acr value that proves a level, the weakest level's first.
func (l Ladder) ACRValues() []string { return l.accepted(2) }

// rank returns 0 for anonymous, 1 for authenticated, 2 and up for the ladder's own.
func (l Ladder) rank(name string) (int, bool) {
	switch name {
	case Anonymous:
		return 0, true
	case Authenticated:
		return 1, true
	}
	for i, x := range l.levels {
		if x.Name == name {
			return i + 2, true
		}
	}
	return 0, false
}

// Proven names the levels that t proves, weakest first, and never anonymous: authenticated
// if there is any proof, and the strongest level that a proof shows, with all weaker ones.
// A token without a proof proves none.
func (l Ladder) Proven(t token.Token) []string {
	return l.Names()[1 : l.provenRank(t)+1]
}

// Highest returns the strongest level that t proves.
func (l Ladder) Highest(t token.Token) string {
	return l.Names()[l.provenRank(t)]
}

func (l Ladder) provenRank(t token.Token) int {
	rank := 0
	for i := range t.Proofs {
		rank = max(rank, l.Rank(t.Proofs[i]))
	}
	return rank
}

// Rank orders proofs by the level that they show; a stronger level ranks higher. A proof
// that shows no level of the ladder still shows that somebody was authenticated: 1.
func (l Ladder) Rank(p token.Proof) int {
	rank := 1
	for i, x := range l.levels {
		if l.proves(x, &p) {
			rank = i + 2
		}
	}
	return rank
}

// accepted lists, for each level from name upward, the acr values that prove
// it. Levels that the issuer has no words for are left out.
func (l Ladder) accepted(rank int) []string {
	var all []string
	for i, x := range l.levels {
		if i+2 >= rank {
			all = append(all, x.ACR...)
		}
	}
	return all
}
