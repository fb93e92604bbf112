package rego

import (
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/stepward/stepward/pkg/engine/memo"
)

// look is one rule while it is looked at.
type look struct {
	*shape
	around map[*ast.Expr]ast.Body
	visit  *ast.GenericVisitor
	// stands has the variables that stand for a member of the input. The compiler makes them
	// of what is handed to a function.
	stands map[ast.Var]ast.Ref
	used   map[ast.Var]int // how often each was understood
	// lists has the variables that stand for a member of data where an expression stands: in
	// the next body a variable of that name may be another one.
	lists map[*ast.Expr]map[ast.Var]ast.Ref
}

// definitions finds the variables that are set once, to a reference.
func (l *look) definitions(r *ast.Rule) {
	times := map[ast.Var]int{}
	ast.WalkExprs(r, func(e *ast.Expr) bool {
		if v, ref := definition(e); ref != nil {
			times[v]++
			l.stands[v] = ref
		}
		return false
	})
	for v, n := range times {
		if n > 1 {
			delete(l.stands, v)
		}
	}
	ast.WalkBodies(r, func(b ast.Body) bool {
		for _, d := range b {
			v, ref := definitionIn(d, ast.DefaultRootRef)
			if ref == nil {
				continue
			}
			ast.WalkExprs(b, func(e *ast.Expr) bool {
				if l.lists[e] == nil {
					l.lists[e] = map[ast.Var]ast.Ref{}
				}
				l.lists[e][v] = ref
				return false
			})
		}
		return false
	})
}

// definition returns e as a variable and the member of the input that it is set to, or nil.
func definition(e *ast.Expr) (ast.Var, ast.Ref) { return definitionIn(e, ast.InputRootRef) }

func definitionIn(e *ast.Expr, root ast.Ref) (ast.Var, ast.Ref) {
	if !e.IsEquality() || e.Negated || len(e.With) > 0 {
		return "", nil
	}
	v, isVar := e.Operand(0).Value.(ast.Var)
	ref, isRef := e.Operand(1).Value.(ast.Ref)
	if !isVar || !isRef || len(ref) < 2 || !ref.IsGround() || !ref.HasPrefix(root) {
		return "", nil
	}
	return v, ref
}

// settle takes in whole what the variables stand for that were used in another way too, or
// not at all: a rule then asks whether the member is there.
func (l *look) settle(r *ast.Rule) {
	seen := map[ast.Var]int{}
	count := func(t *ast.Term) bool {
		if v, ok := t.Value.(ast.Var); ok {
			seen[v]++
		}
		return false
	}
	ast.WalkTerms(r, count)
	for x := r; x != nil; x = x.Else { // a walk leaves out the names in a head such as p[x].q
		for _, t := range x.Head.Reference {
			ast.WalkTerms(t, count)
		}
	}
	for v, ref := range l.stands {
		if l.used[v] == 0 || seen[v] != l.used[v]+1 {
			l.reference(ref)
		}
	}
}

// see takes in x, a part of the rule, and reports whether that is all of it.
func (l *look) see(x any) bool {
	switch x := x.(type) {
	case *ast.Expr:
		return l.expr(x)
	case *ast.Term:
		if ref, ok := x.Value.(ast.Ref); ok {
			l.reference(ref)
			for _, t := range ref[1:] {
				l.visit.Walk(t)
			}
			return true
		}
		l.opaque = l.opaque || x.Equal(ast.InputRootDocument)
	}
	return false
}

func (l *look) expr(e *ast.Expr) bool {
	if len(e.With) > 0 {
		l.opaque = true
	}
	if v, ref := definition(e); ref != nil && l.stands[v].Equal(ref) {
		return true // settle sees to it
	}
	if !e.IsCall() {
		return false
	}
	seen := l.expression(e)
	for n, t := range e.Operands() {
		if !seen.has(n) {
			l.visit.Walk(t)
		} else if v, ok := t.Value.(ast.Var); ok {
			l.used[v]++
		}
	}
	return true
}

// ref returns the reference that t is or stands for, or nil.
func (l *look) ref(t *ast.Term) ast.Ref {
	switch v := t.Value.(type) {
	case ast.Ref:
		return v
	case ast.Var:
		return l.stands[v]
	}
	return nil
}

// understood says which of the first two operands of an expression need no further look.
type understood [2]bool

