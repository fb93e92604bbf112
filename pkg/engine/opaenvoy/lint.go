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

// Lint looks over a policy of opa-envoy-plugin that loads. It finds a `not` that
// holds because a built-in function fails: there, as in that plugin, such a failure is
// undefined, and a rule that keeps somebody out goes silent.
func Lint(sources []rego.Source, opt Options) finding.List {
	opt = opt.withDefaults()
	c, _, found := compile(sources, opt)
	if len(found) > 0 {
		return nil // loading it has said so
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
					"ask in a rule of its own for what must be true, and deny without it")
				f.Severity = finding.Warning
				list = append(list, f)
			}
			return false
		})
	}
	return list.Tidy()
}

// fallible lists built-in functions that fail on texts which are not what they expect,
// by the beginnings of their names.
var fallible = []string{
	"base64", "crypto.x509", "hex.decode", "http.send", "io.jwt.", "json.unmarshal", "net.cidr", "net.lookup",
	"semver.compare", "time.parse", "to_number",
	"units.parse", "urlquery.decode", "yaml.unmarshal",
}

// mayFail names a fallible function that node, or a rule that it leads to, calls; or it is
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
