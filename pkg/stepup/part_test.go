package stepup

import (
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/token"
)

// A part that nobody can judge is unmet, whatever the token has.
func TestUnknownPart(t *testing.T) {
	all := &token.Token{Proofs: []token.Proof{{At: time.Unix(1, 0)}}}
	for _, p := range parts {
		if !(Ladder{}).meets(p, Requirement{}, all, time.Unix(1, 0)) {
			t.Errorf("%s is unmet, and nothing is required", p)
		}
	}
	if (Ladder{}).meets("made up", Requirement{}, all, time.Unix(1, 0)) {
		t.Error("a part that is not known is met")
	}
}
