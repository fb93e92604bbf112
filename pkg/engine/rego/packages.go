package rego

import (
	"maps"

	"github.com/stepward/stepward/pkg/engine/rego/syntax"

	"bytes"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/policies"
)

// A stop sign that is never read stops nobody: for example one in a package with a misspelt
// name, in a file that looks like a test, or under the name of a helper that nothing reads.
// Such a policy compiles, and its tests pass. So each package must be reachable from one
// that decides; others are refused.

// shippedTexts returns the files of the library, by their names.
func shippedTexts() map[string][]byte {
	texts := map[string][]byte{}
	library := policies.Library()
	names, err := fs.Glob(library, "*.rego")
	if err != nil {
		return nil // the pattern is well-formed
	}
	for _, name := range names {
		if text, err := fs.ReadFile(library, name); err == nil {
			texts[name] = text
		}
	}
	return texts
}

// ownSources returns the sources that the operator wrote: all but the library's. A bundle
// may bring its own library, which then replaces ours.
func ownSources(sources []Source) []Source {
	texts := shippedTexts()
	return slices.DeleteFunc(slices.Clone(sources), func(s Source) bool {
		return !syntax.IsRego(s.Name) || s.Shipped || bytes.Equal(texts[filepath.Base(s.Name)], s.Text)
	})
}

// checkNames refuses problems that the syntax of a module shows: a package or a rule in a
// namespace of ours, and rules of another package that reach into one that decides.
func (l *loader) checkNames(sources []Source, modules map[string]*ast.Module) {
	for _, s := range ownSources(sources) {
		m := modules[s.Name]
		if m == nil {
			continue
		}
		name, path := m.Package.Path[1:].String(), m.Package.Path
		switch {
		case path.HasPrefix(syntax.LibraryPackage) && !s.Bundled:
			l.add(syntax.At(m.Package.Location, "package", fmt.Sprintf("package %s is a place of the library's", name),
				"put it into a package of your own, such as package helpers, and import that"))
			continue
		case strings.HasPrefix(name, "__stepward"), path.HasPrefix(unknownPackage):
			l.add(syntax.At(m.Package.Location, "package", fmt.Sprintf("package %s is a place of Stepward's own", name),
				"choose another name"))
			continue
		case len(path) > len(syntax.PolicyPackage) && path.HasPrefix(syntax.PolicyPackage) && slices.Contains(
			syntax.EntryRules, syntax.Text(path[len(syntax.PolicyPackage)])):
			l.add(syntax.At(m.Package.Location, "package",
				fmt.Sprintf("package %s stands where a rule of package stepward.policy does, and nothing asks it",
					name), "did you mean package stepward.policy?"))
			continue
		}
		for _, r := range m.Rules {
			l.checkPlaceOf(r, m)
		}
	}
}

// unknownPackage is where rules ask which data cannot be believed.
var unknownPackage = ast.MustParseRef("data.stepward.unknown")

// checkPlaceOf refuses a rule in a namespace of ours, and a rule that reaches from another
// package into one that decides: package stepward with policy.require.
func (l *loader) checkPlaceOf(r *ast.Rule, m *ast.Module) {
	head := r.Head.Ref()
	if strings.HasPrefix(string(head[0].Value.(ast.Var)), hiddenPrefix) {
		l.add(
			syntax.At(r.Location, "rule_name", fmt.Sprintf("names that begin with %s are Stepward's own", hiddenPrefix),
				"rename it"),
		)
		return
	}
	if syntax.IsEntry(m.Package.Path) || len(head) < 2 {
		return
	}
	place := m.Package.Path.Append(ast.StringTerm(syntax.Text(head[0])))
	for _, t := range head[1:] {
		place = place.Append(t)
	}
	if len(m.Package.Path) >= len(syntax.PolicyPackage) {
		return
	}
	for n := len(m.Package.Path) + 1; n < len(place); n++ {
		if syntax.IsEntry(place[:n]) || place[:n].Equal(syntax.LibraryPackage) || place[:n].Equal(unknownPackage) {
			l.add(syntax.At(r.Location, "package",
				fmt.Sprintf("rule %s is in package %s, and stands in %s, where nothing evaluates it", head,
					m.Package.Path[1:], place[1:n]), fmt.Sprintf("write it in package %s", place[1:n])))
			return
		}
	}
}

