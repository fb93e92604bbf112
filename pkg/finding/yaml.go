package finding

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// YAML is the finding of a text that no parser takes for YAML. err is the parser's
// error: it says where the parser gave up. The finding says where the slip is and what
// it is, when it is one of those that people make; else it says what the parser says.
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

// gaveUp is where a parser gave up, counted from 1, and what it says.
type gaveUp struct {
	line, column int
	says         string
	built        bool // it is YAML, and what it says cannot be
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

// hint is what is likely behind a complaint that no cause below explains.
func (g gaveUp) hint() string {
	switch {
	case strings.Contains(g.says, "expected ':'"):
		return "a line here is neither key: value nor - item; is a colon missing, or the space behind it?"
	case strings.Contains(g.says, "did not find expected"):
		return "this line, or one above it, is indented differently from the rest of its block"
	}
	return ""
}

// impossible is the message for what is YAML and cannot be built, and a hint.
func (g gaveUp) impossible() (message, hint string) {
	if m := twice.FindStringSubmatch(g.says); m != nil {
		return "key " + m[1] + " stands here twice", "it is at line " + m[2] + " already; keep one of them"
	}
	if strings.HasPrefix(g.says, "cannot construct") && strings.Contains(g.says, "into map") {
		return "not an object of keys and values", "write key: value"
	}
	return g.says, ""
}

// slip is a mistake that people make in YAML.
type slip struct {
	line, column int
	message      string
	hint         string
}

// masked is a text in which quotes, comments and block texts are blotted out, so that
// what is left has its meaning from YAML. Lines keep their columns.
type masked struct {
	lines []string // as they were written
	plain []string // blotted out
	gave  gaveUp

	unclosed *slip // a quote without an end
	after    *slip // text after a closing quote
}

const blot = '\x01'

var blockText = regexp.MustCompile(`(?:^|[:\-] +)[|>][-+0-9]* *$`)

// maskYAML blots out what is no syntax.
func maskYAML(text string, gave gaveUp) masked {
	y := masked{lines: strings.Split(strings.ReplaceAll(strings.TrimPrefix(text, "\ufeff"), "\r\n", "\n"), "\n"),
		gave: gave}
	quote, began, block := byte(0), slip{}, -1
	for n, line := range y.lines {
		out := []byte(line)
		indent := len(line) - len(strings.TrimLeft(line, " "))
		if block >= 0 && quote == 0 && (strings.TrimSpace(line) == "" || indent > block) {
			y.plain = append(y.plain, strings.Repeat(string(blot), len(line)))
			continue
		}
		block = -1
		for i := 0; i < len(out); i++ {
			c := line[i]
			switch {
			case quote == '"' && c == '\\' && i+1 < len(out):
				out[i], out[i+1] = blot, blot
				i++
			case quote == '\'' && strings.HasPrefix(line[i:], "''"):
				out[i], out[i+1] = blot, blot
				i++
			case quote != 0 && c == quote:
				out[i], quote = blot, 0
				if rest := line[i+1:]; rest != "" && !strings.ContainsRune(" \t,]}:", rune(rest[0])) &&
					y.after == nil && n+1 >= gave.line-1 {
					y.after = &slip{line: n + 1, column: i + 2}
				} else if rest := strings.TrimLeft(rest, " \t"); rest != "" && !strings.ContainsRune(
					",]}:#", rune(rest[0])) && y.after == nil && n+1 >= gave.line-1 {
					y.after = &slip{line: n + 1, column: len(line) - len(rest) + 1}
				}
			case quote != 0:
				out[i] = blot
			case (c == '"' || c == '\'') && begins(out[:i]):
				quote, began, out[i] = c, slip{line: n + 1, column: i + 1}, blot
			case c == '#' && (i == 0 || line[i-1] == ' ' || line[i-1] == '\t'):
				for ; i < len(out); i++ {
					out[i] = ' '
				}
			}
		}
		y.plain = append(y.plain, string(out))
		if quote == 0 && blockText.Match(out) {
			block = indent
		}
	}
	if quote != 0 {
		y.unclosed = &began
	}
	return y
}

// begins reports whether a value may begin after what stands before it on its line.
func begins(before []byte) bool {
	s := strings.TrimRight(string(before), " \t")
	if s == "" {
		return true
	}
	switch s[len(s)-1] {
	case '[', '{', ',':
		return true
	case ':', '-', '?':
		return len(s) < len(before) // with a space behind it
	}
	return false
}

// near visits the line at which the parser gave up, the one above it that says
// something, and the next one, until look is true.
func (y masked) near(look func(n int, plain string) bool) {
	at := min(y.gave.line, len(y.plain)) - 1
	for _, n := range []int{at, y.above(at), at + 1} {
		if n >= 0 && n < len(y.plain) && look(n, y.plain[n]) {
			return
		}
	}
}

// above is the last line before n that says something, or -1.
func (y masked) above(n int) int {
	for n--; n >= 0; n-- {
		if s := strings.TrimSpace(y.plain[n]); s != "" && s[0] != blot && s != "---" {
			return n
		}
	}
	return -1
}

// match is the slip at the first match of what near the line.
func (y masked) match(what *regexp.Regexp, group int, message, hint string) (s slip, ok bool) {
	y.near(func(n int, plain string) bool {
		at := what.FindStringSubmatchIndex(plain)
		if at == nil || at[2*group] < 0 {
			return false
		}
		word := y.lines[n][at[2*group]:at[2*group+1]]
		s, ok = slip{n + 1, column(y.lines[n], at[2*group]), strings.ReplaceAll(message, "%s", word),
			strings.ReplaceAll(hint, "%s", word)}, true
		return true
	})
	return s, ok
}

// column counts characters, as editors do.
func column(line string, at int) int { return utf8.RuneCountInString(line[:at]) + 1 }

func (y masked) encoding() (slip, bool) {
	for n, line := range y.lines {
		for i, r := range line {
			switch {
			case r == 0:
				return slip{n + 1, column(line, i), "a NUL byte: this is UTF-16, or no text at all",
					"save the file as UTF-8"}, true
			case r == utf8.RuneError && !strings.HasPrefix(line[i:], string(utf8.RuneError)):
				return slip{n + 1, column(line, i), fmt.Sprintf("the byte 0x%02x is not UTF-8", line[i]),
					"save the file as UTF-8"}, true
			case unicode.IsControl(r) && r != '\t' && r != '\r' && r != '\u0085':
				return slip{n + 1, column(line, i), fmt.Sprintf("the control character %U", r), "take it out"}, true
			}
		}
	}
	return slip{}, false
}

var (
	tabbed    = regexp.MustCompile(`^ *(?:- +)*(?:-?)(\t)`)
	templated = regexp.MustCompile(`(\{\{)`)
	indicator = regexp.MustCompile("(?:^ *|[:-] +|[,\\[{] *)([@%`*])")
	anchored  = regexp.MustCompile(`(?:^ *|[:-] +|[,\[{] *)([&!])`)
	unspaced  = regexp.MustCompile(`^[ ]*(?:- +)*[A-Za-z_][A-Za-z0-9_.]*(:)[^\s/:]`)
	undashed  = regexp.MustCompile(`^ *(-)[A-Za-z_][A-Za-z0-9_.]*:(?:\s|$)`)
	colons    = regexp.MustCompile(`^ *(?:- +)*[A-Za-z_][A-Za-z0-9_.-]*: +[^\s\[{|>][^\[{]*?(:)(?:\s|$)`)
)

func (y masked) tab() (slip, bool) {
	return y.match(tabbed, 1, "a tab; YAML wants spaces", "indent by spaces, as the lines around it are")
}

func (y masked) template() (slip, bool) {
	return y.match(templated, 1, "{{ begins a template that nothing has filled in",
		"render the file first, or put the value in quotes")
}

func (y masked) indicator() (slip, bool) {
	const message, hint = "a value that begins with %s is no text unless it stands in quotes",
		`write it in quotes, as "%s…"`
	if strings.Contains(y.gave.says, "anchor") || strings.Contains(y.gave.says, "tag") {
		if s, ok := y.match(anchored, 1, message, hint); ok {
			return s, true
		}
	}
	return y.match(indicator, 1, message, hint)
}

func (y masked) escape() (slip, bool) {
	if !strings.Contains(y.gave.says, "escape") {
		return slip{}, false
	}
	return slip{y.gave.line, y.gave.column, `a backslash in "…" begins an escape, and this one is not known`,
		"use single quotes: '…'"}, true
}

func (y masked) comment() (slip, bool) {
	if !strings.Contains(y.gave.says, "comment without") {
		return slip{}, false
	}
	return slip{y.gave.line, y.gave.column, "a comment begins right after a value", "put a space before #"}, true
}

func (y masked) quote() (slip, bool) {
	if y.after != nil && y.after.line <= y.gave.line && !strings.Contains(y.gave.says, "',' or") {
		return slip{y.after.line, y.after.column, "text after a closing quote",
			"write a quote inside of '…' twice, or use the other kind of quotes around all of it"}, true
	}
	if y.unclosed != nil {
		return slip{y.unclosed.line, y.unclosed.column, "the quote that begins here has no end",
			"close it; a quote inside of '…' is written twice"}, true
	}
	return slip{}, false
}

func (y masked) space() (slip, bool) {
	if s, ok := y.match(unspaced, 1, "a space is missing after the colon", "write key: value"); ok {
		return s, true
	}
	return y.match(undashed, 1, "a space is missing after the dash", "write - key: value")
}

func (y masked) colon() (slip, bool) {
	if !strings.Contains(y.gave.says, "mapping values") {
		return slip{}, false
	}
	return y.match(colons, 1, "a second colon on the line: what stands before it would be a key",
		"put the value in quotes")
}

// bracket finds brackets that are not closed where the parser gave up, and those that
// close nothing.
func (y masked) bracket() (slip, bool) {
	var open []slip
	for n, line := range y.plain {
		if n+1 > y.gave.line {
			break
		}
		for i, c := range line {
			if n+1 == y.gave.line && i+1 >= y.gave.column && len(open) > 0 && strings.Contains(y.gave.says, "',' or") {
				break
			}
			switch {
			case (c == '[' || c == '{') && (len(open) > 0 || begins([]byte(line[:i]))):
				open = append(open, slip{n + 1, i + 1, string(c), ""})
			case (c == ']' || c == '}') && len(open) > 0:
				open = open[:len(open)-1]
			case (c == ']' || c == '}') && begins([]byte(line[:i])):
				return slip{n + 1, column(y.lines[n], i), fmt.Sprintf("%c closes nothing", c), ""}, true
			}
		}
	}
	if len(open) == 0 {
		return slip{}, false
	}
	last := open[len(open)-1]
	end := map[string]string{"[": "]", "{": "}"}[last.message]
	return slip{y.gave.line, y.gave.column,
		fmt.Sprintf("a comma is missing here, or the %s of the %s at line %d, column %d", end, last.message, last.line,
			last.column),
		"separate members by commas, and close each bracket"}, true
}

// indentation compares the line with those above it.
func (y masked) indentation() (slip, bool) {
	at := min(y.gave.line, len(y.plain)) - 1
	if strings.TrimSpace(y.plain[at]) == "" {
		at = y.above(at)
	}
	up := y.above(at)
	if at < 0 || up < 0 {
		return slip{}, false
	}
	is, stack := depths(y.plain[at])[0], y.levels(at)
	for _, d := range stack {
		if d == is {
			item := strings.HasPrefix(strings.TrimSpace(y.plain[at]), "-")
			if item != strings.HasPrefix(strings.TrimSpace(y.plain[up]), "-") && depths(y.plain[up])[0] == is {
				return slip{at + 1, is + 1, "a list item and a key: value stand at the same depth",
					"a list is made of items alone; indent what belongs to an item"}, true
			}
			return slip{}, false
		}
	}
	if deepest := stack[len(stack)-1]; is > deepest {
		return slip{at + 1, is + 1, fmt.Sprintf("indented by %s, and line %d above by %d has a value already",
			spaces(is), up+1, deepest),
			"indent what belongs together by the same number of spaces"}, true
	}
	words := make([]string, len(stack))
	for i, d := range stack {
		words[i] = strconv.Itoa(d)
	}
	return slip{at + 1, is + 1, fmt.Sprintf("indented by %s, differently from the lines above it: they are by %s",
		spaces(is), strings.Join(words, " or ")),
		"indent what belongs together by the same number of spaces"}, true
}

func spaces(n int) string {
	if n == 1 {
		return "1 space"
	}
	return fmt.Sprintf("%d spaces", n)
}

// levels are the depths that are open before line n, outermost first.
func (y masked) levels(n int) []int {
	open := []int{}
	for _, line := range y.plain[:n] {
		if s := strings.TrimSpace(line); s == "" || s[0] == blot || s == "---" {
			continue
		}
		d := depths(line)
		for len(open) > 0 && open[len(open)-1] >= d[0] {
			open = open[:len(open)-1]
		}
		open = append(open, d...)
	}
	return open
}

// depths are the columns, from 0, at which a line begins: that of each dash and that of
// what comes after it.
func depths(line string) []int {
	all := []int{}
	for i := 0; i < len(line); i++ {
		switch {
		case line[i] == ' ' || line[i] == '\t':
		case line[i] == '-' && (i+1 == len(line) || line[i+1] == ' '):
			all = append(all, i)
		default:
			return append(all, i)
		}
	}
	return append(all, len(all))
}
