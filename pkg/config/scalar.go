package config

import (
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"time"

	"go.yaml.in/yaml/v4"
)

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.ScalarNode {
		d.fail(n, path, what(path)+" must be a single value", "")
		return
	}
	switch v.Kind() {
	case reflect.String:
		if n.Tag != "!!str" {
			d.fail(n, path, what(path)+" must be text", "put it in quotes")
			return
		}
		v.SetString(d.expand(n, path))
	case reflect.Bool:
		b, err := strconv.ParseBool(n.Value)
		if n.Tag != "!!bool" || err != nil {
			d.fail(n, path, what(path)+" must be true or false", "without quotes; yes, no, on and off are texts")
			return
		}
		v.SetBool(b)
	case reflect.Int:
		i, err := strconv.Atoi(n.Value)
		if n.Tag != "!!int" || err != nil {
			d.fail(n, path, what(path)+" must be a whole number", "")
			return
		}
		v.SetInt(int64(i))
	}
}

var variable = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// expand replaces ${NAME} with the value of the environment variable, which must be set.
func (d *decoder) expand(n *yaml.Node, path string) string {
	return variable.ReplaceAllStringFunc(n.Value, func(m string) string {
		name := m[2 : len(m)-1]
		value := ""
		if d.getenv != nil {
			value = d.getenv(name)
		}
		if value == "" {
			d.fail(n, path, fmt.Sprintf("the environment variable %s is not set", name),
				"set it, or write the value out")
		}
		return value
	})
}

func (d *decoder) duration(n *yaml.Node, v reflect.Value, path string) {
	length, err := time.ParseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || length <= 0 {
		d.fail(n, path, what(path)+" must be a length of time", "such as 150ms, 30s or 5m")
		return
	}
	v.SetInt(int64(length))
}

// assurance reads a word, or an object that names a claim.
func (d *decoder) assurance(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind == yaml.MappingNode {
		d.object(n, v, path)
		claim := v.Interface().(Assurance).Claim
		if claim == "" || claim == "acr" || claim == "amr" {
			d.fail(n, path, path+".claim must name a claim other than acr and amr",
				"write `assurance: acr` or `assurance: amr` for those")
		}
		return
	}
	if n.Kind != yaml.ScalarNode || n.Value != "acr" && n.Value != "amr" {
		d.fail(n, path, what(path)+" must be acr, amr or { claim: NAME }",
			"the one claim of this issuer that proves a level")
		return
	}
	v.Set(reflect.ValueOf(Assurance{Claim: n.Value}))
}

func (d *decoder) size(n *yaml.Node, v reflect.Value, path string) {
	bytes, err := parseSize(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil {
		d.fail(n, path, what(path)+" must be a size in bytes", "such as 4096, 16KiB or 1MiB")
		return
	}
	v.SetInt(bytes)
}
