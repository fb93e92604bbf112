package finding_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/stepward/stepward/pkg/finding"
)

// documents are what slips are planted into: ours and other people's.
var documents = []string{
	"../../examples/quickstart/stepward.yaml", "../../examples/compose/stepward.yaml",
	"../../pkg/config/testdata/good.yaml", "../../pkg/config/testdata/opa.yaml",
	"../../envoy/envoy.yaml", "../../envoy/gateway/routes.yaml", "../../envoy/istio/mesh.yaml",
	"../../envoy/helm/stepward/values.yaml",
}

// spoilers each plant one slip into a line, or leave it as it is where it has no place
// for that.
var spoilers = []struct {
	name   string
	spoil  func(line string) string
	says   []string // one of these
	around int      // lines between the slip and what is named
}{
	{"tab", func(l string) string {
		if t := strings.TrimLeft(l, " "); t != l {
			return "\t" + t
		}
		return l
	}, []string{"a tab; YAML wants spaces"}, 0},
	{"tab behind spaces", func(l string) string {
		if t := strings.TrimLeft(l, " "); len(l)-len(t) > 1 {
			return " \t" + t
		}
		return l
	}, []string{"a tab; YAML wants spaces"}, 0},
	{"no space after the colon", func(l string) string {
		key, value, ok := strings.Cut(l, ": ")
		if !ok || strings.ContainsAny(key, `"'{[#*`) || strings.ContainsAny(value, "[{\"'#|>&") {
			return l
		}
		return key + ":" + value
	}, []string{"a space is missing after the colon", "is a colon missing, or the space after it?"}, 1},
	{"one space less", func(l string) string { return strings.TrimPrefix(l, " ") },
		[]string{"differently from the lines above it", "has a value already", "are at the same depth",
			"indented differently from the rest of its block"}, 200},
	{"one space more", func(l string) string { return " " + l },
		[]string{"differently from the lines above it", "has a value already", "are at the same depth",
			"indented differently from the rest of its block"}, 200},
	{"@", value("@x"), []string{"begins with @"}, 0},
	{"%", value("%x"), []string{"begins with %"}, 0},
	{"`", value("`x`"), []string{"begins with `"}, 0},
	{"*", value("*"), []string{"begins with *"}, 0},
	{"*.", value("*.example.com"), []string{"begins with *"}, 0},
	{"template", value("{{ .Values.x }}"), []string{"a template that nothing has filled in"}, 0},
	{"two colons", value("a: b"), []string{"a second colon on the line"}, 0},
	{"escape", value(`"\d+"`), []string{"begins an escape"}, 0},
	{"text after quotes", value(`"a" b`), []string{"text after a closing quote"}, 0},
	{"apostrophe", value(`'it's'`), []string{"text after a closing quote"}, 0},
	{"comma", value(`{ a: "x" b: "y" }`), []string{"a comma is missing here"}, 0},
	{"bracket", value(`[a, b}`), []string{"a comma is missing here"}, 0},
	{"control", value("a\x01b"), []string{"control character U+0001"}, 0},
	{"latin 1", value("caf\xe9"), []string{"0xe9 is not UTF-8"}, 0},
}

// value replaces the value of a line that has one.
func value(v string) func(string) string {
	return func(l string) string {
		key, old, ok := strings.Cut(l, ": ")
		if !ok || strings.ContainsAny(key, `"'{[#`) || strings.ContainsAny(old, "{[|>&#") {
			return l
		}
		return key + ": " + v
	}
}

// Whatever slip is planted into whichever line, the parser's complaint becomes one that
// names it, at its line.
func TestYAMLNamesTheSlip(t *testing.T) {
	for _, s := range spoilers {
		planted := 0
		for _, name := range documents {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(string(text), "\n")
			for n, line := range lines {
				bad := s.spoil(line)
				if bad == line || strings.TrimSpace(line) == "" || strings.HasPrefix(strings.TrimSpace(line), "#") {
					continue
				}
				for _, end := range []string{"\n", "\r\n"} {
					spoilt := strings.Join(append(append(append([]string{}, lines[:n]...), bad), lines[n+1:]...), end)
					var v any
					err := yaml.Unmarshal([]byte(spoilt), &v)
					if err == nil || strings.Contains(err.Error(), "already defined") {
						continue
					}
					planted++
					if f := finding.YAML("f", []byte(spoilt), err); !says(f, s.says) || f.Line < n+1 || f.Line > n+1+
						s.around {
						t.Errorf("%s in %s:%d %q:\n%v\n%s", s.name, name, n+1, bad, err, f)
					}
				}
			}
		}
		if planted < 4 {
			t.Errorf("%s: %d slips were planted", s.name, planted)
		}
	}
}

