package rego

import (
	"fmt"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/stepward/stepward/pkg/engine/rego/syntax"
)

// argument is an argument of a built-in function that must be well-formed, such as a
// pattern or an address range, whatever the other arguments are. If a policy writes a
// literal that is not well-formed, every evaluation fails.
type argument struct {
	function string
	place    int
	what     string
	rest     []*ast.Term // valid arguments, one for each position
}

func textTerms(list ...string) []*ast.Term {
	terms := make([]*ast.Term, len(list))
	for i, s := range list {
		terms[i] = ast.StringTerm(s)
	}
	return terms
}

// checkedArguments lists such arguments.
func checkedArguments() []argument {
	const expression, pattern, network = "a regular expression", "a pattern", "a range of addresses, such as 10.0.0.0/8"
	number := append(textTerms("x", "x"), ast.IntNumberTerm(1))
	glob := []*ast.Term{ast.StringTerm("x"), ast.ArrayTerm(ast.StringTerm("/")), ast.StringTerm("x")}
	networks := textTerms("10.0.0.0/8", "10.0.0.0/8")
	return []argument{
		{"regex.match", 0, expression, textTerms("x", "x")}, {"regex.split", 0, expression, textTerms("x", "x")},
		{"regex.find_n", 0, expression, number}, {"regex.find_all_string_submatch_n", 0, expression, number},
		{"regex.replace", 1, expression, textTerms("x", "x", "x")},
		{"glob.match", 0, pattern, glob},
		{"regex.globs_match", 0, pattern, textTerms("x", "x")}, {"regex.globs_match", 1, pattern, textTerms("x", "x")},
		{"regex.template_match", 0, "a template", textTerms("x", "x", "{", "}")},
		{"net.cidr_contains", 0, network, textTerms("10.0.0.0/8", "10.0.0.1")},
		{"net.cidr_contains", 1, network + ", or an address", textTerms("10.0.0.0/8", "10.0.0.1")},
		{"net.cidr_intersects", 0, network, networks}, {"net.cidr_intersects", 1, network, networks},
		{"semver.compare", 0, "a version", textTerms("1.0.0", "1.0.0")}, {"semver.compare", 1, "a version",
			textTerms("1.0.0", "1.0.0")},
		{"to_number", 0, "a number", textTerms("1")}, {"units.parse", 0, "a quantity", textTerms("1")},
		{"units.parse_bytes", 0, "a quantity", textTerms("1")},
		{"json.unmarshal", 0, "JSON", textTerms("1")}, {"base64.decode", 0, "base64", textTerms("")},
		{"base64url.decode", 0, "base64url", textTerms("")}, {"hex.decode", 0, "hexadecimal", textTerms("")},
	}
}

// checkCalls refuses calls in m that always fail.
func (l *loader) checkCalls(m *ast.Module) {
	checked := checkedArguments()
	for _, r := range m.Rules {
		for x := r; x != nil; x = x.Else {
			look := func(operator ast.Value, operands []*ast.Term) {
				name, ok := operator.(ast.Ref)
				if !ok {
					return
				}
				for _, a := range checked {
					if a.function == name.String() && a.place < len(operands) {
						l.checkArgument(a, operands[a.place], x, m)
					}
				}
			}
			ast.WalkExprs(x, func(e *ast.Expr) bool {
				if e.IsCall() {
					look(e.Operator(), e.Operands())
				}
				return false
			})
			ast.WalkTerms(x, func(t *ast.Term) bool {
				if c, ok := t.Value.(ast.Call); ok {
					look(c[0].Value, c[1:])
				}
				return false
			})
		}
	}
}

// checkArgument calls the function with t, if that is known, and with valid other
// arguments.
func (l *loader) checkArgument(a argument, t *ast.Term, r *ast.Rule, m *ast.Module) {
	for _, v := range l.constants.OfUsed(t, r, m, 1) { // by the call
		if _, ok := v.Value.(ast.String); !ok {
			continue // of another type: the compiler says so
		}
		operands := slices.Clone(a.rest)
		operands[a.place] = v
		if _, err := syntax.Call(a.function, operands); err != nil {
			l.add(
				syntax.At(t.Location, "argument",
					fmt.Sprintf("%s is not %s, and %s fails whenever a rule reaches it: %v",
						v, a.what, a.function, err),
					"write "+a.what,
				),
			)
		}
	}
}
