package visible_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/stepward/stepward/pkg/finding/visible"
)

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"":                   "",
		"/payments/42 →":     "/payments/42 →",
		"café \U0001f600":    "café \U0001f600",
		"a\nb\tc\rd":         `a\u000ab\u0009c\u000dd`,
		"\x1b[31mred":        `\u001b[31mred`,
		"\u0085\u009b31m":    `\u0085\u009b31m`,
		"\x9b31m\xff":        `\u009b31m\u00ff`,
		"\u202eadmin\u2066":  `\u202eadmin\u2066`,
		"\u200e\u200f\u061c": `\u200e\u200f\u061c`,
		"\u2028\u2029\ufeff": `\u2028\u2029\ufeff`,
		"\u200b\u2060":       `\u200b\u2060`,
		"\U000e0041":         `\udb40\udc41`,
		"\x7f\x00":           `\u007f\u0000`,
		"\xe2\x80":           `\u00e2\u0080`, // cut off
	} {
		if got := visible.Text(in); got != want {
			t.Errorf("Text(%q) = %q; want %q", in, got, want)
		}
	}
}

// Nothing that the terminal or a reader would take for anything else than a character
// comes out, however the text is cut into writes; and JSON still means what it meant.
func FuzzWriter(f *testing.F) {
	for _, s := range []string{"a\u0085b", "\u202e", "\xe2\x80\xae", "\x1b[31mx\x1b[0m", "\x1b[8mhidden", "\x9b",
		"line\nline", "\U000e0001"} {
		f.Add(s, 1)
	}
	f.Fuzz(func(t *testing.T, s string, cut int) {
		cut = min(max(cut, 0), len(s))
		var whole, parts bytes.Buffer
		fmt.Fprint(visible.NewWriter(&whole), s+"\n")
		w := visible.NewWriter(&parts)
		io.WriteString(w, s[:cut])
		io.WriteString(w, s[cut:])
		io.WriteString(w, "\n")
		if colour := strings.Contains(s, "\x1b"); whole.String() != parts.String() && !colour {
			t.Fatalf("%q is %q at once, and %q in parts", s, whole.String(), parts.String())
		}
		for _, out := range []string{whole.String(), parts.String(), visible.Text(s)} {
			for _, colour := range []string{"0", "1", "2", "31", "32", "33", "34"} {
				out = strings.ReplaceAll(out, "\x1b["+colour+"m", "")
			}
			for _, c := range out {
				if c != '\n' && c != '\t' && (unicode.IsControl(c) || unicode.In(c, unicode.Cf, unicode.Zl,
					unicode.Zp) && slices.Contains([]rune{0x200b, 0x200e, 0x200f, 0x202a, 0x202e, 0x2028, 0x2029,
					0x2066, 0x2069, 0xfeff, 0x061c}, c) || c == unicode.ReplacementChar && !strings.ContainsRune(
					s, c)) {
					t.Fatalf("%q comes out as %q", s, out)
				}
			}
		}
		if strings.ToValidUTF8(s, "") != s {
			return
		}
		line, err := json.Marshal(map[string]string{"path": s})
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		visible.NewWriter(&out).Write(line)
		var again map[string]string
		if err := json.Unmarshal(out.Bytes(), &again); err != nil || again["path"] != s {
			t.Fatalf("%s is %s, which means %q, %v", line, out.String(), again["path"], err)
		}
	})
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("full") }

func TestWriterFails(t *testing.T) {
	for _, s := range []string{"plain", "\u202e"} {
		if n, err := visible.NewWriter(full{}).Write([]byte(s)); n != 0 || err == nil {
			t.Errorf("%q: %d, %v", s, n, err)
		}
	}
}
