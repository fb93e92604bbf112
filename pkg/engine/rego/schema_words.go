package rego

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/stepward/stepward/pkg/finding"
)

// leaves returns the innermost failures. All others are made up of these.
func leaves(e *jsonschema.ValidationError) []*jsonschema.ValidationError {
	switch e.ErrorKind.(type) {
	case *kind.AnyOf, *kind.OneOf, *kind.Not:
		return []*jsonschema.ValidationError{e}
	}
	if len(e.Causes) == 0 {
		return []*jsonschema.ValidationError{e}
	}
	var all []*jsonschema.ValidationError
	for _, c := range e.Causes {
		all = append(all, leaves(c)...)
	}
	return all
}

// explain says what is wrong at a path.
func (s *schemas) explain(e *jsonschema.ValidationError, at string) []finding.Finding {
	one := func(message, hint string) []finding.Finding {
		return []finding.Finding{{Code: "schema", Message: strings.TrimSpace(at + " " + message), Hint: hint}}
	}
	switch k := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		known := s.properties(e.SchemaURL)
		var list []finding.Finding
		for _, name := range k.Properties {
			list = append(list, finding.Finding{Code: "schema", Path: name, Message: strings.TrimSpace(
				fmt.Sprintf("%s has an unknown member %q%s", at, name, finding.DidYouMean(name, known))),
				Hint: "known members: " + strings.Join(known, ", ")})
		}
		return list
	case *kind.Required:
		return one("misses "+strings.Join(k.Missing, ", "), "without it the entry means something else, or nothing")
	case *kind.Type:
		hint := ""
		if slices.Contains(k.Want, "array") {
			hint = "write it as a list: [ … ]"
		}
		return one(fmt.Sprintf("is of type %s, and must be %s", k.Got, strings.Join(k.Want, " or ")), hint)
	case *kind.Format:
		message, hint, _ := strings.Cut(k.Err.Error(), "\x00")
		return one(message, hint)
	case *kind.MinItems, *kind.MinLength, *kind.MinProperties:
		return one("is empty", "leave it out, or name something")
	case *kind.Reference, *kind.Schema, *kind.Group:
		return one("does not fit its schema", "")
	}
	text := (&jsonschema.ValidationError{ErrorKind: e.ErrorKind}).Error()
	if i := strings.LastIndex(text, ": "); i >= 0 {
		text = text[i+2:]
	}
	return one("does not fit its schema: "+text, "")
}

// properties returns the members that a schema knows, sorted.
func (s *schemas) properties(url string) []string {
	name, pointer, _ := strings.Cut(strings.TrimPrefix(url, schemaRoot), "#")
	here := s.documents[name]
	for key := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if o, ok := here.(map[string]any); ok && key != "" {
			here = o[strings.NewReplacer("~1", "/", "~0", "~").Replace(key)]
		}
	}
	o, _ := here.(map[string]any)
	known, _ := o["properties"].(map[string]any)
	return slices.Sorted(maps.Keys(known))
}
