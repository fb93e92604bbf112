// Package finding says what is wrong with what an operator wrote: everything at once,
// each thing with its place and a hint. Configurations, policies and the files that are
// checked beside them are refused with a [List].
//
// A list prints itself as lines that editors can jump to, as SARIF, and as workflow
// commands of GitHub. [YAML] turns a parser's complaint into the slip behind it.
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
	Code    string `json:"code,omitempty"` // a word for the kind of trouble
	Path    string `json:"path,omitempty"` // of the member, as issuers[0].issuer
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"` // what to do
	// Severity is empty for something that is refused, Warning for something that may not
	// mean what it says, or Note for something that is right and worth knowing.
	Severity string `json:"severity,omitempty"`
	Fix      *Fix   `json:"fix,omitempty"` // nil where there is none that is safe
}

// Warning and Note are the severities of what is not refused.
const (
	Warning = "warning"
	Note    = "note"
)

// Fix replaces the text Old, which begins at the place of the finding, by New.
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

// List holds all that is wrong with something that is refused. It is an error.
type List []Finding

// Error writes one line for each finding, with hints.
func (l List) Error() string {
	lines := make([]string, len(l))
	for i, f := range l {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// Tidy returns l in order of place, without what was found twice in one place.
func (l List) Tidy() List {
	slices.SortStableFunc(l, func(a, b Finding) int {
		return cmp.Or(strings.Compare(a.File, b.File), a.Line-b.Line, a.Column-b.Column)
	})
	return slices.CompactFunc(l, func(a, b Finding) bool {
		return a.File == b.File && a.Line == b.Line && a.Column == b.Column && a.Code == b.Code && a.Path == b.Path
	})
}

// Closest returns the known word that s was probably meant to be, or nothing.
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

// Apply makes every fix for a file in its text, and returns how many it made. It leaves
// out a fix whose place holds something else.
func (l List) Apply(file string, text []byte) ([]byte, int) {
	lines := strings.SplitAfter(string(text), "\n")
	made := 0
	for _, f := range slices.Backward(slices.Clone(l).Tidy()) { // from the end, so that places stay true
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
