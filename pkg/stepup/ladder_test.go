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
