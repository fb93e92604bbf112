package analysis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	opa "github.com/open-policy-agent/opa/v1/rego"

	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/engine/rego/syntax"
)

// Conditional is a member of require or deny for a request that is only partly known: what
// a rule yields, and when.
type Conditional struct {
	Entry string // require or deny
	Rule  string // the rule that says so
	// Value is the member as JSON, or as Rego if it depends on something unknown.
	Value string
	Known bool // whether Value is JSON
	// When lists the conditions, in Rego. It is empty if the rule always yields the member.
	When []string
}

// ErrUnsettled means that the rules cannot be taken apart without a concrete request.
var ErrUnsettled = errors.New("analysis: cannot be settled without a concrete request")

// partialTimeout is how long taking the rules apart may take.
const partialTimeout = 5 * time.Second

// Partial says what the policy asks of every request that agrees with input in the known
// members. unknown lists the unknown members, such as input.request.headers or
// input.request.segments[1]. Route packages are not asked.
//
// The error wraps [ErrUnsettled].
func (a *Analysis) Partial(ctx context.Context, input map[string]any, unknown []string) ([]Conditional, error) {
	var all []Conditional
	for _, entry := range []string{syntax.Require, syntax.Deny} {
		if !a.program.Has(entry) {
			continue
		}
		found, err := a.partial(ctx, entry, input, unknown)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// query prepares the query of the members of an entry rule when they are first asked for.
func (a *Analysis) query(entry string) (opa.PreparedPartialQuery, error) {
	if q, prepared := a.queries[entry]; prepared {
		return q, nil
	}
	q, err := a.program.Query(opa.Query(a.program.Members(entry) + "[member]")).PrepareForPartial(context.Background())
	if err == nil {
		a.queries[entry] = q
	}
	return q, err
}

func (a *Analysis) partial(
	ctx context.Context,
	entry string,
	input map[string]any,
	unknown []string,
) (all []Conditional,
	err error) {
	defer func() {
		if recover() != nil {
			all, err = nil, fmt.Errorf("%w: the evaluation panicked", ErrUnsettled)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, partialTimeout)
	defer cancel()
	query, err := a.query(entry)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsettled, err)
	}
	refs, terms, err := a.references(unknown)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsettled, err)
	}
	rest, err := query.Partial(ctx, opa.EvalInput(input), opa.EvalParsedUnknowns(terms))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsettled, err)
	}
	s, err := newSettler(a.program, input, refs)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsettled, err)
	}
	w := writer{program: a.program, helpers: map[string][]*ast.Rule{}}
	for _, m := range rest.Support {
		for _, r := range m.Rules {
			name := m.Package.Path.String() + "." + r.Head.Ref().String()
			w.helpers[name] = append(w.helpers[name], r)
		}
	}
	s.helpers = w.helpers
	for _, q := range rest.Queries {
		c, possible, err := a.conditional(ctx, q, s, &w)
		if err != nil {
			return nil, err
		}
		if c.Entry = entry; possible {
			all = append(all, c)
		}
	}
	return all, nil
}

// references parses names of members, each only once: OPA's parser sorts all its functions
// on every call.
func (a *Analysis) references(names []string) (refs []ast.Ref, terms []*ast.Term, err error) {
	for _, name := range names {
		ref, known := a.parsed[name]
		if !known {
			if ref, err = ast.ParseRef(name); err != nil {
				return nil, nil, err
			}
			a.parsed[name] = ref
		}
		refs, terms = append(refs, ref), append(terms, ast.NewTerm(ref))
	}
	return refs, terms, nil
}