// checkTests refuses a test file with rules that decide: it takes no part in serving.
func (l *loader) checkTests(sources []Source) {
	for _, s := range ownSources(sources) {
		if !syntax.IsTest(s.Name) {
			continue
		}
		m, err := s.Module(capabilities())
		if err != nil {
			continue // `stepward test` says so
		}
		for _, r := range m.Rules {
			name := syntax.Text(r.Head.Ref()[0])
			decides := syntax.IsEntry(m.Package.Path) || entryMeant(m.Package.Path) != ""
			if slices.Contains(syntax.EntryRules, name) && (decides || entryShape(r) != "") {
				l.add(syntax.At(r.Location, "test_file",
					fmt.Sprintf("rule %s of package %s is in a file of tests, and decides nothing", name,
						m.Package.Path[1:]), "name the file without _test, or put the rule into another file"))
			}
		}
	}
}

// checkReached refuses packages that are not reachable from one that decides, and rules
// that look like members of an entry rule but are not.
func (l *loader) checkReached(c *ast.Compiler, sources []Source, modules map[string]*ast.Module) {
	if c.Graph == nil {
		return
	}
	r := reachOf(c)
	for _, s := range ownSources(sources) {
		m := modules[s.Name]
		if m == nil || syntax.IsTest(s.Name) {
			continue
		}
		path := m.Package.Path
		if r.packages[path.String()] || path.Equal(syntax.PolicyPackage) {
			l.checkSilent(m, r)
		} else if !s.Bundled || entryMeant(path) != "" || syntax.IsEntry(path) || slices.ContainsFunc(
			m.Rules, func(r *ast.Rule) bool { return entryShape(r) != "" }) {
			l.unreached(m)
		}
	}
}

// unreached reports that nothing leads to a package, and suggests what its author may have
// meant.
func (l *loader) unreached(m *ast.Module) {
	if len(m.Rules) == 0 && len(m.Annotations) > 0 {
		return // it says what data looks like
	}
	name, meant := m.Package.Path[1:].String(), entryMeant(m.Package.Path)
	hint := "import it from package stepward.policy, or remove it"
	switch {
	case syntax.IsEntry(m.Package.Path):
		hint = "a route's package decides by " + strings.Join(syntax.EntryRules, ", ") + "; it has none of these"
	case meant != "":
		hint = fmt.Sprintf("did you mean package %s?", meant)
	case slices.ContainsFunc(m.Rules, func(r *ast.Rule) bool {
		return syntax.IsTestRule(syntax.Text(r.Head.Ref()[0]))
	}):
		hint = "if it is a test, end the name of its file in _test.rego"
	case slices.ContainsFunc(m.Rules, func(r *ast.Rule) bool {
		return slices.Contains(syntax.EntryRules, syntax.Text(r.Head.Ref()[0])) || entryShape(r) != ""
	}):
		hint = "did you mean package stepward.policy, or package stepward.route.NAME?"
	}
	l.add(
		syntax.At(m.Package.Location, "package", fmt.Sprintf("package %s is read by nothing that decides", name), hint),
	)
}

// checkSilent refuses unread rules that stand next to deciding rules and look like one.
func (l *loader) checkSilent(m *ast.Module, reach reach) {
	for _, r := range m.Rules {
		name := syntax.Text(r.Head.Ref()[0])
		if reach.has(r) || syntax.IsTestRule(name) || strings.HasPrefix(name, hiddenPrefix) {
			continue
		}
		meant := entryShape(r)
		if named := slices.Contains(syntax.EntryRules, name); meant == "" && !named {
			continue
		} else if named {
			meant = name
		}
		hint := fmt.Sprintf("write `%s contains {…} if { … }`, or read it in a rule that decides", meant)
		if !syntax.IsEntry(m.Package.Path) {
			hint = "put it into package stepward.policy, or read it there"
		}
		l.add(
			syntax.At(r.Location, "rule_name",
				fmt.Sprintf("rule %q looks like %s and is read by nothing that decides", name,
					meant),
				hint,
			),
		)
	}
}

// reach holds everything that the deciding rules lead to.
type reach struct {
	places   map[string]bool // of rules
	packages map[string]bool
}

func reachOf(c *ast.Compiler) reach {
	r := reach{places: map[string]bool{}, packages: map[string]bool{}}
	for _, x := range reached(c) {
		r.places[placeOf(x)] = true
		if x.Module != nil {
			r.packages[x.Module.Package.Path.String()] = true
		}
	}
	return r
}

func (r reach) has(x *ast.Rule) bool { return r.places[placeOf(x)] }

// placeOf tells rules apart: the compiler looks at copies of them.
func placeOf(r *ast.Rule) string { return fmt.Sprint(r.Location) + " " + r.Head.Ref().String() }

