package syntax

import (
	"errors"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/stepward/stepward/pkg/finding"
)

// At makes a finding at loc.
func At(loc *ast.Location, code, message, hint string) finding.Finding {
	f := finding.Finding{Code: code, Message: message, Hint: hint}
	if loc != nil {
		f.File, f.Line, f.Column = loc.File, max(loc.Row, 1), max(loc.Col, 1)
	}
	return f
}

// Findings turns the parser's or compiler's errors into findings.
func Findings(err error, file string) finding.List {
	var all ast.Errors
	if !errors.As(err, &all) {
		var one *ast.Error
		if !errors.As(err, &one) {
			return finding.List{{File: file, Line: 1, Column: 1, Code: "rego_parse_error", Message: err.Error()}}
		}
		all = ast.Errors{one}
	}
	var found finding.List
	for _, e := range all {
		message := e.Message
		if e.Details != nil {
			for _, line := range e.Details.Lines() {
				if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "^") {
					message += "; " + line
				}
			}
		}
		found = append(found, At(e.Location, e.Code, message, hintFor(e)))
	}
	return found
}

func hintFor(e *ast.Error) string {
	switch {
	case strings.HasSuffix(e.Message, "undefined function product"),
		strings.HasSuffix(e.Message, "undefined function bits.lsh"):
		return "its result grows with the numbers of a request, and nothing interrupts it; multiply with *"
	case strings.Contains(e.Message, "undefined function"):
		return "functions that reach the network, the clock or chance are not there; ask for freshness with max_age"
	case e.Code == ast.TypeErr && strings.Contains(e.Message, "undefined ref: input"):
		return "the input has no such member; see `stepward explain --json` for one that it has"
	}
	return ""
}
