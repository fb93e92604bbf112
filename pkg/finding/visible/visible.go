// Package visible writes text that others may have influenced, so that people see what is
// really there: a log line or a line on a terminal shows every character, in its true
// order, and no part of it is a command to the terminal.
//
// An invisible character is written as in JSON, \u202e, so that a line of JSON stays a line
// of JSON and means the same. Nothing outside this package escapes text for display.
package visible

import (
	"fmt"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

// Text escapes everything in s that readers could not see or would misread, including line
// feeds and tabs.
func Text(s string) string {
	out, rest := appendVisible(nil, []byte(s), "")
	return string(appendBytes(out, rest))
}

// Writer escapes what is written to it. It leaves line feeds, tabs and the colours of our
// own commands alone.
//
// A character may be split between two writes. Writes of one Writer must not overlap.
type Writer struct {
	out  io.Writer
	rest []byte // the start of a character that the next write completes
}

// NewWriter writes to out.
func NewWriter(out io.Writer) *Writer { return &Writer{out: out} }

// Write escapes p. It reports all of p as written unless the underlying writer fails.
func (w *Writer) Write(p []byte) (int, error) {
	text := p
	if len(w.rest) > 0 {
		text = append(w.rest, p...)
	}
	if plain(text) {
		w.rest = nil
		_, err := w.out.Write(text)
		return written(p, err)
	}
	escaped, rest := appendVisible(make([]byte, 0, len(text)+64), text, "\n\t")
	w.rest = append([]byte(nil), rest...)
	_, err := w.out.Write(escaped)
	return written(p, err)
}

func written(p []byte, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// plain reports whether text is ASCII with nothing to escape, as nearly every line is.
func plain(text []byte) bool {
	for _, c := range text {
		if c < ' ' && c != '\n' && c != '\t' || c >= 0x7f {
			return false
		}
	}
	return true
}

// appendVisible appends text to out. It returns an incomplete character at the end in rest.
func appendVisible(out, text []byte, allowed string) (_, rest []byte) {
	for len(text) > 0 {
		if n := colour(text); n > 0 && allowed != "" {
			out, text = append(out, text[:n]...), text[n:]
			continue
		}
		if !utf8.FullRune(text) {
			return out, text
		}
		c, n := utf8.DecodeRune(text)
		switch {
		case c == utf8.RuneError && n == 1:
			out = appendBytes(out, text[:1])
		case c < ' ' && !contains(allowed, c) || hidden(c):
			out = appendEscape(out, c)
		default:
			out = append(out, text[:n]...)
		}
		text = text[n:]
	}
	return out, nil
}

func contains(allowed string, c rune) bool {
	for _, a := range allowed {
		if a == c {
			return true
		}
	}
	return false
}

// appendBytes appends bytes that are not UTF-8 one by one: an eight-bit terminal would read
// C1 commands in them.
func appendBytes(out, text []byte) []byte {
	for _, b := range text {
		out = appendEscape(out, rune(b))
	}
	return out
}

func appendEscape(out []byte, c rune) []byte {
	if c > 0xffff {
		high, low := utf16.EncodeRune(c)
		return fmt.Appendf(out, `\u%04x\u%04x`, high, low)
	}
	return fmt.Appendf(out, `\u%04x`, c)
}

// hidden reports whether c is a control character beyond ASCII, changes the direction of
// its neighbours, ends a line, or has no width at all.
func hidden(c rune) bool {
	switch {
	case 0x7f <= c && c <= 0x9f, // DEL, C1
		c == 0x00ad, c == 0x061c, c == 0x180e, // soft hyphen, Arabic letter mark, Mongolian separator
		0x200b <= c && c <= 0x200f,   // no width, marks of direction
		0x2028 <= c && c <= 0x202e,   // separators of lines and paragraphs, embeddings, overrides
		0x2060 <= c && c <= 0x206f,   // no width, isolates, deprecated
		c == 0xfeff,                  // byte order mark
		0xfff9 <= c && c <= 0xfffb,   // annotations
		0xe0000 <= c && c <= 0xe007f, // tags
		0xd800 <= c && c <= 0xdfff:   // halves of surrogates
		return true
	}
	return false
}

// colour returns the length of the escape sequence at the beginning of text if our own
// commands use it to set a colour. None of those hides, moves or removes anything.
func colour(text []byte) int {
	for _, s := range [...]string{"\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[34m"} {
		if len(text) >= len(s) && string(text[:len(s)]) == s {
			return len(s)
		}
	}
	return 0
}
