package opaenvoy

import (
	"fmt"
	"slices"

	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/engine/rego/syntax"
	"github.com/stepward/stepward/pkg/finding"
)

// data merges the data files among sources as OPA loads them from folders: each below
// the names of its folders, objects member by member.
func data(sources []rego.Source) (map[string]any, finding.List) {
	root := map[string]any{}
	var found finding.List
	for _, s := range sources {
		if syntax.IsRego(s.Name) {
			continue
		}
		document, err := s.Object()
		for _, name := range slices.Backward(s.Under) {
			document = map[string]any{name: document}
		}
		if err == nil {
			err = merge(root, document, "data")
		}
		if err != nil {
			found = append(
				found,
				s.Finding(err, "a data file holds one object; it stands below the names of its folders"),
			)
		}
	}
	return root, found
}

// merge puts the members of from into into. A member that exists in both must be an object
// in both.
func merge(into, from map[string]any, at string) error {
	for name, value := range from {
		was, there := into[name]
		if !there {
			into[name] = value
			continue
		}
		a, isObject := was.(map[string]any)
		b, both := value.(map[string]any)
		if !isObject || !both {
			return fmt.Errorf("%s.%s is in another file already", at, name)
		}
		if err := merge(a, b, at+"."+name); err != nil {
			return err
		}
	}
	return nil
}
