package stepup_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/stepup"
	"github.com/stepward/stepward/pkg/token"
)

func ladder(t testing.TB) stepup.Ladder {
	t.Helper()
	l, err := stepup.NewLadder([]stepup.Level{
		{Name: "password", ACR: []string{"loa:1"}},
		{Name: "mfa", ACR: []string{"loa:2", "loa:2b"}},
		{Name: "phishing-resistant", ACR: []string{"phr", "phrh"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestNewLadderRefuses(t *testing.T) {
	for _, v := range []struct {
		levels []stepup.Level
		want   string
	}{
		{[]stepup.Level{{}}, "no name"},
		{[]stepup.Level{{Name: "anonymous"}}, "built in"},
		{[]stepup.Level{{Name: "a"}, {Name: "a"}}, "named twice"},
		{[]stepup.Level{{Name: "a", ACR: []string{"x"}}, {Name: "b", ACR: []string{"x"}}}, "both"},
		{[]stepup.Level{{Name: "a", ACR: []string{""}}}, "empty"},
		{[]stepup.Level{{Name: "a", ACR: []string{"x y"}}}, "cannot carry"},
		{[]stepup.Level{{Name: "a", ACR: []string{`x"`}}}, "cannot carry"},
		{[]stepup.Level{{Name: "a", ACR: []string{"é"}}}, "cannot carry"},
		{[]stepup.Level{{Name: "a", ACR: []string{strings.Repeat("x", 2000)}}}, "longer"},
		{[]stepup.Level{{Name: "a", AMR: [][]string{{}}}}, "empty amr set"},
	} {
		if _, err := stepup.NewLadder(v.levels); err == nil || !strings.Contains(err.Error(), v.want) {
			t.Errorf("%v: %v; want %q", v.levels, err, v.want)
		}
	}
}

func TestProven(t *testing.T) {
	l := ladder(t)
	for acr, want := range map[string]string{
		"":       "authenticated",
		"loa:1":  "authenticated password",
		"loa:2b": "authenticated password mfa",
		"phrh":   "authenticated password mfa phishing-resistant",
		"PHRH":   "authenticated", // case counts
		"loa:9":  "authenticated", // unknown proves nothing
	} {
		got := l.Proven(proving(acr))
		if strings.Join(got, " ") != want || l.Highest(proving(acr)) != got[len(got)-1] {
			t.Errorf("acr %q proves %q; want %q", acr, got, want)
		}
	}
	if got := (stepup.Ladder{}).Proven(proving("phr")); !slices.Equal(got, []string{"authenticated"}) {
		t.Errorf("on the zero ladder: %q", got)
	}
}

// An issuer's own words stand in place of the ladder's.
func TestWith(t *testing.T) {
	l, err := ladder(t).With(map[string]stepup.Level{"mfa": {ACR: []string{"2"}}})
	if err != nil {
		t.Fatal(err)
	}
	for acr, want := range map[string]string{"2": "mfa", "loa:2": "authenticated", "loa:1": "password"} {
		if got := l.Highest(proving(acr)); got != want {
			t.Errorf("acr %q: %s; want %s", acr, got, want)
		}
	}
	if _, err := l.With(map[string]stepup.Level{"mfaa": {}}); err == nil {
		t.Error("a level that is not on the ladder is accepted")
	}
	if _, err := l.With(map[string]stepup.Level{"mfa": {ACR: []string{"loa:1"}}}); err == nil {
		t.Error("an acr that proves two levels is accepted")
	}
}

// proving returns a token with one proof that shows acr.
func proving(acr string) token.Token { return token.Token{Proofs: []token.Proof{{ACR: acr}}} }

// One claim proves a level, and no other does in its place.
func TestAssurance(t *testing.T) {
	ladder, err := stepup.NewLadder([]stepup.Level{
		{Name: "password", ACR: []string{"1"}, AMR: [][]string{{"pwd"}}},
		{Name: "mfa", ACR: []string{"2"}, AMR: [][]string{{"mfa"}, {"pwd", "otp"}}},
		{Name: "strong", AMR: [][]string{{"hwk"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]struct {
		by    stepup.Assurance
		proof token.Proof
		want  string
	}{
		"acr counts": {stepup.ByACR, token.Proof{ACR: "2"}, "mfa"},
		"amr does not where acr does": {stepup.ByACR, token.Proof{ACR: "1", AMR: []string{"pwd", "otp", "mfa"}},
			"password"},
		"a claim does not where acr does": {stepup.ByACR, token.Proof{Assurance: []string{"2"}}, "authenticated"},
		"all of a set":                    {stepup.ByAMR, token.Proof{AMR: []string{"otp", "x", "pwd"}}, "mfa"},
		"the other set":                   {stepup.ByAMR, token.Proof{AMR: []string{"mfa"}}, "mfa"},
		"half of a set":                   {stepup.ByAMR, token.Proof{AMR: []string{"otp"}}, "authenticated"},
		"acr does not where amr does":     {stepup.ByAMR, token.Proof{ACR: "2", AMR: []string{"pwd"}}, "password"},
		"case":                            {stepup.ByAMR, token.Proof{AMR: []string{"MFA", "Pwd"}}, "authenticated"},
		"unknown methods":                 {stepup.ByAMR, token.Proof{AMR: []string{"retina"}}, "authenticated"},
		"a claim counts":                  {stepup.ByClaim, token.Proof{Assurance: []string{"x", "2"}}, "mfa"},
		"acr does not where a claim does": {stepup.ByClaim, token.Proof{ACR: "2"}, "authenticated"},
	} {
		if got := ladder.By(v.by).Highest(token.Token{Proofs: []token.Proof{v.proof}}); got != v.want {
			t.Errorf("%s: %s; want %s", name, got, v.want)
		}
	}
	// What such an issuer cannot be asked for is impossible, not a challenge for ever.
	user := token.Token{Principal: token.User, Proofs: []token.Proof{{AMR: []string{"pwd"}, At: now}}}
	for name, v := range map[string]struct {
		require    stepup.Requirement
		impossible bool
	}{
		"a level with acr words":    {stepup.Requirement{Level: "mfa"}, false},
		"a level without acr words": {stepup.Requirement{Level: "strong"}, true},
		"acr values":                {stepup.Requirement{ACR: []string{"2"}}, true},
	} {
		if got := stepup.Assess([]stepup.Requirement{v.require}, ladder.By(stepup.ByAMR), &user,
			now); got.Ask.Impossible != v.impossible || len(got.Unmet) == 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
