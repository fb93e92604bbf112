package request

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"unicode"
)

// Where a path is folded, no letter is left that an upstream takes for another: whatever
// is let through is the same in the lower case of its upper case, and no letter beyond
// ASCII has become one of ASCII on either way.
func TestFoldedLettersAreClear(t *testing.T) {
	refused := 0
	for r := rune(0x80); r <= unicode.MaxRune; r++ {
		if 0xD800 <= r && r < 0xE000 {
			continue
		}
		folded, err := foldCase("x" + string(r))
		if err != nil {
			refused++
			continue
		}
		for f := unicode.SimpleFold(r); ; f = unicode.SimpleFold(f) {
			other, err := foldCase("x" + string(f))
			if f < 0x80 || err == nil && other != folded {
				t.Errorf("%U is let through as %q, and %U, which is the same letter, as %q", r, folded, f, other)
			}
			if f == r {
				break
			}
		}
		if strings.ToLower(strings.ToUpper(string(r))) != strings.TrimPrefix(folded, "x") {
			t.Errorf("%U is %q, and the lower case of its upper case is another letter", r, folded)
		}
	}
	if refused == 0 || refused > 100 {
		t.Errorf("%d letters are refused", refused)
	}
	for c := range byte(0x80) {
		if got, err := foldCase(string(rune(c))); err != nil || got != strings.ToLower(string(rune(c))) {
			t.Errorf("%q is folded to %q, %v", rune(c), got, err)
		}
	}
	for _, word := range []string{"É", "Ж", "Å", "ΑΒΓ", "漢", "Ǆ"} { // letters that are clear stay usable
		if got, err := foldCase(word); err != nil || got != strings.ToLower(word) {
			t.Errorf("%q is folded to %q, %v", word, got, err)
		}
	}
}

// It is said of paths that are folded, and of no other.
func TestUnclearLettersInPaths(t *testing.T) {
	for _, letter := range []string{"ſ", "ı", "İ", "\u212A", "ﬁ", "ß", "ẞ"} {
		raw := Raw{Method: "GET", Target: "/payments/" + url.PathEscape(letter) + "/x", Host: "app.example.com",
			Scheme: "https"}
		if _, err := New(raw, Options{FoldPathCase: true}); !errors.Is(err, ErrAmbiguous) {
			t.Errorf("folded, %s: %v", letter, err)
		}
		if r, err := New(raw, Options{}); err != nil || r.Segments[1] != letter {
			t.Errorf("not folded, %s: %q, %v", letter, r.Path, err)
		}
	}
}
