package request

import "strings"

// Headers maps lower-case names to values in the order sent. Where the proxy
// merged repeated lines into one value it cannot be told apart from one line
// with commas.
type Headers map[string][]string

// Values are the values of name, which must be in lower case, or nil.
func (h Headers) Values(name string) []string { return h[name] }

// Get is the values of name joined by ",", or empty (RFC 9110 §5.3).
func (h Headers) Get(name string) string {
	v := h[name]
	if len(v) == 1 {
		return v[0]
	}
	return strings.Join(v, ",")
}

// Has reports whether name was sent at all, if only empty.
func (h Headers) Has(name string) bool { return len(h[name]) > 0 }
