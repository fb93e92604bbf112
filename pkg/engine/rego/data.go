package rego

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/pkg/internal/strictjson"
	"github.com/stepward/stepward/pkg/internal/strictyaml"
)

// Owners names the source of each member of data, as far as sources can be read.
func Owners(sources []Source) map[string]Source {
	owners := map[string]Source{}
	for _, s := range sources {
		if filepath.Ext(s.Name) == ".rego" || schemaName(s.Name) != "" {
			continue
		}
		document, err := s.Object()
		if err != nil {
			continue // Load reports it
		}
		for name := range document {
			owners[name] = s
		}
	}
	return owners
}

// data merges the data files among sources.
func data(sources []Source) (map[string]any, finding.List) {
	merged, owner := map[string]any{}, map[string]string{}
	var found finding.List
	for _, s := range sources {
		if filepath.Ext(s.Name) == ".rego" || schemaName(s.Name) != "" {
			continue
		}
		document, err := s.Object()
		if err != nil {
			found = append(found, s.Finding(err, "a data file holds one object; its members become data.NAME"))
			continue
		}
		for name, value := range document {
			if other, taken := owner[name]; taken {
				found = append(found, finding.Finding{File: s.Name, Line: 1, Column: 1, Code: "data",
					Message: fmt.Sprintf("data.%s is in %s already", name, other),
					Hint:    "keep each member in one file"})
				continue
			}
			merged[name], owner[name] = value, s.Name
		}
	}
	return merged, found
}

// Finding reports err for a data file, at its position if that is known.
func (s Source) Finding(err error, hint string) finding.Finding {
	f := finding.Finding{File: s.Name, Line: 1, Column: 1, Code: "data", Message: err.Error(), Hint: hint}
	if at := (*strictyaml.Error)(nil); errors.As(err, &at) {
		f.Line, f.Column, f.Message = at.Line, at.Column, at.Message
		if at.Hint != "" {
			f.Hint = at.Hint
		}
	}
	return f
}

// Object decodes a data file, which holds one object.
func (s Source) Object() (map[string]any, error) {
	text := s.Text
	if filepath.Ext(s.Name) != ".json" {
		root, err := strictyaml.Document(text)
		if err != nil {
			return nil, err
		}
		var v map[string]any
		if err := root.Decode(&v); err != nil {
			return nil, fmt.Errorf("not YAML: %w", err)
		}
		if text, err = json.Marshal(v); err != nil {
			return nil, fmt.Errorf("not a JSON document in YAML: %w", err)
		}
	}
	return strictjson.Object(text)
}
