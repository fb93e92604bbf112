// Package finding says what is wrong with something that an operator wrote: all of it at
// once, each point with its position and a hint. Configurations, policies and the files
// checked with them are refused with a [List].
//
// A list prints itself as lines that editors can jump to, as SARIF, and as GitHub workflow
// commands. [YAML] turns a parser's complaint into the slip behind it.
package finding

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// Finding says that one thing is wrong, and where. Line and Column count from 1.
type Finding struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Code    string `json:"code,omitempty"` // the kind of trouble, in one word
	Path    string `json:"path,omitempty"` // of the member, as issuers[0].issuer
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"` // what to do
	// Severity is empty for something that is refused, Warning for something that may not
	// mean what it says, or Note for something that is correct but worth knowing.
	Severity string `json:"severity,omitempty"`
	Fix      *Fix   `json:"fix,omitempty"` // nil if no fix is safe
}

// Warning and Note are the severities of findings that do not refuse anything.
const (
	Warning = "warning"
	Note    = "note"
)

// Fix replaces the text Old, which begins at the position of the finding, with New.
type Fix struct {
	Old string `json:"old"`
	New string `json:"new"`
}

// String writes file:line:column, the message, and the hint.
func (f Finding) String() string {
	s := fmt.Sprintf("%s:%d:%d: ", f.File, f.Line, f.Column)
	if f.Severity != "" {
		s += f.Severity + ": "
	}
	s += f.Message
	if f.Code != "" && f.Code != "config" { // which says nothing
		s += " [" + f.Code + "]"
	}
	if f.Hint != "" {
		s += "\n\thint: " + f.Hint
	}
	return s
}

// List holds everything that is wrong with something that is refused. It is an error.
type List []Finding

// Error writes one line for each finding, with hints.
func (l List) Error() string {
	lines := make([]string, len(l))
	for i, f := range l {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// Tidy returns l in order of position, without duplicates.
func (l List) Tidy() List {
	slices.SortStableFunc(l, func(a, b Finding) int {
		return cmp.Or(strings.Compare(a.File, b.File), a.Line-b.Line, a.Column-b.Column)
	})
	return slices.CompactFunc(l, func(a, b Finding) bool {
		return a.File == b.File && a.Line == b.Line && a.Column == b.Column && a.Code == b.Code && a.Path == b.Path
	})
}

// Closest returns the known word that the author of s probably meant, or nothing.
func Closest(s string, known []string) string {
	best, distance := "", max(2, len(s)/3)+1
	for _, k := range known {
		if d := levenshtein.ComputeDistance(strings.ToLower(s), k); d < distance {
			best, distance = k, d
		}
	}
	return best
}

// DidYouMean returns the end of a message that names the [Closest] word, or nothing.
func DidYouMean(s string, known []string) string {
	if best := Closest(s, known); best != "" {
		return fmt.Sprintf(" (did you mean %q?)", best)
	}
	return ""
}

// Apply makes every fix for a file in its text, and returns how many it made. It leaves out
// a fix if the text there is no longer Old.
func (l List) Apply(file string, text []byte) ([]byte, int) {
	lines := strings.SplitAfter(string(text), "\n")
	made := 0
	for _, f := range slices.Backward(slices.Clone(l).Tidy()) { // from the end, so that positions stay valid
		if f.Fix == nil || f.File != file || f.Line > len(lines) {
			continue
		}
		at := f.Line - 1
		column := min(max(f.Column-1, 0), len(lines[at]))
		place := strings.Index(lines[at][column:], f.Fix.Old)
		if place < 0 || place > 1 { // the quote before a member
			continue
		}
		place += column
		lines[at] = lines[at][:place] + f.Fix.New + lines[at][place+len(f.Fix.Old):]
		made++
	}
	return []byte(strings.Join(lines, "")), made
}
