package proxy

import (
	"iter"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/stepward/stepward/pkg/finding"
)

// node is a value in a document, with its position. The zero node is absent; looking into
// it finds nothing.
type node struct {
	y    *yaml.Node
	file string
	line int // to add, for a document inside another
	col  int
	path string // as static_resources.listeners[0]
}

func (n node) there() bool { return n.y != nil && n.y.Tag != "!!null" }

func (n node) at(y *yaml.Node, path string) node {
	for y != nil && y.Kind == yaml.AliasNode {
		y = y.Alias
	}
	n.y, n.path = y, path
	return n
}

// members visits the keys and values of an object, its own before those that are merged
// into it.
func (n node) members() iter.Seq2[node, node] {
	return func(yield func(key, value node) bool) {
		if n.y == nil || n.y.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i+1 < len(n.y.Content); i += 2 {
			key := n.y.Content[i]
			if key.Tag == "!!merge" {
				continue
			}
			path := key.Value
			if n.path != "" {
				path = n.path + "." + path
			}
			if !yield(n.at(key, path), n.at(n.y.Content[i+1], path)) {
				return
			}
		}
		for i := 0; i+1 < len(n.y.Content); i += 2 {
			if n.y.Content[i].Tag != "!!merge" {
				continue
			}
			for key, value := range n.at(n.y.Content[i+1], n.path).members() {
				if !yield(key, value) {
					return
				}
			}
		}
	}
}

// items visits the elements of a list.
func (n node) items() iter.Seq[node] {
	return func(yield func(node) bool) {
		if n.y == nil || n.y.Kind != yaml.SequenceNode {
			return
		}
		for i, y := range n.y.Content {
			if !yield(n.at(y, n.path+"["+itoa(i)+"]")) {
				return
			}
		}
	}
}

// get returns the member at a path of names joined by "/", each in the given spelling or in
// that of JSON.
func (n node) get(path string) node {
	for name := range strings.SplitSeq(path, "/") {
		found := node{}
		for key, value := range n.members() {
			if key.y.Value == name || key.y.Value == camel(name) {
				found = value
				break
			}
		}
		if n = found; n.y == nil {
			return node{}
		}
	}
	return n
}

// camel spells a name as protobuf does in JSON.
func camel(name string) string {
	parts := strings.Split(name, "_")
	for i := 1; i < len(parts); i++ {
		if parts[i] != "" {
			parts[i] = strings.ToUpper(parts[i][:1]) + parts[i][1:]
		}
	}
	return strings.Join(parts, "")
}

func (n node) text() string {
	if n.y == nil || n.y.Kind != yaml.ScalarNode {
		return ""
	}
	return n.y.Value
}

// yes and no recognize the words that proxies and controllers accept for true and false.
func (n node) yes() bool {
	return slices.Contains([]string{"true", "yes", "on", "y"}, strings.ToLower(n.text()))
}

func (n node) no() bool {
	return slices.Contains([]string{"false", "no", "off", "n"}, strings.ToLower(n.text()))
}

// fix replaces n with another value.
func (n node) fix(value string) *finding.Fix { return &finding.Fix{Old: n.text(), New: value} }

// texts returns the elements of a list of texts.
func (n node) texts() []string {
	var all []string
	for item := range n.items() {
		all = append(all, item.text())
	}
	return all
}

// strings returns the members of an object of texts.
func (n node) strings() map[string]string {
	all := map[string]string{}
	for key, value := range n.members() {
		all[key.y.Value] = value.text()
	}
	return all
}

// duration reads a length of time, such as "0.25s" or "250ms".
func (n node) duration() (time.Duration, bool) {
	d, err := time.ParseDuration(n.text())
	return d, err == nil
}

// typed reports whether the object is a typed configuration for a message whose name ends
// with suffix.
func (n node) typed(suffix string) bool {
	return strings.HasSuffix(n.get("@type").text(), suffix)
}

// walk visits every object in n, itself first.
func (n node) walk(visit func(node)) {
	if n.y == nil {
		return
	}
	if n.y.Kind == yaml.MappingNode {
		visit(n)
	}
	for _, value := range n.members() {
		value.walk(visit)
	}
	for item := range n.items() {
		item.walk(visit)
	}
}

// value decodes n; an absent n becomes nil.
func (n node) value() any {
	if n.y == nil {
		return nil
	}
	var v any
	if err := n.y.Decode(&v); err != nil {
		return nil
	}
	return v
}