func (u understood) has(n int) bool { return n < len(u) && u[n] }

// expression understands e where it compares members of the input with constants.
func (l *look) expression(e *ast.Expr) understood {
	operands := e.Operands()
	if len(operands) < 2 {
		return understood{}
	}
	switch first, second := operands[0], operands[1]; e.Operator().String() {
	case ast.Equality.Name, ast.Equal.Name, ast.NotEqual.Name:
		if l.compared(first, second, e, l.among) {
			return understood{true, false}
		}
		return understood{false, l.compared(second, first, e, l.among)}
	case ast.Member.Name:
		return understood{l.compared(first, second, e, l.among), false}
	case ast.StartsWith.Name:
		return understood{l.compared(first, second, e, l.begins), false}
	case ast.Count.Name:
		counted := l.ref(first).String() == "input.request.segments"
		l.depth = l.depth || counted
		return understood{counted, false}
	}
	return understood{false, l.matched(e)}
}

// compared takes in that the member of the input that is one operand is compared with the
// texts in the other, and reports whether it is so.
func (l *look) compared(operand, constants *ast.Term, e *ast.Expr, with map[string]comparison) bool {
	ref := l.ref(operand)
	if !ref.HasPrefix(ast.InputRootRef) {
		return false
	}
	path, constant := memberPath(ref)
	texts, known := l.texts(constants, e)
	if !constant || !known {
		return false
	}
	if _, isText := memo.NewAmong(path, l.prefix, nil); !isText {
		return false
	}
	name := nameOf(path)
	if with[name].texts == nil {
		with[name] = comparison{path, map[string]bool{}}
	}
	for _, text := range texts {
		with[name].texts[text] = true
	}
	return true
}

// texts returns the texts in a constant: itself, or the members of a list or set, also of
// one in data. A constant of another type is equal to no text and begins none.
func (l *look) texts(t *ast.Term, e *ast.Expr) (texts []string, known bool) {
	each := func(x *ast.Term) {
		switch v := x.Value.(type) {
		case ast.String:
			texts = append(texts, string(v))
		case ast.Number, ast.Boolean, ast.Null:
		default:
			known = false
		}
	}
	known = true
	switch v := t.Value.(type) {
	case ast.Set:
		v.Foreach(each)
	case *ast.Array:
		v.Foreach(each)
	case ast.Ref, ast.Var:
		place, isRef := v.(ast.Ref)
		if name, isVar := v.(ast.Var); isVar && l.around[e] != nil {
			place, isRef = l.lists[e][name]
		}
		list, ok := l.table(place)
		ok = ok && isRef
		for _, x := range list {
			text, isText := x.(string)
			if !isText {
				return nil, false
			}
			texts = append(texts, text)
		}
		known = ok
	default:
		each(t)
	}
	return texts, known
}

// table returns the list at a place in data, unless rules have a part in what is there.
func (s *shape) table(ref ast.Ref) ([]any, bool) {
	if !ref.HasPrefix(ast.DefaultRootRef) || len(ref) < 2 || !ref.IsGround() {
		return nil, false
	}
	return listInData(ref, s.modules, s.document)
}

// matched reports whether e is routes.matches(entry, input.request), where entry stands for
// the entries of a list in data. It takes in which of them match.
func (l *look) matched(e *ast.Expr) bool {
	routes := matchers[0]
	operands := e.Operands()
	if e.Operator().String() != routes.pkg+"."+routes.function || len(operands) != 2 || !l.shipped(routes) ||
		l.ref(operands[1]).String() != "input.request" {
		return false
	}
	table := entriesOf(operands[0], l.around[e])
	list, ok := l.table(table)
	if !ok {
		return false
	}
	if _, plain := memo.NewRoutes(list); !plain {
		return false
	}
	l.tables[table.String()] = list
	return true
}

// entriesOf returns the list whose entries the variable stands for in b, or nil.
func entriesOf(entry *ast.Term, b ast.Body) ast.Ref {
	for _, e := range b {
		if !e.IsEquality() || e.Negated || len(e.With) > 0 {
			continue
		}
		for n, t := range e.Operands() {
			ref, isRef := t.Value.(ast.Ref)
			if isRef && e.Operand(1-n).Equal(entry) && len(ref) > 2 && ref[:len(ref)-1].IsGround() {
				return ref[:len(ref)-1]
			}
		}
	}
	return nil
}
