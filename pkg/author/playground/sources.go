package playground

import (
	"path"
	"path/filepath"

	"github.com/stepward/stepward/pkg/engine/rego"
)

// Sources reads the policy at paths, and names each file relative to the path that led to
// it: people with whom a workspace is shared need not see the folders above.
func Sources(paths []string) ([]rego.Source, error) {
	var all []rego.Source
	taken := map[string]bool{}
	for _, root := range paths {
		list, err := rego.FromPaths([]string{root})
		if err != nil {
			return nil, err
		}
		for _, s := range list {
			name, err := filepath.Rel(root, s.Name)
			if err != nil || name == "." {
				name = filepath.Base(s.Name)
			}
			if name = filepath.ToSlash(name); taken[name] {
				name = path.Join(filepath.Base(filepath.Dir(s.Name)), name)
			}
			taken[name] = true
			all = append(all, rego.Source{Name: name, Text: s.Text})
		}
	}
	return all, nil
}
