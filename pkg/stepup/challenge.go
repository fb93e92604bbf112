package stepup

import (
	"strconv"
	"strings"
	"time"
)

// Param is one parameter of a challenge.
type Param struct{ Name, Value string }

// FormatChallenge returns the text of a WWW-Authenticate header: the scheme and its
// parameters, each in quotes (RFC 9110 §11.6.1). Parsers are known to drop a
// whole challenge over one unquoted value with a colon in it.
//
// FormatChallenge leaves out a parameter without a value, and a name that occurred before.
// A byte that a quoted string of RFC 6750 §3 cannot carry (a control byte, a quote, a
// backslash, anything but ASCII) becomes a space.
func FormatChallenge(scheme string, params []Param) string {
	var b strings.Builder
	b.WriteString(scheme)
	sep := " "
	seen := map[string]bool{}
	for _, p := range params {
		if p.Value == "" || seen[p.Name] {
			continue
		}
		seen[p.Name] = true
		b.WriteString(sep)
		b.WriteString(p.Name)
		b.WriteString(`="`)
		b.WriteString(quotable(p.Value))
		b.WriteByte('"')
		sep = ", "
	}
	return b.String()
}

func quotable(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return ' '
		}
		return c
	}, s)
}

// Params returns the parameters of RFC 9470 §3 and RFC 6750 §3 that a carries:
// acr_values, max_age in whole seconds, and scope.
func (a Ask) Params() []Param {
	return []Param{
		{"acr_values", strings.Join(a.ACRValues, " ")},
		{"max_age", a.MaxAge.Seconds()},
		{"scope", strings.Join(a.Scope, " ")},
	}
}

// Seconds returns the length in whole seconds, rounded down, or empty when absent.
func (a Age) Seconds() string {
	if !a.set {
		return ""
	}
	return strconv.FormatInt(int64(a.d/time.Second), 10)
}
