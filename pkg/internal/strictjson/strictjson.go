// Package strictjson decodes only JSON that no two readers can read differently: UTF-8, no
// duplicate member at any depth however it is escaped, no half of a surrogate pair, nothing
// after the value, and no excessive nesting (RFC 8259, RFC 8725 §3.7, RFC 7519 §4). The
// standard library's decoder takes the last of two members, and replaces broken characters.
//
// Numbers are limited as well: seven bytes can write a number that takes seconds to add,
// and a number in the range of a double takes a thousand times as long as one of fifteen
// digits. Integers of sixty digits pass, and so does anything that people measure or count.
//
// It has its own decoder because every token passes through it: the decoder looks at each
// byte once. Everything that it accepts the standard library also accepts and reads the
// same way; a fuzz test checks that.
package strictjson

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// The limits of the decoder.
const (
	MaxDepth    = 32 // objects and arrays within one another
	MaxNumber   = 64 // bytes of a number
	MaxExponent = 64 // of a number, positive and negative
)

// A number that is not short counts as several values, because comparing two of them takes
// that much longer.
const (
	shortNumber   = 15 // bytes
	longNumberIsA = 16
)

// ErrDuplicate says that a member occurs twice in one object: one reader takes the first,
// and another the last.
var ErrDuplicate = errors.New("strictjson: a member stands twice in one object")

// ErrTooLarge says that JSON exceeds one of the limits. More precise errors wrap it.
var ErrTooLarge = errors.New("strictjson: too large")

// ErrNumber says that a number exceeds [MaxNumber] or [MaxExponent]. It wraps
// [ErrTooLarge].
var ErrNumber = fmt.Errorf("%w: a number of more than %d bytes, or with an exponent beyond %d", ErrTooLarge, MaxNumber,
	MaxExponent)

// The other errors. None of them quotes the text.
var (
	errEncoding = errors.New("strictjson: not valid UTF-8")
	errTrailing = errors.New("strictjson: something follows the value")
	errObject   = errors.New("strictjson: not an object")
	errSyntax   = errors.New("strictjson: malformed")
	errDepth    = fmt.Errorf("%w: nested more than %d deep", ErrTooLarge, MaxDepth)
	errValues   = fmt.Errorf("%w: too many values", ErrTooLarge)
)

// Decode returns the JSON value in b: nil, bool, [json.Number], string, []any or
// map[string]any.
func Decode(b []byte) (any, error) { return DecodeSome(b, math.MaxInt) }

// DecodeSome decodes JSON that holds at most so many values. A client's text is limited by
// count, too, since a value takes a hundred times the memory of its two bytes. A number of
// more than fifteen bytes counts as sixteen values.
func DecodeSome(b []byte, values int) (any, error) {
	if !utf8.Valid(b) {
		return nil, errEncoding
	}
	d := decoder{s: string(b), left: values} // one copy, which all strings share
	d.space()
	v, err := d.value(0)
	if err != nil {
		return nil, err
	}
	if d.space(); d.i != len(d.s) {
		return nil, errTrailing
	}
	return v, nil
}

// Object returns the JSON object in b; any other value is an error.
func Object(b []byte) (map[string]any, error) {
	v, err := Decode(b)
	if err != nil {
		return nil, err
	}
	o, ok := v.(map[string]any)
	if !ok {
		return nil, errObject
	}
	return o, nil
}

// decoder reads s from i on, and values while there are some left.
type decoder struct {
	s    string
	i    int
	left int
}

// next returns the current byte, or 0 at the end; a NUL is not allowed in JSON either.
func (d *decoder) next() byte {
	if d.i < len(d.s) {
		return d.s[d.i]
	}
	return 0
}

func (d *decoder) space() {
	for d.i < len(d.s) {
		switch d.s[d.i] {
		case ' ', '\t', '\n', '\r':
			d.i++
		default:
			return
		}
	}
}

func (d *decoder) value(depth int) (any, error) {
	if d.left--; d.left < 0 {
		return nil, errValues
	}
	switch c := d.next(); {
	case c == '{':
		return d.object(depth + 1)
	case c == '[':
		return d.array(depth + 1)
	case c == '"':
		return d.text()
	case c == '-' || '0' <= c && c <= '9':
		return d.number()
	case d.word("true"):
		return true, nil
	case d.word("false"):
		return false, nil
	case d.word("null"):
		return nil, nil
	}
	return nil, errSyntax
}

func (d *decoder) word(w string) bool {
	if len(d.s)-d.i < len(w) || d.s[d.i:d.i+len(w)] != w {
		return false
	}
	d.i += len(w)
	return true
}