// entryShape returns the entry rule whose members look like the value of r, or an empty
// string.
func entryShape(r *ast.Rule) string {
	if len(r.Head.Args) > 0 {
		return ""
	}
	t := r.Head.Value
	if r.Head.RuleKind() == ast.MultiValue {
		t = r.Head.Key
	}
	if t == nil {
		return ""
	}
	o, ok := syntax.LiteralOf(r, t).Value.(ast.Object)
	if !ok || o.Len() == 0 {
		return ""
	}
	requires, denies, certain := true, true, r.Head.RuleKind() == ast.MultiValue
	o.Foreach(func(k, _ *ast.Term) {
		key := syntax.Text(k)
		required, denied := slices.Contains(policy.RequirementKeys, key), slices.Contains(policy.DenialKeys, key)
		requires, denies, certain = requires && required, denies && denied, certain || required != denied
	})
	switch {
	case !certain:
	case denies:
		return syntax.Deny
	case requires:
		return syntax.Require
	}
	return ""
}

// entryMeant returns the deciding package that the author of path probably meant, or an
// empty string.
func entryMeant(path ast.Ref) string {
	var names []string
	for _, t := range path[1:] {
		names = append(names, syntax.Text(t))
	}
	whole := strings.ToLower(strings.Join(names, "."))
	if syntax.IsEntry(path) {
		return ""
	}
	if near(whole, "stepward.policy", 2) || near(strings.NewReplacer("_", ".", "-", ".").Replace(whole),
		"stepward.policy", 2) || whole == "policy" || whole == "stepward" {
		return "stepward.policy"
	}
	if len(names) < 2 || !near(names[0], "stepward", 2) {
		return ""
	}
	switch second := strings.ToLower(names[1]); {
	case near(second, "policy", 2), strings.HasPrefix(second, "polic"):
		return "stepward.policy"
	case near(second, "route", 2) && len(names) > 2:
		return "stepward.route." + names[2]
	case near(second, "route", 2):
		return "stepward.route.NAME"
	case slices.Contains(syntax.EntryRules, second):
		return "stepward.policy"
	}
	return ""
}

func near(a, b string, most int) bool {
	return levenshtein.ComputeDistance(strings.ToLower(a), b) <= most
}

// nearMisses adds packages whose names are nearly right to the findings of a policy that
// has no rule require: one of them may be it.
func (l *loader) nearMisses(sources []Source, modules map[string]*ast.Module) {
	for _, s := range ownSources(sources) {
		if m := modules[s.Name]; m != nil && entryMeant(m.Package.Path) != "" {
			l.unreached(m)
		}
	}
}

// misnamed returns the name that a policy file should have, if only its name keeps it out:
// pay.REGO, or pay.rego.txt. Otherwise it returns an empty string.
func misnamed(path string) string {
	base := filepath.Base(path)
	if strings.HasPrefix(base, ".") || isSource(path) {
		return ""
	}
	bare := strings.TrimSuffix(strings.ToLower(base), ".txt")
	if ext := filepath.Ext(bare); isSource("x" + ext) {
		return base[:len(bare)-len(ext)] + ext
	}
	return ""
}

// Hidden warns about Rego files below paths that take no part in a policy because a name on
// the way to them begins with a dot.
func Hidden(paths []string) (finding.List, error) {
	var found finding.List
	for _, root := range paths {
		names, err := files.Hidden(root, func(name string) bool {
			return syntax.IsRego(strings.TrimSuffix(strings.ToLower(name), ".txt"))
		})
		if err != nil {
			return nil, fmt.Errorf("rego: %w", err)
		}
		for _, name := range names {
			found = append(found, finding.Finding{File: name, Line: 1, Column: 1, Severity: finding.Warning,
				Code:    "file_name",
				Message: "the file takes no part in the policy: its name, or that of its folder, begins with a dot",
				Hint:    "rename it, or keep it elsewhere"})
		}
	}
	return found, nil
}

// Unread lists the rules in the operator's own files that no deciding rule leads to,
// without functions and tests. It lists none if the sources do not compile.
func Unread(sources []Source, opt Options) []*ast.Rule {
	l := newLoader(opt)
	modules, document := l.parse(sources, false)
	c := newCompiler(l.newSchemas(sources, document))
	if c.Compile(maps.Clone(modules)); c.Failed() {
		return nil
	}
	reached := reachOf(c)
	var list []*ast.Rule
	for _, s := range ownSources(sources) {
		m := modules[s.Name]
		if m == nil || s.Bundled {
			continue
		}
		for _, r := range m.Rules {
			if len(r.Head.Args) == 0 && !reached.has(r) && !syntax.IsTestRule(r.Head.Ref().String()) {
				list = append(list, r)
			}
		}
	}
	return list
}

// Parse reads the Rego files of sources, without tests and without files that cannot be
// parsed.
func Parse(sources []Source, opt Options) map[string]*ast.Module {
	modules, _ := newLoader(opt).parse(sources, false)
	return modules
}
