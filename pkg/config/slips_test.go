package config_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/finding"
)

// What is YAML and hardly meant so is refused at its place, whichever value or key it
// befalls; the same file without it is taken.
func TestSlips(t *testing.T) {
	if _, err := parse(good(t)); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(good(t)), "\n")
	for name, x := range map[string]struct {
		value func(string) string
		says  string
	}{
		"curly quotes":  {func(v string) string { return "“" + v + "”" }, "typographic quotation mark"},
		"curly single":  {func(v string) string { return "‘" + v + "’" }, "typographic quotation mark"},
		"anchor":        {func(v string) string { return "&" + v }, "is an anchor, and not a value"},
		"tag":           {func(v string) string { return "!" + v }, "is a tag, and not part of the value"},
		"anchor before": {func(v string) string { return "&a " + v }, "is an anchor"},
	} {
		planted := 0
		for n, line := range lines {
			key, v, ok := strings.Cut(line, ": ")
			if !ok || strings.ContainsAny(line, "[{\"'#") || strings.ContainsAny(v, " :/$") {
				continue
			}
			planted++
			bad := append(append([]string{}, lines[:n]...), key+": "+x.value(v))
			_, err := parse([]byte(strings.Join(append(bad, lines[n+1:]...), "\n")))
			var list finding.List
			if !errors.As(err, &list) || len(list) != 1 || list[0].Line != n+1 || list[0].Column != len(key)+3 ||
				!strings.Contains(list[0].Message, x.says) || list[0].Hint == "" {
				t.Errorf("%s in line %d %q: %v", name, n+1, line, err)
			}
		}
		if planted < 5 {
			t.Errorf("%s: planted %d times", name, planted)
		}
	}
	for text, want := range map[string]string{
		"challenge: { realm:api }\n":                   "1:14: unknown key \"realm:api\"\n\thint: a space is missing after the colon",
		"challenge:\n- realm:api\n":                    "must be an object",
		"challenge:\n  -realm: api\n":                  "2:3: unknown key \"-realm\" (did you mean \"realm\"?)\n\thint: a space is missing after the dash",
		"challenge:\n\u00a0 realm: api\n":              "hint: the line begins with U+00A0, which looks like a space but is not one",
		"challenge:\u00a0{ realm: api }\n":             "hint: the space after the colon is another character",
		"<<: { }\n":                                    "hint: merge keys are not used here",
		"challenge: { realm: {{ .Values.x }}}\n":       "1:21: {{ begins a template that nothing has filled in",
		"log: { input: yes }\n":                        "hint: without quotes; yes, no, on and off are texts",
		"listen: 127.0.0.1:1\n\nlisten: 127.0.0.1:2\n": "3:1: key \"listen\" stands here twice\n\thint: it is at line 1 already",
		"“listen”: x\n":                                "1:1: a typographic quotation mark",
	} {
		if _, err := parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v\nwant %s", text, err, want)
		}
	}
	// Line ends of Windows, a byte order mark, and such marks where text may have them.
	for _, same := range []string{"\ufeff%s", "%s"} {
		text := strings.ReplaceAll(fmt.Sprintf(same, good(t)), "\n", "\r\n")
		if _, err := parse([]byte(text)); err != nil {
			t.Errorf("%q: %v", same, err)
		}
	}
	_, err := parse([]byte("\ufeffchallenge: { realm: \"a\" }\r\nisuers: []\r\n"))
	if err == nil || !strings.Contains(err.Error(), ":2:1: unknown key \"isuers\"") {
		t.Error(err)
	}
}
