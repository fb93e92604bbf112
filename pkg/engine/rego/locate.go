package rego

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strconv"

	"go.yaml.in/yaml/v4"

	"github.com/stepward/stepward/pkg/finding"
)

// placed returns f with the file, line and column of the value at path in data.NAME, as
// precisely as its source shows it.
func placed(sources []Source, name string, path []string, f finding.Finding) finding.Finding {
	f.File, f.Line, f.Column = firstName(sources), 1, 1
	owner, there := Owners(sources)[name]
	if !there {
		return f
	}
	f.File = owner.Name
	whole := append([]string{name}, path...)
	if filepath.Ext(owner.Name) == ".json" {
		f.Line, f.Column = locateJSON(owner.Text, whole)
		return f
	}
	var root yaml.Node
	if yaml.Unmarshal(owner.Text, &root) == nil && len(root.Content) > 0 {
		f.Line, f.Column = locateYAML(root.Content[0], whole)
	}
	return f
}

// locateYAML returns where the value at path begins, or the nearest value around it.
func locateYAML(n *yaml.Node, path []string) (line, column int) {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	line, column = max(n.Line, 1), max(n.Column, 1)
	if len(path) == 0 {
		return line, column
	}
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == path[0] {
				return locateYAML(n.Content[i+1], path[1:])
			}
		}
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(path[0]); err == nil && i >= 0 && i < len(n.Content) {
			return locateYAML(n.Content[i], path[1:])
		}
	}
	return line, column
}

// locateJSON returns where the value at path begins, or the nearest value around it.
func locateJSON(text []byte, path []string) (line, column int) {
	s := jsonScan{text: text, d: json.NewDecoder(bytes.NewReader(text))}
	s.value(path)
	before := text[:min(s.found, len(text))]
	return bytes.Count(before, []byte("\n")) + 1, len(before) - bytes.LastIndexByte(before, '\n')
}

// jsonScan walks a document by its tokens.
type jsonScan struct {
	text  []byte
	d     *json.Decoder
	found int // where the innermost value on the path begins
}

// start returns the position of the next token.
func (s *jsonScan) start() int {
	at := int(s.d.InputOffset())
	for at < len(s.text) && bytes.IndexByte([]byte(" \t\r\n,:"), s.text[at]) >= 0 {
		at++
	}
	return at
}

// value reads one value. path leads from it to the value that we look for; nil leads
// nowhere.
func (s *jsonScan) value(path []string) bool {
	if path != nil {
		s.found = s.start()
	}
	t, err := s.d.Token()
	if err != nil {
		return false
	}
	open, container := t.(json.Delim)
	if !container {
		return true
	}
	for i := 0; s.d.More(); i++ {
		key := strconv.Itoa(i)
		if open == '{' {
			t, err := s.d.Token()
			if err != nil {
				return false
			}
			key, _ = t.(string)
		}
		var rest []string
		if len(path) > 0 && key == path[0] {
			rest = append([]string{}, path[1:]...)
		}
		if !s.value(rest) {
			return false
		}
	}
	_, err = s.d.Token()
	return err == nil
}
