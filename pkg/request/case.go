package request

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// foldCase returns s in lower case, for upstreams that ignore case. They do not agree on
// which letters are the same: one compares in lower case and another in upper case, where ſ
// is S and ı is I; one knows only ASCII and another knows more. A letter on which they
// differ is refused. Otherwise /payment%C5%BF would be /payments to an upstream and another
// path to a policy.
func foldCase(s string) (string, error) {
	for _, r := range s {
		if unclearCase(r) {
			return "", ambiguous("the path has a letter that is another one in upper case, or in ASCII, " +
				"and request.path_case is fold")
		}
	}
	return strings.ToLower(s), nil
}

// expanding lists the lower-case letters that become several in upper case, at least one of
// them ASCII.
const expanding = "ßŉǰẖẗẘẙẚﬀﬁﬂﬃﬄﬅﬆ"

// unclearCase reports whether readers that ignore case could disagree on which letter r is.
func unclearCase(r rune) bool {
	if r < utf8.RuneSelf {
		return false
	}
	low := unicode.ToLower(r)
	return low < utf8.RuneSelf || low != unicode.ToLower(unicode.ToUpper(r)) || strings.ContainsRune(expanding, low)
}
