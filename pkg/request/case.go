package request

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// foldCase returns s in lower case, for upstreams that ignore case. They do not agree on which
// letters are the same: one compares in lower case and one in upper case, where ſ is S and
// ı is I, one knows more than ASCII and one does not. A letter on which they differ is
// refused, or /payment%C5%BF would be /payments for an upstream and another path for a
// policy.
func foldCase(s string) (string, error) {
	for _, r := range s {
		if unclearCase(r) {
			return "", ambiguous("the path has a letter that is another one in upper case, or in ASCII, " +
				"and request.path_case is fold")
		}
	}
	return strings.ToLower(s), nil
}

// expanding are letters in lower case that are more than one in upper case, with one of
// ASCII among them.
const expanding = "ßŉǰẖẗẘẙẚﬀﬁﬂﬃﬄﬅﬆ"

// unclearCase reports whether readers that ignore case take r for different letters.
func unclearCase(r rune) bool {
	if r < utf8.RuneSelf {
		return false
	}
	low := unicode.ToLower(r)
	return low < utf8.RuneSelf || low != unicode.ToLower(unicode.ToUpper(r)) || strings.ContainsRune(expanding, low)
}
