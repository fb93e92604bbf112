package bundle

import (
	"maps"
	"slices"
	"strings"

	"github.com/stepward/stepward/pkg/engine/rego"
)

// sourcePrefix begins the names of sources that come from bundles.
const sourcePrefix = "bundles:"

// Set holds the content of all bundles together, at one time. It never changes.
type Set struct {
	Sources   []rego.Source
	Revisions map[string]string // by the bundle's name; empty if its manifest has none
	Missing   []string          // bundles that are configured but were never activated

	roots []owned
}

// owned is the part of the document data that belongs to one bundle.
type owned struct {
	name  string
	roots []string
}

// Complete reports whether every bundle that is configured has been activated once.
func (s Set) Complete() bool { return len(s.Missing) == 0 && len(s.Revisions) > 0 }

// Revision names the set by the revisions of its bundles: for a single bundle just its
// revision, otherwise name=revision, in order of name. It is empty if a bundle has no
// revision.
func (s Set) Revision() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(s.Revisions)) {
		revision := s.Revisions[name]
		if revision == "" {
			return ""
		}
		if len(s.Revisions) == 1 {
			return revision
		}
		parts = append(parts, name+"="+revision)
	}
	return strings.Join(parts, ",")
}

// Owner returns the bundle that owns data.NAME, or nothing if none does.
func (s Set) Owner(name string) string {
	for _, o := range s.roots {
		for _, root := range o.roots {
			if first, _, _ := strings.Cut(root, "/"); root == "" || first == name {
				return o.name
			}
		}
	}
	return ""
}
