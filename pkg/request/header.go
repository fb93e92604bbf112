package request

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Headers maps lower-case names to values in the order sent. If the proxy merged repeated
// lines into one value, that value looks the same as one line with commas.
type Headers map[string][]string

// Values returns the values of name, which must be in lower case, or nil.
func (h Headers) Values(name string) []string { return h[name] }

// Get returns the values of name joined by ",", or empty (RFC 9110 §5.3).
func (h Headers) Get(name string) string {
	v := h[name]
	if len(v) == 1 {
		return v[0]
	}
	return strings.Join(v, ",")
}

// Has reports whether name was sent at all, if only empty.
func (h Headers) Has(name string) bool { return len(h[name]) > 0 }

func headers(fields []Field) Headers {
	h := make(Headers, len(fields))
	for _, f := range fields {
		name := strings.ToLower(f.Name)
		h[name] = append(h[name], text(f.Value))
	}
	return h
}

// text replaces each byte that is not UTF-8 by "!", as Envoy does when it sends headers as
// a map, so that both encodings read the same.
func text(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		c, size := utf8.DecodeRuneInString(s)
		if c == utf8.RuneError && size == 1 {
			b.WriteByte('!')
		} else {
			b.WriteString(s[:size])
		}
		s = s[size:]
	}
	return b.String()
}

// printable cuts s to limit bytes and replaces everything but visible ASCII, for values
// that are only ever shown.
func printable(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit]
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return strings.Map(func(c rune) rune {
				if c <= ' ' || c > '~' {
					return '?'
				}
				return c
			}, s)
		}
	}
	return s
}

// Spelling returns name as a careless reader sees it: in lower case, with "_" and "." read
// as "-". CGI and its descendants turn all three into the same variable.
func Spelling(name string) string {
	if !strings.ContainsAny(name, "_.ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		return name
	}
	return strings.Map(func(c rune) rune {
		if c == '_' || c == '.' {
			return '-'
		}
		return c
	}, strings.ToLower(name))
}

// checkSize refuses more headers than a policy should have to look through.
func checkSize(fields []Field, opt Options) error {
	if limit := or(opt.MaxLines, DefaultMaxLines); len(fields) > limit {
		return ambiguous("there are more than %d header lines (limits.header_lines)", limit)
	}
	limit := or(opt.MaxHeaders, DefaultMaxHeaders)
	size := 0
	for _, f := range fields {
		size += len(f.Name) + len(f.Value)
	}
	if size > limit {
		return ambiguous("the headers are larger than %d bytes (limits.headers)", limit)
	}
	return nil
}

// checkOverrides refuses headers by which a client asks the upstream for a method or path
// other than the one that we judge.
func checkOverrides(h Headers, opt Options) error {
	for name := range h {
		if len(name) < len("x-http-method") || name[0] != 'x' {
			continue
		}
		switch Spelling(name) {
		case "x-http-method", "x-http-method-override", "x-method-override":
			if !opt.AllowMethodOverride {
				return ambiguous("a header overrides the method (request.allow: method_override)")
			}
		case "x-original-url", "x-original-uri", "x-rewrite-url":
			if !opt.AllowURLOverride {
				return ambiguous("a header overrides the path (request.allow: url_override)")
			}
		}
	}
	return nil
}

// checkRepeated refuses a credential that was sent twice. Envoy joins two Authorization
// lines with a comma before anyone sees them. One reader would then use the first, and
// another the last. Other schemes than ours use commas of their own.
func checkRepeated(h Headers) error {
	for _, name := range [...]string{"authorization", "dpop"} {
		v := h[name]
		if len(v) > 1 || len(v) == 1 && strings.Contains(v[0], ",") && (name != "authorization" || oursAmong(v[0])) {
			return fmt.Errorf("%w: %s", ErrRepeated, name)
		}
	}
	return nil
}

// oursAmong reports whether an element of a list begins with one of our schemes, whatever
// follows it.
func oursAmong(list string) bool {
	for element := range strings.SplitSeq(list, ",") {
		element = strings.TrimLeft(element, " \t")
		end := 0
		for end < len(element) && tokenByte(element[end]) {
			end++
		}
		if OurScheme(element[:end]) {
			return true
		}
	}
	return false
}

// OurScheme reports whether we verify credentials of an authentication scheme.
func OurScheme(scheme string) bool {
	return strings.EqualFold(scheme, "Bearer") || strings.EqualFold(scheme, "DPoP")
}

// tokenByte reports whether c may occur in a token (RFC 9110 §5.6.2).
func tokenByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// IsToken reports whether s is a token of RFC 9110 §5.6.2, as header names are.
func IsToken(s string) bool {
	for i := range len(s) {
		if !tokenByte(s[i]) {
			return false
		}
	}
	return s != ""
}