// conditional reads one way in which a rule yields a member. That way is not possible if a
// condition never holds.
func (a *Analysis) conditional(ctx context.Context, q ast.Body, s *settler, w *writer) (c Conditional, possible bool,
	err error) {
	found := false
	for _, e := range q {
		if member := memberOf(e); member != nil && !found {
			found = true
			number, _ := member.Get(ast.StringTerm("rule")).Value.(ast.Number)
			i, err := strconv.Atoi(string(number))
			rule, ok := a.program.Rule(i)
			if err != nil || !ok {
				return c, false, fmt.Errorf("%w: a member that comes from no rule", ErrUnsettled)
			}
			value := member.Get(ast.StringTerm("value"))
			c.Rule = rule
			c.Value = value.String()
			if value.IsGround() {
				if plain, err := ast.JSON(value.Value); err == nil {
					if text, err := json.Marshal(plain); err == nil {
						c.Value, c.Known = string(text), true
					}
				}
			}
			continue
		}
		if binds(e) {
			continue
		}
		holds, settled := s.holds(ctx, e)
		switch {
		case !settled:
			c.When = append(c.When, w.condition(e))
		case !holds:
			return c, false, nil
		}
	}
	if !found {
		return c, false, fmt.Errorf("%w: what a rule yields depends on the request", ErrUnsettled)
	}
	return c, true, nil
}

// memberOf returns the object in `member = {"rule": …, "value": …}`, or nil.
func memberOf(e *ast.Expr) ast.Object {
	if !e.IsEquality() {
		return nil
	}
	for n, t := range e.Operands() {
		if t.Equal(ast.VarTerm("member")) {
			o, _ := e.Operand(1 - n).Value.(ast.Object)
			if o != nil && o.Get(ast.StringTerm("rule")) != nil && o.Get(ast.StringTerm("value")) != nil {
				return o
			}
		}
	}
	return nil
}

// binds reports whether e only binds a name that nobody uses.
func binds(e *ast.Expr) bool {
	if !e.IsEquality() || e.Negated {
		return false
	}
	v, ok := e.Operand(0).Value.(ast.Var)
	return ok && v.IsWildcard()
}

// writer writes conditions as a person would.
type writer struct {
	program *rego.Program
	helpers map[string][]*ast.Rule // the definitions that conditions refer to
	depth   int
}

var infix = map[string]string{
	"eq": "==", "equal": "==", "neq": "!=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">=", "internal.member_2": "in",
}

// condition writes e for people. It describes a comprehension by what the comprehension
// depends on.
func (w *writer) condition(e *ast.Expr) string {
	if written, err := ast.TransformRefs(e.Copy(), func(r ast.Ref) (ast.Value, error) {
		if t := w.program.Argument(r); t != nil {
			return t.Value, nil
		}
		return r, nil
	}); err == nil {
		e, _ = written.(*ast.Expr)
	}
	text := w.expression(e)
	if !strings.Contains(text, "__local") {
		return text
	}
	refs := inputs.FindAllString(text, -1)
	slices.Sort(refs)
	return "what the rule makes of " + strings.Join(slices.Compact(refs), " and ")
}

var inputs = regexp.MustCompile(`input(\.[a-z_]+)+`)

func (w *writer) expression(e *ast.Expr) string {
	prefix := ""
	if e.Negated {
		prefix = "not "
	}
	if n, ok := e.Terms.(*ast.Not); ok {
		return "not " + w.group(n.Body)
	}
	if t, ok := e.Terms.(*ast.Term); ok {
		if rules := w.helpers[t.String()]; rules != nil && w.depth < 4 {
			w.depth++
			defer func() { w.depth-- }()
			var ways []string
			for _, r := range rules {
				ways = append(ways, w.group(r.Body))
			}
			return prefix + strings.Join(ways, " or ")
		}
	}
	if e.IsCall() {
		if sign, ok := infix[e.Operator().String()]; ok && len(e.Operands()) == 2 {
			return fmt.Sprintf("%s%s %s %s", prefix, e.Operand(0), sign, e.Operand(1))
		}
	}
	plain := e.Copy()
	plain.Negated, plain.With = false, nil
	return prefix + plain.String()
}

// group writes a conjunction, in brackets if it has several parts.
func (w *writer) group(body ast.Body) string {
	parts := make([]string, len(body))
	for n, e := range body {
		parts[n] = w.expression(e)
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return "(" + strings.Join(parts, " and ") + ")"
}
