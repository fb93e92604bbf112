package config

import (
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/internal/strictyaml"
)

// opa reads OPA's configuration and replaces ${NAME} in it, as OPA does.
func (d *decoder) opa(file string) string {
	if file == "" {
		return ""
	}
	text, err := d.look.Read(file, files.MaxFile)
	if err != nil {
		d.failAt("bundles.config_file", err.Error(), "")
		return ""
	}
	root, err := strictyaml.Document(text)
	if err != nil {
		d.found = append(d.found, syntax(file, err))
		return ""
	}
	inner := &decoder{file: file, getenv: d.getenv}
	inner.expandAll(root)
	d.found = append(d.found, inner.found...)
	out, err := yaml.Marshal(root)
	if err != nil {
		d.failAt("bundles.config_file", err.Error(), "")
	}
	return string(out)
}

// expandAll replaces ${NAME} in every value. A value that was written without quotes is
// parsed again, because a variable can hold a number.
func (d *decoder) expandAll(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && strings.Contains(n.Value, "${") {
		n.Value = d.expand(n, "")
		if n.Style == 0 {
			n.Tag = ""
		}
	}
	for _, x := range n.Content {
		d.expandAll(x)
	}
}
