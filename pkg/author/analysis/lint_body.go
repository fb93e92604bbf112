package analysis

import (
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/stepward/stepward/pkg/finding"
)

// bodyState looks for a module that reads a body but never asks what the body could be read
// as, and tells its author, once, what answer callers get.
func (l *linter) bodyState(m *ast.Module) {
	var first ast.Ref
	asks := false
	ast.WalkRefs(m, func(ref ast.Ref) bool {
		for i, t := range ref[:len(ref)-1] {
			if !t.Equal(ast.StringTerm("body")) || i == 0 {
				continue
			}
			switch next := ref[i+1]; {
			case next.Equal(ast.StringTerm("state")):
				asks = true
			case first == nil && (next.Equal(ast.StringTerm("json")) || next.Equal(ast.StringTerm("form"))):
				first = ref
			}
		}
		return false
	})
	if first == nil || asks {
		return
	}
	f := l.warn(first[0].Location, "body_state",
		fmt.Sprintf("where a body is there and could not be read, %s ends in 400 body_unreadable", first),
		"that is safe; ask input.request.body.state where another answer is meant, "+
			"or data.stepward.lib.body.unreadable")
	f.Severity = finding.Note
}
