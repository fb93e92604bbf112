package config

import (
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/finding"
)

// decoder walks the document and the Go value that it fills in parallel, and remembers the
// position of each member.
type decoder struct {
	file   string
	getenv func(string) string
	look   *files.Look
	found  finding.List
	places map[string]*yaml.Node
}

func (d *decoder) fail(n *yaml.Node, path, message, hint string) {
	f := finding.Finding{File: d.file, Line: 1, Column: 1, Code: "config", Path: path, Message: message, Hint: hint}
	if n != nil {
		f.Line, f.Column = n.Line, n.Column
	}
	d.found = append(d.found, f)
}

// failAt reports something about the member at path, at the nearest position that is in the
// file.
func (d *decoder) failAt(path, message, hint string) {
	for p := path; ; {
		if n := d.places[p]; n != nil {
			d.fail(n, path, path+": "+message, hint)
			return
		}
		i := strings.LastIndexAny(p, ".[")
		if i < 0 {
			d.fail(nil, path, path+": "+message, hint)
			return
		}
		p = p[:i]
	}
}

func (d *decoder) decode(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind == yaml.AliasNode {
		d.fail(n, path, "aliases are not used here", "write the value out")
		return
	}
	if d.places == nil {
		d.places = map[string]*yaml.Node{}
	}
	d.places[path] = n
	if n.Tag == "!!null" {
		d.nothing(n, v, path)
		return
	}
	switch v.Interface().(type) {
	case Duration:
		d.duration(n, v, path)
		return
	case Size:
		d.size(n, v, path)
		return
	case Assurance:
		d.assurance(n, v, path)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.object(n, v, path)
	case reflect.Map:
		d.mapping(n, v, path)
	case reflect.Slice:
		d.list(n, v, path)
	default:
		d.scalar(n, v, path)
	}
}

// nothing treats a key without a value as missing if it takes a single value. It refuses
// such a key if it should hold others: a file that was cut short ends like this, and means
// something else without them.
func (d *decoder) nothing(n *yaml.Node, v reflect.Value, path string) {
	switch v.Kind() {
	case reflect.Struct, reflect.Map, reflect.Slice:
		d.fail(n, path, what(path)+" has nothing in it",
			"write what belongs there, or leave the key out; a file that was cut ends like this")
	}
}

// written reports whether the key at path is in the file, with a value.
func (d *decoder) written(path string) bool {
	n := d.places[path]
	return n != nil && n.Tag != "!!null"
}

func (d *decoder) object(n *yaml.Node, v reflect.Value, path string) {
	fields := map[string]int{}
	var known []string
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("yaml")
		if name == "-" {
			continue
		}
		fields[name] = i
		known = append(known, name)
	}
	d.members(n, path, func(key, value *yaml.Node) {
		i, ok := fields[key.Value]
		if !ok {
			d.fail(key, join(path, key.Value), fmt.Sprintf("unknown key %q%s", key.Value,
				finding.DidYouMean(key.Value, known)), keyHint(key.Value, known))
			return
		}
		d.decode(value, v.Field(i), join(path, key.Value))
	})
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, path string) {
	v.Set(reflect.MakeMap(v.Type()))
	d.members(n, path, func(key, value *yaml.Node) {
		x := reflect.New(v.Type().Elem()).Elem()
		d.decode(value, x, join(path, key.Value))
		v.SetMapIndex(reflect.ValueOf(key.Value), x)
	})
}

func (d *decoder) members(n *yaml.Node, path string, visit func(key, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		d.fail(n, path, what(path)+" must be an object of keys and values", "")
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode {
			d.fail(key, path, "a key must be a word", "")
			continue
		}
		if line := seen[key.Value]; line > 0 {
			d.fail(key, join(path, key.Value), fmt.Sprintf("key %q stands here twice", key.Value),
				fmt.Sprintf("it is at line %d already; keep one of them", line))
			continue
		}
		seen[key.Value] = key.Line
		visit(key, n.Content[i+1])
	}
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		d.fail(n, path, what(path)+" must be a list", "write [a, b], or one \"- a\" a line")
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, x := range n.Content {
		d.decode(x, out.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
	v.Set(out)
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func what(path string) string {
	if path == "" {
		return "the configuration"
	}
	return path
}
