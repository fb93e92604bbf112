package rego

import (
	"github.com/stepward/stepward/pkg/engine/rego/syntax"

	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/pkg/internal/strictjson"
	"github.com/stepward/stepward/pkg/internal/strictyaml"
)

// Source is one file of a policy: Rego, or data as JSON or YAML, by the ending of
// its name. The members of data files together are the document "data"; one
// member may come from one file only.
type Source struct {
	Name    string
	Text    []byte
	Bundled bool // it comes from a bundle, and not from a file of this machine
	Shipped bool // it came with Stepward
	// Written is when a file was, as its disk has it.
	Written time.Time
	// Under is the folders between the path that was named and the file. A policy of
	// opa-envoy-plugin finds data there: data.roles in roles/data.json.
	Under []string
}

// maxSources is how large all sources of a policy may be together, in bytes.
const maxSources = 32 << 20

// tooLarge finds sources that nobody means to evaluate for each request.
func tooLarge(sources []Source) finding.List {
	total := 0
	for _, s := range sources {
		if total += len(s.Text); total > maxSources {
			return finding.List{{File: s.Name, Line: 1, Column: 1, Code: "size",
				Message: fmt.Sprintf("policy and data are larger than %d MiB together", maxSources>>20)}}
		}
	}
	return nil
}

// isSource reports whether a file takes part in a policy.
func isSource(name string) bool {
	switch filepath.Ext(name) {
	case ".rego", ".json", ".yaml", ".yml":
		return !strings.HasPrefix(filepath.Base(name), ".")
	}
	return false
}

// FromFS lists the sources in fsys, in order of name.
func FromFS(fsys fs.FS) ([]Source, error) {
	var sources []Source
	err := fs.WalkDir(fsys, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !isSource(path) {
			return err
		}
		text, err := fs.ReadFile(fsys, path)
		sources = append(sources, Source{Name: path, Text: text})
		return err
	})
	return sources, err
}

// FromPaths lists the sources at paths, which are files or folders. A folder
// without a source is an error, since it is likely the wrong one. The names keep
// the path as given, so that messages can be clicked, also where it is a link.
func FromPaths(paths []string) ([]Source, error) { return FromLook(files.NewLook(), paths) }

// FromLook is [FromPaths] for what a look has found there.
func FromLook(look *files.Look, paths []string) ([]Source, error) {
	var sources []Source
	var found finding.List
	for _, root := range paths {
		tree, err := look.Tree(root, maxSources, func(path string) bool {
			return isSource(path) || misnamed(path) != ""
		})
		if err != nil {
			return nil, fmt.Errorf("rego: %w", err)
		}
		if len(tree) == 0 {
			return nil, fmt.Errorf("rego: no .rego, .json or .yaml file in %s", root)
		}
		for _, f := range tree {
			if better := misnamed(f.Name); better != "" {
				found = append(found, finding.Finding{File: f.Name, Line: 1, Column: 1, Code: "file_name",
					Message: "the file takes no part in the policy: the names of those that do end in .rego, .json, .yaml or .yml", Hint: "name it " + better})
			}
			sources = append(sources, Source{Name: f.Name, Text: f.Text, Written: f.Mod, Under: foldersOf(f.Rel)})
		}
	}
	if len(found) > 0 {
		return nil, found.Tidy()
	}
	return sources, nil
}

// foldersOf are the names of the folders of a path below a root.
func foldersOf(path string) []string {
	dir := filepath.ToSlash(filepath.Dir(path))
	if dir == "" || dir == "." {
		return nil
	}
	return strings.Split(dir, "/")
}

// Revision names sources by what they hold, as [Policy.Revision] does.
func Revision(sources []Source) string { return revision(sources) }

// Packages lists the packages of sources, as far as they can be parsed.
func Packages(sources []Source) []string {
	var names []string
	for _, s := range sources {
		if filepath.Ext(s.Name) != ".rego" || syntax.IsTest(s.Name) {
			continue
		}
		if m, err := parseModule(s, capabilities()); err == nil {
			names = append(names, m.Package.Path.String())
		}
	}
	return names
}

// revision names sources: the beginning of a SHA-256 over names and texts, with
// lengths, in order of name.
func revision(sources []Source) string {
	sorted := slices.SortedFunc(slices.Values(sources), func(a, b Source) int {
		return strings.Compare(a.Name, b.Name)
	})
	h := sha256.New()
	for _, s := range sorted {
		for _, part := range [][]byte{[]byte(s.Name), s.Text} {
			_ = binary.Write(h, binary.BigEndian, uint64(len(part))) // a hash never fails
			h.Write(part)
		}
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}

// Owners names the source of each member of data, as far as sources can be read.
func Owners(sources []Source) map[string]Source {
	owners := map[string]Source{}
	for _, s := range sources {
		if filepath.Ext(s.Name) == ".rego" || schemaName(s.Name) != "" {
			continue
		}
		document, err := decodeData(s)
		if err != nil {
			continue // Load tells of it
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
		document, err := decodeData(s)
		if err != nil {
			found = append(found, dataFinding(s, err, "a data file holds one object; its members become data.NAME"))
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

// dataFinding is what is wrong with a data file, where it is known with its place.
func dataFinding(s Source, err error, hint string) finding.Finding {
	f := finding.Finding{File: s.Name, Line: 1, Column: 1, Code: "data", Message: err.Error(), Hint: hint}
	if at := (*strictyaml.Error)(nil); errors.As(err, &at) {
		f.Line, f.Column, f.Message = at.Line, at.Column, at.Message
		if at.Hint != "" {
			f.Hint = at.Hint
		}
	}
	return f
}

func decodeData(s Source) (map[string]any, error) {
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

// dataTree merges the data files among sources as OPA loads them from folders: each below
// the names of its folders, objects member by member.
func dataTree(sources []Source) (map[string]any, finding.List) {
	root := map[string]any{}
	var found finding.List
	for _, s := range sources {
		if syntax.IsRego(s.Name) {
			continue
		}
		document, err := decodeData(s)
		for _, name := range slices.Backward(s.Under) {
			document = map[string]any{name: document}
		}
		if err == nil {
			err = merge(root, document, "data")
		}
		if err != nil {
			found = append(found, dataFinding(
				s, err, "a data file holds one object; it stands below the names of its folders"))
		}
	}
	return root, found
}

// merge puts the members of from into into. One that is there already must be an object
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
