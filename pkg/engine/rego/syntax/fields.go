package syntax

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Field is a member of the input: its names, with * for an element or a computed name.
type Field struct {
	Names []string
	Lower bool // it stands in a call of lower
	Upper bool
}

// Key returns the names of p joined by dots, with * for a name that a client or operator
// chooses.
func (p Field) Key() string {
	names := slices.Clone(p.Names)
	for _, open := range []string{"headers", "header_values", "query", "extensions", "metadata"} {
		if i := slices.Index(names, open); i == 1 && len(names) > 2 {
			names[2] = "*"
		}
	}
	return strings.Join(names, ".")
}

// String returns the field as a policy writes it.
func (p Field) String() string {
	text := "input"
	for _, n := range p.Names {
		switch {
		case n == "*" || n == "0":
			text += strings.NewReplacer("*", "[_]", "0", "[0]").Replace(n)
		case n == splitAt:
			text = fmt.Sprintf("split(%s, %q)", text, n)
		case isWord.MatchString(n):
			text += "." + n
		default:
			text += fmt.Sprintf("[%q]", n)
		}
	}
	switch {
	case p.Lower:
		return "lower(" + text + ")"
	case p.Upper:
		return "upper(" + text + ")"
	}
	return text
}

var isWord = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// splitAt is the name, below a path, of the parts that split returns: the first is empty.
const splitAt = "/"

// FieldsIn returns the variables of r that stand for members of the input. given holds the
// fields of its parameters.
func FieldsIn(r *ast.Rule, given map[ast.Var]Field) map[ast.Var]Field {
	env, twice := map[ast.Var]Field{}, map[ast.Var]bool{}
	for v, p := range given {
		env[v] = p
	}
	bind := func(t *ast.Term, p Field, ok bool) {
		v, isVar := t.Value.(ast.Var)
		if !isVar || v.IsWildcard() {
			return
		}
		if was, there := env[v]; there && (!ok || was.String() != p.String()) {
			twice[v] = true
		}
		if ok {
			env[v] = p
		}
	}
	for range 3 { // an alias of an alias of an alias
		ast.WalkExprs(r, func(e *ast.Expr) bool {
			switch d := e.Terms.(type) {
			case *ast.SomeDecl:
				if len(d.Symbols) == 1 {
					if c, ok := d.Symbols[0].Value.(ast.Call); ok {
						p, ok := FieldOf(c[len(c)-1], env)
						bind(c[len(c)-2], p.Below("*"), ok)
					}
				}
			case *ast.Every:
				p, ok := FieldOf(d.Domain, env)
				bind(d.Value, p.Below("*"), ok)
			default:
				if e.IsCall() && (e.IsAssignment() || e.IsEquality()) && len(e.Operands()) == 2 {
					p, ok := FieldOf(e.Operand(1), env)
					bind(e.Operand(0), p, ok)
				}
			}
			return false
		})
	}
	for v := range twice {
		delete(env, v)
	}
	return env
}

// Below returns the member of p called name.
func (p Field) Below(name string) Field {
	return Field{Names: append(slices.Clone(p.Names), name)}
}

// FieldOf returns the member of the input that t stands for.
func FieldOf(t *ast.Term, env map[ast.Var]Field) (Field, bool) {
	switch v := t.Value.(type) {
	case ast.Var:
		p, ok := env[v]
		return p, ok
	case ast.Ref:
		var p Field
		if !v[0].Equal(ast.InputRootDocument) {
			at, ok := FieldOf(v[0], env)
			if _, isRef := v[0].Value.(ast.Ref); isRef || !ok {
				return Field{}, false
			}
			p = at
		}
		for _, step := range v[1:] {
			name := "*"
			if s, ok := step.Value.(ast.String); ok {
				name = string(s)
			} else if step.Equal(ast.IntNumberTerm(0)) && slices.Contains(p.Names, splitAt) {
				name = "0"
			}
			p = p.Below(name)
		}
		return p, true
	case ast.Call:
		if len(v) == 3 && v[0].String() == "split" && v[2].Equal(ast.StringTerm("/")) {
			p, ok := FieldOf(v[1], env)
			return p.Below(splitAt), ok && p.Key() == "request.path"
		}
		if len(v) != 2 {
			return Field{}, false
		}
		p, ok := FieldOf(v[1], env)
		switch v[0].String() {
		case "lower":
			p.Lower, p.Upper = true, false
		case "upper":
			p.Lower, p.Upper = false, true
		default:
			ok = false
		}
		return p, ok
	}
	return Field{}, false
}
