package rego

import (
	"fmt"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/stepward/stepward/pkg/engine/rego/syntax"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/request"
)

// checkHeaderNames refuses a rule that reads a header or a claim by a name that none has in
// the input: as with a misspelt member, it would be silent forever.
func (l *loader) checkHeaderNames(m *ast.Module) {
	for _, r := range m.Rules {
		for x := r; x != nil; x = x.Else {
			env := syntax.FieldsIn(x, nil)
			look := func(p syntax.Field, name *ast.Term) {
				check := l.checkHeaderName
				switch strings.Join(p.Names, ".") {
				case "request.headers", "request.header_values":
				case "token.claims":
					check = l.checkClaimName
				default:
					return
				}
				for _, v := range l.constants.OfUsed(name, x, m, 9) {
					check(v, name)
				}
			}
			ast.WalkTerms(x, func(t *ast.Term) bool {
				switch v := t.Value.(type) {
				case ast.Ref:
					for n := 1; n < len(v); n++ {
						if p, ok := syntax.FieldOf(ast.NewTerm(v[:n]), env); ok {
							look(p, v[n])
						}
					}
				case ast.Call:
					if len(v) == 4 && v[0].String() == "object.get" {
						if p, ok := syntax.FieldOf(v[1], env); ok {
							look(p, v[2])
						}
					}
				}
				return false
			})
		}
	}
}

func (l *loader) checkClaimName(v, shown *ast.Term) {
	if s, ok := v.Value.(ast.String); ok && policy.IsTimed(string(s)) {
		l.add(syntax.At(shown.Location, "claim_name", fmt.Sprintf("a claim %s is never in the input", v),
			"ask for freshness with max_age or token_age in what is required; refuse one token with `stepward revoke`"))
	}
}

func (l *loader) checkHeaderName(v, shown *ast.Term) {
	s, ok := v.Value.(ast.String)
	if !ok {
		return
	}
	name, hint := string(s), ""
	switch lower := strings.ToLower(name); {
	case policy.IsHidden(lower, l.opt.HeaderPrefix):
		hint = "credentials and Stepward's own headers are not in the input; ask input.token, or input.source"
	case name != lower && request.IsToken(lower):
		hint = fmt.Sprintf("names are in lower case: write %q", lower)
	case !request.IsToken(name):
		hint = "write the name of a header, in lower case"
	default:
		return
	}
	l.add(syntax.At(shown.Location, "header_name", fmt.Sprintf("a header %s is never in the input", v), hint))
}
