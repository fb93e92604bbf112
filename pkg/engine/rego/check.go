package rego

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/stepward/stepward/pkg/engine/rego/syntax"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/stepup"
)

// slips lists names that are probably misspelt entry rules but too different for [slipOf]
// to notice.
var slips = map[string]string{
	"requirement": syntax.Require, "requirements": syntax.Require, "allow": syntax.Require,
	"denied": syntax.Deny, "denies": syntax.Deny, "denial": syntax.Deny, "denials": syntax.Deny,
	"header": syntax.Headers, "request_headers": syntax.Headers, "response_header": syntax.ResponseHeaders,
}

// checkModule finds problems that the syntax of a module shows.
func (l *loader) checkModule(m *ast.Module) {
	if syntax.IsOurs(m.Package.Path) && !slices.ContainsFunc(m.Imports, func(i *ast.Import) bool {
		return ast.RegoV2CompatibleRef.Equal(i.Path.Value)
	}) {
		l.add(syntax.At(m.Package.Location, "rego_version", "a package of stepward must import rego.v2",
			"add `import rego.v2`: without it, `not` does not hold for undefined values, and a deny goes silent"))
	}
	if !syntax.IsEntry(m.Package.Path) {
		return
	}
	for _, r := range m.Rules {
		l.checkRule(r, m)
	}
}

func (l *loader) checkRule(r *ast.Rule, m *ast.Module) {
	name := string(r.Head.Ref()[0].Value.(ast.Var))
	switch name {
	case syntax.Require, syntax.Deny:
		l.checkMembers(name, r, m)
	case syntax.Headers, syntax.ResponseHeaders, syntax.Metadata:
		l.checkKeyed(name, r, m)
	default:
		if meant := slipOf(name); meant != "" && !strings.HasPrefix(name, "test_") {
			l.add(syntax.At(r.Location, "rule_name", fmt.Sprintf("rule %q is not an entry rule; did you mean %q?", name,
				meant), "rename it if it is a helper: as it stands, nothing reads it"))
		}
	}
}

// slipOf returns the entry rule that the author of name probably meant: one letter more,
// fewer or different, two letters swapped, or a name on the list.
func slipOf(name string) string {
	if meant, ok := slips[name]; ok {
		return meant
	}
	for _, entry := range syntax.EntryRules {
		d := levenshtein.ComputeDistance(strings.ToLower(name), entry)
		if d == 1 || d == 0 && name != entry || d == 2 && len(name) == len(entry) && sameLetters(name, entry) {
			return entry
		}
	}
	return ""
}

func sameLetters(a, b string) bool {
	x, y := []byte(a), []byte(b)
	slices.Sort(x)
	slices.Sort(y)
	return string(x) == string(y)
}

// checkMembers checks a require or deny rule, whose members are objects.
func (l *loader) checkMembers(name string, r *ast.Rule, m *ast.Module) {
	if r.Head.RuleKind() != ast.MultiValue || len(r.Head.Ref()) != 1 || r.Default {
		l.add(syntax.At(r.Location, "rule_kind", fmt.Sprintf("%s must be a set of objects", name),
			fmt.Sprintf("write `%s contains {…} if { … }`", name)))
		return
	}
	l.repeatedKeys(syntax.LiteralOf(r, r.Head.Key))
	d := l.decodingOf(name)
	for _, t := range l.constants.Of(r.Head.Key, r, m) {
		l.checkMember(d, t)
	}
}

// checkKeyed checks a rule of headers, response_headers or metadata, whose names must be
// known before any evaluation: a header that a policy may set must be removed if it is not
// set.
func (l *loader) checkKeyed(name string, r *ast.Rule, m *ast.Module) {
	ref := r.Head.Ref()
	hint := fmt.Sprintf("write `%s[\"name\"] := value if { … }`, one rule for each name", name)
	if r.Head.RuleKind() != ast.SingleValue || len(ref) < 2 || r.Default {
		l.add(syntax.At(r.Location, "rule_kind", fmt.Sprintf("%s must be set name by name", name), hint))
		return
	}
	key, ok := ref[1].Value.(ast.String)
	if !ok || len(ref) != 2 {
		l.add(syntax.At(r.Location, "computed_name", fmt.Sprintf("a name in %s is computed", name), hint))
		return
	}
	var err error
	switch name {
	case syntax.Headers:
		if err = policy.CheckRequestHeader(string(key), l.opt.HeaderPrefix); err == nil {
			l.headers[string(key)] = true
		}
	case syntax.ResponseHeaders:
		err = policy.CheckResponseHeader(string(key))
	}
	if err != nil {
		l.add(syntax.At(r.Location, "header_name", err.Error(), "choose another name, such as x-tenant"))
		return
	}
	for x := r; x != nil; x = x.Else {
		for _, t := range l.constants.Of(x.Head.Value, x, m) {
			if name == syntax.Metadata {
				l.checkMetadata(string(key), t)
			} else {
				l.checkHeader(string(key), t)
			}
		}
	}
}

// checkOrigin refuses a policy with two sources: package stepward.policy may be in files or
// in bundles, but not in both, so that a revision names all of it.
func (l *loader) checkOrigin(sources []Source, modules map[string]*ast.Module) {
	first := map[string]Source{}
	for _, s := range sources {
		m := modules[s.Name]
		if m == nil || !m.Package.Path.Equal(syntax.PolicyPackage) {
			continue
		}
		name := m.Package.Path[1:].String()
		if other, there := first[name]; !there {
			first[name] = s
		} else if s.Bundled != other.Bundled {
			l.add(syntax.At(m.Package.Location, "origin",
				fmt.Sprintf("package %s is in %s already: a policy is in files or in bundles, not in both", name,
					other.Name),
				"leave policy.paths out, or keep data, helpers and packages stepward.route.NAME there"))
			return
		}
	}
}

// checkAnonymous refuses a rule that drops the need for a credential because of what is in
// one: it would open a route to a caller who brings the wrong token. If the level is not a
// literal, the rule is marked, and its members are checked when it is evaluated.
func (l *loader) checkAnonymous(c *ast.Compiler) {
	for _, m := range c.Modules {
		for _, r := range m.Rules {
			if r.Head.Name != hiddenPrefix+syntax.Require || !readsToken(c, r, map[*ast.Rule]bool{}) {
				continue
			}
			i := memberAt(l.members, r.Location)
			l.members[i].readsToken = true
			if syntax.LiteralLevel(l.members[i].rule) == stepup.Anonymous {
				l.add(syntax.At(r.Location, "anonymous_token", "a rule that makes a route public reads input.token",
					"a public route is public for everyone: decide it on input.request alone"))
			}
		}
	}
}

// readsToken reports whether r or a rule that it depends on looks at
// input.token, or at the input in a way that may.
func readsToken(c *ast.Compiler, r *ast.Rule, seen map[*ast.Rule]bool) bool {
	if seen[r] {
		return false
	}
	seen[r] = true
	if mentionsToken(r) {
		return true
	}
	for dep := range c.Graph.Dependencies(r) {
		if rule, ok := dep.(*ast.Rule); ok && readsToken(c, rule, seen) {
			return true
		}
	}
	return false
}

func mentionsToken(r *ast.Rule) bool {
	found := false
	ast.WalkRefs(r, func(ref ast.Ref) bool {
		if !ref[0].Equal(ast.InputRootDocument) {
			return false
		}
		if len(ref) < 2 {
			found = true
			return true
		}
		name, literal := ref[1].Value.(ast.String)
		found = found || !literal || name == "token"
		return found
	})
	return found
}
