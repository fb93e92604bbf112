package credential

import "strings"

// CookiePrefix begins the name of each of our cookies. Browsers accept a __Host- name only
// from the host itself, over https, and for all of its paths (RFC 6265bis §4.1.3).
const CookiePrefix = "__Host-stepward"

// IsOwnCookie reports whether a cookie, or its name, is one of ours. Case does not count:
// some browsers apply the rules of the prefix in upper and lower case.
func IsOwnCookie(cookie string) bool {
	return len(cookie) >= len(CookiePrefix) && strings.EqualFold(cookie[:len(CookiePrefix)], CookiePrefix)
}
