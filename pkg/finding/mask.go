package finding

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// masked holds a text with quotes, comments and block scalars blotted out, so that only
// YAML syntax is left. Lines keep their columns.
type masked struct {
	lines []string // as they were written
	plain []string // blotted out
	gave  gaveUp

	unclosed *slip // a quote without an end
	after    *slip // text after a closing quote
}

const blot = '\x01'

var blockText = regexp.MustCompile(`(?:^|[:\-] +)[|>][-+0-9]* *$`)

// maskYAML blots out everything that is not syntax.
func maskYAML(text string, gave gaveUp) masked {
	text = strings.ReplaceAll(strings.TrimPrefix(text, "\ufeff"), "\r\n", "\n")
	m := masker{masked: masked{lines: strings.Split(text, "\n"), gave: gave}, block: -1}
	for n, line := range m.lines {
		m.plain = append(m.plain, m.line(n, line))
	}
	if m.quote != 0 {
		m.unclosed = &m.began
	}
	return m.masked
}

// masker remembers the state in which the next line begins.
type masker struct {
	masked
	quote byte // the open quote, or 0
	began slip // where it was opened
	block int  // the indentation above a block scalar, or -1
}

// line blots out one line.
func (m *masker) line(n int, line string) string {
	indent := len(line) - len(strings.TrimLeft(line, " "))
	if m.block >= 0 && m.quote == 0 && (strings.TrimSpace(line) == "" || indent > m.block) {
		return strings.Repeat(string(blot), len(line))
	}
	m.block = -1
	out := []byte(line)
	for i := 0; i < len(out); {
		if m.quote == 0 {
			i += m.plainText(n, line, out, i)
		} else {
			i += m.quoted(n, line, out, i)
		}
	}
	if m.quote == 0 && blockText.Match(out) {
		m.block = indent
	}
	return string(out)
}

// plainText handles text outside quotes, and returns how many bytes it consumed.
func (m *masker) plainText(n int, line string, out []byte, i int) int {
	switch c := line[i]; {
	case (c == '"' || c == '\'') && begins(out[:i]):
		m.quote, m.began, out[i] = c, slip{line: n + 1, column: i + 1}, blot
	case c == '#' && (i == 0 || line[i-1] == ' ' || line[i-1] == '\t'):
		copy(out[i:], strings.Repeat(" ", len(out)-i))
		return len(out) - i
	}
	return 1
}

// quoted blots out text in quotes, and returns how many bytes it consumed.
func (m *masker) quoted(n int, line string, out []byte, i int) int {
	c := line[i]
	out[i] = blot
	switch {
	case m.quote == '"' && c == '\\' && i+1 < len(out), m.quote == '\'' && strings.HasPrefix(line[i:], "''"):
		out[i+1] = blot
		return 2
	case c == m.quote:
		m.quote = 0
		m.behind(n, line, i+1)
	}
	return 1
}

// behind remembers text that follows a closing quote, directly or after spaces, near where
// the parser gave up.
func (m *masker) behind(n int, line string, at int) {
	if m.after != nil || n+1 < m.gave.line-1 {
		return
	}
	rest := line[at:]
	spaced := strings.TrimLeft(rest, " \t")
	switch {
	case rest != "" && !strings.ContainsRune(" \t,]}:", rune(rest[0])):
		m.after = &slip{line: n + 1, column: at + 1}
	case spaced != "" && !strings.ContainsRune(",]}:#", rune(spaced[0])):
		m.after = &slip{line: n + 1, column: len(line) - len(spaced) + 1}
	}
}

// begins reports whether a value may begin here, given the text before it on its line.
func begins(before []byte) bool {
	s := strings.TrimRight(string(before), " \t")
	if s == "" {
		return true
	}
	switch s[len(s)-1] {
	case '[', '{', ',':
		return true
	case ':', '-', '?':
		return len(s) < len(before) // with a space after it
	}
	return false
}

// near visits the line where the parser gave up, the last line above it with content, and
// the line after it, until look returns true.
func (y masked) near(look func(n int, plain string) bool) {
	at := min(y.gave.line, len(y.plain)) - 1
	for _, n := range []int{at, y.above(at), at + 1} {
		if n >= 0 && n < len(y.plain) && look(n, y.plain[n]) {
			return
		}
	}
}

// above returns the last line before n with content, or -1.
func (y masked) above(n int) int {
	for n--; n >= 0; n-- {
		if s := strings.TrimSpace(y.plain[n]); s != "" && s[0] != blot && s != "---" {
			return n
		}
	}
	return -1
}

// match returns the slip at the first match of the expression what near the line.
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
