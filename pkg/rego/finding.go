package rego

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Finding is something wrong with a policy, and where.
type Finding struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Code    string `json:"code"` // a word for the kind of trouble
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"` // what to do
}

// String is file:line:column, the message, and the hint.
func (f Finding) String() string {
	s := fmt.Sprintf("%s:%d:%d: %s", f.File, f.Line, f.Column, f.Message)
	if f.Hint != "" {
		s += "\n\thint: " + f.Hint
	}
	return s
}

// Findings is the error of a policy that was not loaded: everything that is
// wrong with it, in order of place.
type Findings []Finding

// Error is one line for each finding, with hints.
func (fs Findings) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// tidy sorts findings and drops what was found twice, as the copies of entry
// rules make the compiler do.
func (fs Findings) tidy() Findings {
	slices.SortStableFunc(fs, func(a, b Finding) int {
		if c := strings.Compare(a.File, b.File); c != 0 {
			return c
		}
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return slices.CompactFunc(fs, func(a, b Finding) bool {
		return a.File == b.File && a.Line == b.Line && a.Column == b.Column && a.Code == b.Code
	})
}

func at(loc *ast.Location, code, message, hint string) Finding {
	f := Finding{Code: code, Message: message, Hint: hint}
	if loc != nil {
		f.File, f.Line, f.Column = loc.File, max(loc.Row, 1), max(loc.Col, 1)
	}
	return f
}

// fromOPA turns the parser's or compiler's errors into findings.
func fromOPA(err error, file string) Findings {
	var all ast.Errors
	if !errors.As(err, &all) {
		var one *ast.Error
		if !errors.As(err, &one) {
			return Findings{{File: file, Line: 1, Column: 1, Code: "rego_parse_error", Message: err.Error()}}
		}
		all = ast.Errors{one}
	}
	var found Findings
	for _, e := range all {
		message := e.Message
		if e.Details != nil {
			for _, line := range e.Details.Lines() {
				if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "^") {
					message += "; " + line
				}
			}
		}
		found = append(found, at(e.Location, e.Code, message, hintFor(e)))
	}
	return found
}

func hintFor(e *ast.Error) string {
	switch {
	case strings.Contains(e.Message, "undefined function"):
		return "functions that reach the network, the clock or chance are not there; ask for freshness with max_age"
	case e.Code == ast.TypeErr && strings.Contains(e.Message, "undefined ref: input"):
		return "the input has no such member; see `stepward explain --json` for one that it has"
	}
	return ""
}