func (d *decoder) object(depth int) (any, error) {
	if depth > MaxDepth {
		return nil, errDepth
	}
	o := map[string]any{}
	d.i++
	if d.space(); d.next() == '}' {
		d.i++
		return o, nil
	}
	for {
		if d.next() != '"' {
			return nil, errSyntax
		}
		name, err := d.text()
		if err != nil {
			return nil, err
		}
		if _, twice := o[name]; twice {
			return nil, ErrDuplicate
		}
		if d.space(); d.next() != ':' {
			return nil, errSyntax
		}
		d.i++
		d.space()
		if o[name], err = d.value(depth); err != nil {
			return nil, err
		}
		if more, err := d.more('}'); err != nil || !more {
			return o, err
		}
	}
}

func (d *decoder) array(depth int) (any, error) {
	if depth > MaxDepth {
		return nil, errDepth
	}
	a := []any{}
	d.i++
	if d.space(); d.next() == ']' {
		d.i++
		return a, nil
	}
	for {
		v, err := d.value(depth)
		if err != nil {
			return nil, err
		}
		a = append(a, v)
		if more, err := d.more(']'); err != nil || !more {
			return a, err
		}
	}
}

// more reads the comma before another element, or the bracket that ends them.
func (d *decoder) more(end byte) (bool, error) {
	d.space()
	switch d.next() {
	case ',':
		d.i++
		d.space()
		return true, nil
	case end:
		d.i++
		return false, nil
	}
	return false, errSyntax
}

// number reads the grammar of RFC 8259 §6.
func (d *decoder) number() (any, error) {
	begin := d.i
	if d.next() == '-' {
		d.i++
	}
	if d.next() == '0' {
		d.i++
	} else if !d.digits() {
		return nil, errSyntax
	}
	if d.next() == '.' {
		if d.i++; !d.digits() {
			return nil, errSyntax
		}
	}
	if c := d.next(); c == 'e' || c == 'E' {
		if d.i++; d.next() == '+' || d.next() == '-' {
			d.i++
		}
		exponent := d.i
		if !d.digits() {
			return nil, errSyntax
		}
		digits := strings.TrimLeft(d.s[exponent:d.i], "0")
		if n, _ := strconv.Atoi(digits); len(digits) > 2 || n > MaxExponent {
			return nil, ErrNumber
		}
	}
	if d.i-begin > MaxNumber {
		return nil, ErrNumber
	}
	if d.i-begin > shortNumber {
		if d.left -= longNumberIsA - 1; d.left < 0 {
			return nil, errValues
		}
	}
	return json.Number(d.s[begin:d.i]), nil
}

func (d *decoder) digits() bool {
	begin := d.i
	for c := d.next(); '0' <= c && c <= '9'; c = d.next() {
		d.i++
	}
	return d.i > begin
}

// text reads a string. One without escapes is a part of the text.
func (d *decoder) text() (string, error) {
	d.i++
	for begin := d.i; d.i < len(d.s); d.i++ {
		switch c := d.s[d.i]; {
		case c == '"':
			d.i++
			return d.s[begin : d.i-1], nil
		case c == '\\':
			return d.escaped(begin)
		case c < ' ':
			return "", errSyntax
		}
	}
	return "", errSyntax
}

// escaped continues to read a string that began at begin, from its first escape.
func (d *decoder) escaped(begin int) (string, error) {
	out := append(make([]byte, 0, 2*(d.i-begin)+16), d.s[begin:d.i]...)
	for d.i < len(d.s) {
		c := d.s[d.i]
		d.i++
		switch {
		case c == '"':
			return string(out), nil
		case c < ' ':
			return "", errSyntax
		case c != '\\':
			out = append(out, c)
			continue
		}
		r, err := d.escape()
		if err != nil {
			return "", err
		}
		out = utf8.AppendRune(out, r)
	}
	return "", errSyntax
}

// escape reads the characters after a backslash. Half of a surrogate pair is not a
// character.
func (d *decoder) escape() (rune, error) {
	c := d.next()
	d.i++
	switch c {
	case '"', '\\', '/':
		return rune(c), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
		r, ok := d.hex()
		if ok && utf16.IsSurrogate(r) {
			if ok = d.word(`\u`); ok {
				var low rune
				low, ok = d.hex()
				r = utf16.DecodeRune(r, low)
				ok = ok && r != utf8.RuneError
			}
		}
		if ok {
			return r, nil
		}
	}
	return 0, errSyntax
}

// hex reads four hexadecimal digits.
func (d *decoder) hex() (rune, bool) {
	if len(d.s)-d.i < 4 {
		return 0, false
	}
	var r rune
	for range 4 {
		c := d.s[d.i]
		d.i++
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case 'A' <= c && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}
