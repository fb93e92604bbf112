package credential

import "strings"

// CookiePrefix begins the name of every cookie of ours. Browsers accept a name with __Host-
// only from this very host, over https, and for all of its paths (RFC 6265bis §4.1.3).
const CookiePrefix = "__Host-stepward"

// IsOwnCookie reports whether a cookie, or its name, is one of ours. Case does not count:
// some browsers hold the prefix of a name to its rules in any case.
func IsOwnCookie(cookie string) bool {
	return len(cookie) >= len(CookiePrefix) && strings.EqualFold(cookie[:len(CookiePrefix)], CookiePrefix)
}
