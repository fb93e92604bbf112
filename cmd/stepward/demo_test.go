package main

import (
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/author/explain"
)

// A line says what is missing, also where the level is there and the age is not.
func TestDecisionLine(t *testing.T) {
	for _, c := range []struct {
		answer explain.Answer
		lacks  []explain.Missing
		level  string
		want   string
	}{
		{explain.Answer{Result: "challenge", Reason: "insufficient_level", Status: 401}, []explain.Missing{{Part: "level"}}, "password", `"alice" has password, needs mfa` + "\n"},
		{explain.Answer{Result: "challenge", Reason: "stale_authentication", Status: 401}, []explain.Missing{{Part: "age"}}, "mfa", `"alice" has mfa, needs mfa, more recent` + "\n"},
		{explain.Answer{Result: "allow", Reason: "ok", Allowed: true}, nil, "mfa", `"alice" has mfa` + "\n"},
	} {
		var out strings.Builder
		(&painter{out: &out}).decision(explain.Explanation{Level: c.level, Needs: "mfa", Token: &explain.Token{Subject: "alice"}, Missing: c.lacks, Answer: c.answer})
		if !strings.HasSuffix(out.String(), c.want) {
			t.Errorf("%q; want %q at its end", out.String(), c.want)
		}
	}
}
