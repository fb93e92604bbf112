package analysis

import (
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/stepward/stepward/pkg/engine/rego/syntax"
	"github.com/stepward/stepward/pkg/stepup"
)

// requirement examines a require rule with a literal head.
func (l *linter) requirement(m *ast.Module, r *ast.Rule) {
	level := syntax.LiteralLevel(r)
	literal, ok := r.Head.Key.Value.(ast.Object)
	if !ok {
		return
	}
	has := func(name string) bool { return literal.Get(ast.StringTerm(name)) != nil }
	if level == stepup.Anonymous {
		l.publicByHeader(r)
	}
	if l.opt.KeepsACR && level != "" && level != stepup.Anonymous && level != stepup.Authenticated && !has("max_age") {
		l.warn(r.Head.Key.Location, "no_max_age",
			fmt.Sprintf("level %q without max_age holds as long as the session is refreshed", level),
			"an issuer of the configuration (profile keycloak) keeps acr in refreshed tokens; add \"max_age\"")
	}
	if base := l.baseline(m, r); base != "" && level == base && literal.Len() == 1 {
		l.warn(r.Location, "adds_nothing", fmt.Sprintf("adds nothing to the rule that requires %q always", base),
			"remove it, or require more")
	}
	if t := literal.Get(ast.StringTerm("acr")); t != nil {
		l.unreachable(t)
	}
}

// baseline returns the strongest level of an unconditional rule other than r, or an empty
// string.
func (l *linter) baseline(m *ast.Module, r *ast.Rule) string {
	best := ""
	for _, x := range m.Rules {
		if x == r || x.Head.Name != syntax.Require || len(x.Head.Ref()) != 1 || !syntax.Unconditional(x) {
			continue
		}
		names, level := l.opt.Ladder.Names(), syntax.LiteralLevel(x)
		if slices.Index(names, level) > slices.Index(names, best) {
			best = level
		}
	}
	return best
}

// publicByHeader finds a public route that a client can open by itself.
func (l *linter) publicByHeader(r *ast.Rule) {
	ast.WalkRefs(r.Body, func(ref ast.Ref) bool {
		if t := ast.NewTerm(ref); clientHeader(t) {
			l.warn(r.Location, "client_header", fmt.Sprintf("a client that sends %s makes this route public", ref),
				"decide what is public by method and path")
		}
		return false
	})
}

// unreachable finds acr values that prove no level of the ladder.
func (l *linter) unreachable(t *ast.Term) {
	list, ok := t.Value.(*ast.Array)
	if !ok {
		return
	}
	known := l.opt.Ladder.ACRValues()
	none := list.Len() > 0
	list.Foreach(func(x *ast.Term) {
		s, ok := x.Value.(ast.String)
		none = none && ok && !slices.Contains(known, string(s))
	})
	if none {
		l.warn(t.Location, "unknown_acr",
			"none of these acr values is on the ladder, so nobody who meets a level meets this", "known: "+strings.Join(
				known, ", "))
	}
}
