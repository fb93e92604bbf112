package opaenvoy

import (
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/engine/rego/syntax"

	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/stepward/stepward/pkg/finding"
)

// Lint checks a policy for opa-envoy-plugin that loads without errors. It finds a `not`
// that holds because a built-in function fails: here, as in that plugin, such a failure is
// undefined, and a rule that should keep somebody out goes silent.
func Lint(sources []rego.Source, opt Options) finding.List {
	opt = opt.withDefaults()
	c, _, found := compile(sources, opt)
	if len(found) > 0 {
		return nil // loading it has reported that
	}
	var list finding.List
	for _, m := range c.Modules {
		ast.WalkExprs(m, func(e *ast.Expr) bool {
			if !e.Negated {
				return false
			}
			if name := mayFail(c, e, map[*ast.Rule]bool{}); name != "" {
				f := syntax.At(e.Location, "silent_error",
					fmt.Sprintf("this also holds when %s fails, on input that the client chooses", name),
					"check in a separate rule what must be true, and deny without it")
				f.Severity = finding.Warning
				list = append(list, f)
			}
			return false
		})
	}
	return list.Tidy()
}

// fallible lists, by the beginnings of their names, built-in functions that fail on
// unexpected text.
var fallible = []string{
	"base64", "crypto.x509", "hex.decode", "http.send", "io.jwt.", "json.unmarshal", "net.cidr", "net.lookup",
	"semver.compare", "time.parse", "to_number",
	"units.parse", "urlquery.decode", "yaml.unmarshal",
}

// mayFail names a fallible function that node calls, directly or through a rule, or is
// empty.
func mayFail(c *ast.Compiler, node any, seen map[*ast.Rule]bool) string {
	name := ""
	visit := func(ref ast.Ref) bool {
		if name != "" {
			return true
		}
		text := ref.String()
		if slices.ContainsFunc(fallible, func(prefix string) bool { return strings.HasPrefix(text, prefix) }) &&
			!strings.HasSuffix(text, ".is_valid") && !strings.Contains(text, ".encode") {
			name = text
			return true
		}
		for _, r := range syntax.RulesAt(c, ref) {
			if !seen[r] && name == "" {
				seen[r] = true
				name = mayFail(c, r, seen)
			}
		}
		return name != ""
	}
	ast.WalkRefs(node, visit)
	return name
}
