package finding

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// slip describes a mistake that people make in YAML.
type slip struct {
	line, column int
	message      string
	hint         string
}

func (y masked) encoding() (slip, bool) {
	for n, line := range y.lines {
		for i, r := range line {
			switch {
			case r == 0:
				return slip{n + 1, column(line, i), "a NUL byte: this is UTF-16, or not a text at all",
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
	const message, hint = "a value that begins with %s is not a text unless it is in quotes",
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

// bracket finds brackets that are still open where the parser gave up, and brackets that
// close nothing.
func (y masked) bracket() (slip, bool) {
	open, stray := y.brackets()
	if stray != nil {
		return *stray, true
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

// brackets returns the brackets that are open where the parser gave up, outermost first. If
// an earlier bracket closes nothing, it returns that one instead.
func (y masked) brackets() (open []slip, stray *slip) {
	for n, line := range y.plain[:min(y.gave.line, len(y.plain))] {
		for i, c := range line {
			if len(open) > 0 && y.stopped(n, i) {
				break
			}
			free := len(open) == 0 // outside brackets they are syntax only where a value begins
			switch {
			case free && !begins([]byte(line[:i])):
			case c == '[' || c == '{':
				open = append(open, slip{n + 1, i + 1, string(c), ""})
			case free && (c == ']' || c == '}'):
				return nil, &slip{n + 1, column(y.lines[n], i), fmt.Sprintf("%c closes nothing", c),
					"remove it, or put the value in quotes"}
			case c == ']' || c == '}':
				open = open[:len(open)-1]
			}
		}
	}
	return open, nil
}

// stopped reports whether the parser gave up before a position because a comma is missing.
func (y masked) stopped(n, i int) bool {
	return n+1 == y.gave.line && i+1 >= y.gave.column && strings.Contains(y.gave.says, "',' or")
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
				return slip{at + 1, is + 1, "a list item and a key: value are at the same depth",
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

// levels returns the indentation depths that are open before line n, outermost first.
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

// depths returns the columns, from 0, at which a line begins: the column of each dash and
// of the text after it.
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
