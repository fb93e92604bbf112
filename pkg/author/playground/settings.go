package playground

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/finding"
)

// settingsFile and routesFile name the page's other texts.
const (
	settingsFile = "stepward.yaml"
	routesFile   = "routes"
)

// decides lists the keys of a configuration that affect decisions but name no file, no
// address of ours and no secret.
var decides = []string{"issuers", "levels", "request", "upstream", "challenge", "cors", "errors", "login_redirect"}

// decidesOf lists such keys of an issuer.
var decidesOf = []string{"name", "issuer", "audiences", "algorithms", "profile", "assurance", "leeway", "levels"}

var variable = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// Excerpt returns the part of a configuration that affects decisions, with its comments. It
// leaves out everything that names files, listening addresses or secrets, and replaces
// ${NAME}.
func Excerpt(configuration []byte, getenv func(string) string) ([]byte, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(configuration, &root); err != nil {
		return nil, finding.List{finding.YAML("stepward.yaml", configuration, err)}
	}
	if len(root.Content) == 0 || root.Content[0].Kind != yaml.MappingNode {
		return nil, fmt.Errorf("playground: the configuration is not an object")
	}
	visit(root.Content[0], func(object *yaml.Node, known []string) {
		var kept []*yaml.Node
		for i := 0; i+1 < len(object.Content); i += 2 {
			if slices.Contains(known, object.Content[i].Value) {
				kept = append(kept, object.Content[i], object.Content[i+1])
			}
		}
		object.Content = kept
	})
	expand(&root, getenv)
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(&root); err != nil {
		return nil, fmt.Errorf("playground: %w", err)
	}
	return b.Bytes(), e.Close()
}

// visit visits the configuration and each of its issuers, with the keys that they keep.
func visit(root *yaml.Node, show func(object *yaml.Node, known []string)) {
	show(root, decides)
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value != "issuers" {
			continue
		}
		for _, issuer := range root.Content[i+1].Content {
			if issuer.Kind == yaml.MappingNode {
				show(issuer, decidesOf)
			}
		}
	}
}

func expand(n *yaml.Node, getenv func(string) string) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
		n.Value = variable.ReplaceAllStringFunc(n.Value, func(m string) string {
			if v := getenv(m[2 : len(m)-1]); v != "" {
				return v
			}
			return m // is reported when it is parsed
		})
	}
	for _, c := range n.Content {
		expand(c, getenv)
	}
}

// parseSettings reads a configuration from the text on the page. A key that [Excerpt]
// leaves out is a finding and is otherwise ignored: a shared file must not make the machine
// of the person who opens it look for files.
func parseSettings(text string) (config.Config, error) {
	var root yaml.Node
	var found finding.List
	if err := yaml.Unmarshal([]byte(text), &root); err == nil && len(root.Content) > 0 &&
		root.Content[0].Kind == yaml.MappingNode {
		visit(root.Content[0], func(object *yaml.Node, known []string) {
			for i := 0; i+1 < len(object.Content); i += 2 {
				key := object.Content[i]
				if !slices.Contains(known, key.Value) {
					found = append(found, finding.Finding{File: settingsFile, Line: key.Line, Column: key.Column,
						Code: "config",
						Message: fmt.Sprintf("%q is no part of a playground%s", key.Value,
							finding.DidYouMean(key.Value, known)), Hint: "known here: " + strings.Join(known, ", ")})
				}
			}
		})
	}
	if len(found) > 0 {
		return config.Config{}, found.Tidy()
	}
	return config.Parse(settingsFile, []byte(text), config.Options{Excerpt: true})
}
