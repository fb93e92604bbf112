package finding_test

import (
	"testing"

	"github.com/stepward/stepward/pkg/finding"
)

func TestTidy(t *testing.T) {
	l := finding.List{
		{File: "b", Line: 1, Column: 1, Message: "m"},
		{File: "a", Line: 2, Column: 9, Code: "x", Message: "m"},
		{File: "a", Line: 2, Column: 3, Message: "m", Hint: "h"},
		{File: "a", Line: 2, Column: 9, Code: "x", Message: "m"},
	}.Tidy()
	if want := "a:2:3: m\n\thint: h\na:2:9: m [x]\nb:1:1: m"; l.Error() != want {
		t.Errorf("%s\nwant\n%s", l.Error(), want)
	}
}

func TestClosest(t *testing.T) {
	known := []string{"level", "max_age", "scope"}
	for word, want := range map[string]string{"levl": "level", "Level": "level", "maxage": "max_age", "frobnicate": "",
		"x": ""} {
		if got := finding.Closest(word, known); got != want {
			t.Errorf("%q: %q; want %q", word, got, want)
		}
	}
}
