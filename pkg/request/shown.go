package request

import (
	"fmt"
	"strings"
)

// maxAsked limits how much of the path of a refused request is shown.
const maxAsked = 256

// asked returns the path of a request target for people who need to find the caller: up to
// the query or fragment, cut, without userinfo, tokens and the values of parameters, and
// with everything but visible ASCII escaped.
func asked(target string) string {
	if len(target) > 4*maxAsked { // the most that is read before secrets are taken out
		target = target[:4*maxAsked]
	}
	if i := strings.IndexAny(target, "?#"); i >= 0 {
		target = target[:i]
	}
	var b strings.Builder
	if _, rest, ok := strings.Cut(target, "://"); ok { // absolute-form
		authority, _, _ := strings.Cut(rest, "/")
		if i := strings.LastIndexByte(authority, '@'); i >= 0 {
			b.WriteString("[…]")
			target = rest[i:]
		}
	}
	for len(target) > 0 && b.Len() < maxAsked {
		n := secret(target)
		if n > 0 {
			b.WriteString("[…]")
			target = target[n:]
			continue
		}
		switch c := target[0]; {
		case c == '=':
			b.WriteString("=")
			if n = value(target[1:]); n > 0 {
				b.WriteString("[…]")
			}
			target = target[n:]
		case c <= ' ' || c > '~':
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
		target = target[1:]
	}
	if len(target) > 0 {
		b.WriteString("…")
	}
	return b.String()
}

// value returns the length of the value of a parameter at the beginning of s.
func value(s string) int {
	if i := strings.IndexAny(s, "/;&"); i >= 0 {
		return i
	}
	return len(s)
}

// secret returns how many bytes at the beginning of s look like a JSON Web Token, which
// begins with the base64url of `{"`.
func secret(s string) int {
	if !strings.HasPrefix(s, "eyJ") {
		return 0
	}
	n := 0
	for n < len(s) && (tokenByte(s[n]) || s[n] == '.') {
		n++
	}
	if n < 20 {
		return 0
	}
	return n
}
