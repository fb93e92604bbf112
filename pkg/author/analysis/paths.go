package analysis

import (
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

var (
	segments = ast.MustParseRef("input.request.segments")
	path     = ast.MustParseRef("input.request.path")
)

// shape decides conditions that follow from the length of a path even if some of its
// segments are unknown: each segment exists and is a text.
func (s *settler) shape(e *ast.Expr) (holds, ok bool) {
	if t, isTerm := e.Terms.(*ast.Term); isTerm {
		return true, s.isSegment(t)
	}
	if !e.IsCall() || len(e.Operands()) != 2 {
		return false, false
	}
	if e.Operand(0).Equal(ast.NewTerm(path)) && s.elsewhere(e) {
		return e.Operator().String() == "neq", true
	}
	return s.count(e)
}

// isSegment reports whether t is one of the existing segments.
func (s *settler) isSegment(t *ast.Term) bool {
	r, isRef := t.Value.(ast.Ref)
	if !isRef || !r.HasPrefix(segments) || len(r) != len(segments)+1 {
		return false
	}
	_, err := s.known.Find(r[1:])
	return err == nil
}

// count decides a comparison of the number of segments with a number.
func (s *settler) count(e *ast.Expr) (holds, ok bool) {
	call, isCall := e.Operand(0).Value.(ast.Call)
	n, isNumber := e.Operand(1).Value.(ast.Number)
	if !isCall || !isNumber || len(call) != 2 || call[0].String() != "count" || !call[1].Equal(ast.NewTerm(segments)) {
		return false, false
	}
	v, err := s.known.Find(segments[1:])
	list, isList := v.(*ast.Array)
	want, whole := n.Int()
	if err != nil || !isList || !whole {
		return false, false
	}
	least, operator := list.Len(), e.Operator().String()
	switch {
	case operator == "gte" && least >= want, operator == "gt" && least > want:
		return true, true
	case s.mayBeLonger(least):
		return false, least > want && slices.Contains([]string{"eq", "equal", "lt", "lte"}, operator)
	}
	return simple(ast.NewExpr([]*ast.Term{ast.NewTerm(e.Operator()), ast.IntNumberTerm(least), e.Operand(1)}))
}

// elsewhere reports whether e compares the path only with paths that do not have the known
// segments.
func (s *settler) elsewhere(e *ast.Expr) bool {
	operator, other := e.Operator().String(), e.Operand(1)
	var paths []*ast.Term
	switch v := other.Value.(type) {
	case ast.String:
		if operator == "eq" || operator == "equal" || operator == "neq" {
			paths = []*ast.Term{other}
		}
	case interface{ Foreach(func(*ast.Term)) }: // an array or a set
		if operator == "internal.member_2" {
			v.Foreach(func(t *ast.Term) { paths = append(paths, t) })
		}
	}
	for _, p := range paths {
		text, ok := p.Value.(ast.String)
		if !ok || s.mayBe(string(text)) {
			return false
		}
	}
	return len(paths) > 0
}

// mayBe reports whether a path can have the known segments.
func (s *settler) mayBe(path string) bool {
	v, err := s.known.Find(segments[1:])
	list, ok := v.(*ast.Array)
	if err != nil || !ok {
		return true
	}
	var parts []string
	for p := range strings.SplitSeq(path, "/") {
		if p != "" {
			parts = append(parts, p)
		}
	}
	if len(parts) < list.Len() || len(parts) > list.Len() && !s.mayBeLonger(list.Len()) {
		return strings.Contains(path, "//") // an empty segment counts as one
	}
	for n, p := range parts[:list.Len()] {
		known := list.Elem(n)
		if !s.overlaps(append(slices.Clone(segments), ast.IntNumberTerm(n))) && !known.Equal(ast.StringTerm(p)) {
			return strings.Contains(path, "//")
		}
	}
	return true
}

// mayBeLonger reports whether there may be segments beyond the first n.
func (s *settler) mayBeLonger(n int) bool {
	for _, u := range s.unknown {
		if !u.HasPrefix(segments) {
			continue
		}
		if len(u) == len(segments) {
			return true
		}
		if i, ok := u[len(segments)].Value.(ast.Number); ok {
			if at, whole := i.Int(); whole && at >= n {
				return true
			}
		}
	}
	return false
}