func says(f finding.Finding, one []string) bool {
	for _, s := range one {
		if strings.Contains(f.Message+f.Hint, s) {
			return true
		}
	}
	return false
}

func TestYAMLPlaces(t *testing.T) {
	for text, want := range map[string]string{
		"a:\n\tb: 1\n":                               "f:2:1: not YAML: a tab; YAML wants spaces",
		"a:\n- b: 1\n -\tc: 1\n":                     "f:3:3: not YAML: a tab",
		"a:\n  b: 1\n   c: 2\n":                      "f:3:4: not YAML: indented by 3 spaces, and line 2 above by 2 has a value already",
		"a:\n  b: 1\n c: 2\n":                        "f:3:2: not YAML: indented by 1 space, differently from the lines above it: they are by 0 or 2",
		"a:\n- b: 1\n c: 2\n":                        "f:3:2: not YAML: indented by 1 space, differently from the lines above it: they are by 0 or 2",
		"a:b\nc: 1\n":                                "f:1:2: not YAML: a space is missing after the colon",
		"a:\n- b:c\n  d: 1\n":                        "f:2:4: not YAML: a space is missing after the colon",
		"a: [*]\n":                                   "f:1:5: not YAML: a value that begins with *",
		"a: \"x\nb: 1\n":                             "f:1:4: not YAML: the quote that begins here has no end",
		"a: {\n  b: 1\n  c: 2\n}\n":                  "the } of the { at line 1, column 4",
		"a: { b: 1\nc: 2\n":                          "the } of the { at line 1, column 4",
		"a: 1]\nb: ]\n":                              "f:2:4: not YAML: ] closes nothing",
		"a: 1\nb: 2\na: 3\n":                         "f:3:1: key \"a\" stands here twice\n\thint: it is at line 1 already",
		"- a\n":                                      "f:1:1: not an object of keys and values",
		"a: \"x\"#y\n":                               "put a space before #",
		"a: b\x00\n":                                 "f:1:5: not YAML: a NUL byte",
		"é: \xff\n":                                  "f:1:4: not YAML: the byte 0xff is not UTF-8",
		"a:\n  - b\n  c: 1\n":                        "f:3:3: not YAML: a list item and a key: value are at the same depth",
		"a: |\n  \ttext: [\n  @x: {{\nb: @y\n":       "f:4:4: not YAML: a value that begins with @",
		"a: 'x: [ # it''s'  # @ {{ \"\nb: %y\n":      "f:2:4: not YAML: a value that begins with %",
		"a: { b: ': @', c: %y }\n":                   "f:1:19: not YAML: a value that begins with %",
		"# don't\na: don't\nb: it's [1] {2}\nc: @\n": "f:4:4: not YAML: a value that begins with @",
	} {
		var v map[string]any
		err := yaml.Unmarshal([]byte(text), &v)
		if err == nil {
			t.Errorf("%q is YAML", text)
			continue
		}
		if f := finding.YAML("f", []byte(text), err); !strings.Contains(f.String(), want) {
			t.Errorf("%q: %v\n%s\nwant %s", text, err, f, want)
		}
	}
	other := finding.YAML("f", nil, fmt.Errorf("yaml: something else"))
	if other.String() != "f:1:1: not YAML: something else" {
		t.Error(other)
	}
}

// Whatever is no YAML has a finding in one of its lines.
func FuzzYAML(f *testing.F) {
	for _, s := range []string{"a:\n\tb: 1", "a: \"x", "a: {b: 1\nc: 2", "- a\n b: 1\n-", "a: |\n x\n  y: @",
		"\r\n: :\r- -\x00", "'é': \"\\q", "{{", "a: 'b'' c'd"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var v yaml.Node
		err := yaml.Unmarshal(text, &v)
		if err == nil {
			return
		}
		x := finding.YAML("f", text, err)
		if x.Line < 1 || x.Column < 1 || !strings.HasPrefix(x.Message, "not YAML: ") || strings.Contains(
			x.String(), "\x00") {
			t.Errorf("%q: %+v", text, x)
		}
	})
}
