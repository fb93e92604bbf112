package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// Finding is something wrong with a configuration, and where.
type Finding struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Path    string `json:"path"` // of the member, as issuers[0].issuer
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// String is file:line:column, the message, and the hint.
func (f Finding) String() string {
	s := fmt.Sprintf("%s:%d:%d: %s", f.File, f.Line, f.Column, f.Message)
	if f.Hint != "" {
		s += "\n\thint: " + f.Hint
	}
	return s
}

// Findings is the error of a configuration that is not used: all that is wrong.
type Findings []Finding

// Error is one line for each finding, with hints.
func (fs Findings) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

func (fs Findings) sorted() Findings {
	slices.SortStableFunc(fs, func(a, b Finding) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return fs
}

// closest is the word of known that s was likely meant to be, or empty.
func closest(s string, known []string) string {
	best, distance := "", max(2, len(s)/3)+1
	for _, k := range known {
		if d := levenshtein.ComputeDistance(strings.ToLower(s), k); d < distance {
			best, distance = k, d
		}
	}
	return best
}
