package finding

import (
	"cmp"
	"errors"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// YAML explains why a text is not YAML. err is the parser's error, which says where the
// parser gave up. For a slip that people often make, the finding says what it is and where;
// otherwise it repeats what the parser says.
func YAML(file string, text []byte, err error) Finding {
	gave := giveUp(err)
	f := Finding{File: file, Line: gave.line, Column: gave.column, Code: "config", Message: "not YAML: " + gave.says,
		Hint: gave.hint()}
	y := maskYAML(string(text), gave)
	causes := []func(masked) (slip, bool){
		masked.encoding, masked.tab, masked.template, masked.indicator, masked.escape, masked.comment, masked.quote,
		masked.space, masked.bracket, masked.colon, masked.indentation,
	}
	if gave.built {
		f.Message, f.Hint = gave.impossible()
		causes = []func(masked) (slip, bool){masked.template}
	}
	for _, cause := range causes {
		if s, ok := cause(y); ok {
			f.Line, f.Column, f.Message, f.Hint = s.line, s.column, "not YAML: "+s.message, s.hint
			break
		}
	}
	return f
}

// gaveUp says where a parser gave up, counted from 1, and why.
type gaveUp struct {
	line, column int
	says         string
	built        bool // it is YAML, but has no value
}

var twice = regexp.MustCompile(`mapping key (".*") already defined at line (\d+)`)

var yamlPlace = regexp.MustCompile(`(?:go-)?(?:yaml: )?(?:[a-z ]+ at )?line (\d+)(?:, column (\d+))?:? *`)

func giveUp(err error) gaveUp {
	g := gaveUp{line: 1, column: 1, says: strings.TrimPrefix(err.Error(), "yaml: ")}
	load := (*yaml.LoadError)(nil)
	if errors.As(err, &load) {
		g.line, g.column, g.says = max(load.Mark.Line, 1), max(load.Mark.Column, 1), load.Message
		g.built = load.Stage == "constructor"
		return g
	}
	if m := yamlPlace.FindStringSubmatch(err.Error()); m != nil {
		g.line, _ = strconv.Atoi(m[1]) // digits, by the expression
		g.column, _ = strconv.Atoi(cmp.Or(m[2], "1"))
		g.says = strings.Replace(g.says, strings.TrimPrefix(m[0], "yaml: "), "", 1)
	}
	return g
}

// hint guesses what is behind a complaint that none of the causes explains.
func (g gaveUp) hint() string {
	switch {
	case strings.Contains(g.says, "expected ':'"):
		return "a line here is neither key: value nor - item; is a colon missing, or the space after it?"
	case strings.Contains(g.says, "did not find expected"):
		return "this line, or one above it, is indented differently from the rest of its block"
	}
	return ""
}

// impossible words the finding for YAML that has no value, with a hint.
func (g gaveUp) impossible() (message, hint string) {
	if m := twice.FindStringSubmatch(g.says); m != nil {
		return "key " + m[1] + " stands here twice", "it is at line " + m[2] + " already; keep one of them"
	}
	if strings.HasPrefix(g.says, "cannot construct") && strings.Contains(g.says, "into map") {
		return "not an object of keys and values", "write key: value"
	}
	return g.says, ""
}
