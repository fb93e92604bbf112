package opaenvoy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/engine/rego/syntax"
	"github.com/stepward/stepward/pkg/finding"
)

// compile compiles sources by OPA's own rules: without a schema of the input, and no
// stricter than the language itself.
func compile(sources []rego.Source, opt Options) (*ast.Compiler, map[string]any, finding.List) {
	if large := rego.TooLarge(sources); large != nil {
		return nil, nil, large
	}
	modules, document, found := parse(sources, opt, false)
	if found = append(found, checkOrigin(sources, modules)...); len(found) > 0 {
		return nil, nil, found
	}
	compiler := ast.NewCompiler().WithCapabilities(capabilities(opt.Network))
	if compiler.Compile(modules); compiler.Failed() {
		return nil, nil, findings(compiler.Errors, "")
	}
	return compiler, document, nil
}

// parse reads the Rego files of sources, including tests only if they are wanted, and
// merges the data files.
func parse(sources []rego.Source, opt Options, tests bool) (map[string]*ast.Module, map[string]any, finding.List) {
	document, found := data(sources)
	permitted := capabilities(opt.Network)
	modules := map[string]*ast.Module{}
	for _, s := range sources {
		if !syntax.IsRego(s.Name) || !tests && syntax.IsTest(s.Name) {
			continue
		}
		m, err := s.Module(permitted)
		if err != nil {
			found = append(found, parseFindings(s, err)...)
			continue
		}
		modules[s.Name] = m
	}
	return modules, document, found
}

// capabilities returns those of the embedded OPA, without the built-in functions that show
// the process and its environment. Functions that reach the network are included only if
// that is permitted.
func capabilities(network bool) *ast.Capabilities {
	c := ast.CapabilitiesForThisVersion()
	c.Builtins = slices.DeleteFunc(slices.Clone(c.Builtins), func(b *ast.Builtin) bool {
		reaches := strings.HasPrefix(b.Name, "http.") || strings.HasPrefix(b.Name, "net.lookup")
		return reaches && !network || strings.HasPrefix(b.Name, "opa.runtime")
	})
	if !network {
		c.AllowNet = []string{} // not nil, which would allow all hosts
	}
	return c
}

// checkOrigin refuses a package that is both in files and in bundles: OPA would replace the
// file with the bundle, and a revision must name everything that decides.
func checkOrigin(sources []rego.Source, modules map[string]*ast.Module) finding.List {
	first := map[string]rego.Source{}
	for _, s := range sources {
		m := modules[s.Name]
		if m == nil {
			continue
		}
		name := m.Package.Path[1:].String()
		if other, there := first[name]; !there {
			first[name] = s
		} else if s.Bundled != other.Bundled {
			return finding.List{syntax.At(m.Package.Location, "origin",
				fmt.Sprintf("package %s is in %s already: a policy is in files or in bundles, not in both", name,
					other.Name), "leave the package out of policy.paths, or out of the bundle")}
		}
	}
	return nil
}

// findings returns the [syntax.Findings] for err, with hints that apply to such policies.
func findings(err error, file string) finding.List {
	found := syntax.Findings(err, file)
	for i := range found {
		if strings.Contains(found[i].Message, "undefined function") {
			found[i].Hint = "http.send and net.lookup_ip_addr are there with --insecure-policy-network only, " +
				"opa.runtime is not"
		}
	}
	return found
}

// parseFindings returns the findings for a file that cannot be parsed, and says what to do
// if it uses the old syntax.
func parseFindings(s rego.Source, err error) finding.List {
	if _, old := ast.ParseModuleWithOpts(s.Name, string(s.Text), ast.ParserOptions{
		RegoVersion: ast.RegoV0}); old == nil {
		return finding.List{{File: s.Name, Line: 1, Column: 1, Code: "rego_v0",
			Message: "the file is Rego v0",
			Hint: "write it anew once with `opa fmt --v0-v1 --write`, " +
				"or put `import rego.v1` into it and fix the findings"}}
	}
	return findings(err, s.Name)
}

// decisionRef returns the reference to a decision by its path.
func decisionRef(path string) ast.Ref {
	ref := ast.Ref{ast.DefaultRootDocument}
	for name := range strings.SplitSeq(path, "/") {
		switch n, err := strconv.Atoi(name); {
		case name == "":
		case err == nil:
			ref = append(ref, ast.IntNumberTerm(n))
		default:
			ref = append(ref, ast.StringTerm(name))
		}
	}
	return ref
}

// checkDecision refuses a decision that no rule makes: it would refuse everything.
func checkDecision(c *ast.Compiler, document map[string]any, ref ast.Ref, path string, sources []rego.Source) (
	finding.Finding, bool) {
	if len(ref) > 1 && len(c.GetRules(ref)) > 0 {
		return finding.Finding{}, true
	}
	var at any = document
	for _, t := range ref[1:] {
		name, _ := t.Value.(ast.String)
		o, _ := at.(map[string]any)
		at = o[string(name)]
	}
	if len(ref) > 1 && at != nil {
		return finding.Finding{}, true
	}
	var known []string
	for _, m := range c.Modules {
		for _, r := range m.Rules {
			if plain, err := r.Ref().GroundPrefix().Ptr(); err == nil && !slices.Contains(known, plain) {
				known = append(known, plain)
			}
		}
	}
	slices.Sort(known)
	return finding.Finding{File: firstName(sources), Line: 1, Column: 1, Code: "no_decision",
		Message: fmt.Sprintf("no rule makes the decision %s%s", path, finding.DidYouMean(path, known)),
		Hint:    "policy.path names it, with slashes"}, false
}

// firstName returns the file in which to show a finding about all of the sources.
func firstName(sources []rego.Source) string {
	if len(sources) == 0 {
		return "policy"
	}
	return sources[0].Name
}
