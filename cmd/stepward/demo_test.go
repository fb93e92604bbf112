package main

import (
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/explain"
)

// A line says what is missing, also where the level is there and the age is not.
func TestDecisionLine(t *testing.T) {
	for _, c := range []struct {
		answer explain.Answer
		level  string
		want   string
	}{
		{explain.Answer{Result: "challenge", Reason: "insufficient_level", Status: 401}, "password", "nobody has password, needs mfa\n"},
		{explain.Answer{Result: "challenge", Reason: "stale_authentication", Status: 401}, "mfa", "nobody has mfa, needs mfa, more recent\n"},
		{explain.Answer{Result: "allow", Reason: "ok", Allowed: true}, "mfa", "nobody has mfa\n"},
	} {
		var out strings.Builder
		(&painter{out: &out}).decision(explain.Explanation{Level: c.level, Needs: "mfa", Answer: c.answer})
		if !strings.HasSuffix(out.String(), c.want) {
			t.Errorf("%q; want %q at its end", out.String(), c.want)
		}
	}
}
