package rego

import (
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/stepward/stepward/pkg/engine/rego/syntax"

	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/finding"
)

// Source is one file of a policy: Rego, or data as JSON or YAML, by the ending of its name.
// The members of all data files form the document "data"; each member may come from only
// one file.
type Source struct {
	Name    string
	Text    []byte
	Bundled bool // it comes from a bundle, and not from a file on this machine
	Shipped bool // it came with Stepward
	// Written is when a file was last written, according to its disk.
	Written time.Time
	// Under lists the folders between the named path and the file. A policy for
	// opa-envoy-plugin finds data by them: data.roles in roles/data.json.
	Under []string
}

// maxSources limits the total size of a policy's sources, in bytes.
const maxSources = 32 << 20

// TooLarge finds sources that nobody would want to evaluate for each request.
func TooLarge(sources []Source) finding.List {
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

// FromPaths lists the sources at paths, which are files or folders. A folder without a
// source is an error, since it is probably the wrong one. The names keep the path as given,
// even if it is a link, so that messages can be clicked.
func FromPaths(paths []string) ([]Source, error) { return FromLook(files.NewLook(), paths) }

// FromLook lists the sources that a look found at paths, as [FromPaths] does.
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
					Message: "the file takes no part in the policy: " +
						"the names of those that do end in .rego, .json, .yaml or .yml", Hint: "name it " + better})
			}
			sources = append(sources, Source{Name: f.Name, Text: f.Text, Written: f.Mod, Under: foldersOf(f.Rel)})
		}
	}
	if len(found) > 0 {
		return nil, found.Tidy()
	}
	return sources, nil
}

// foldersOf returns the names of the folders of a path below a root.
func foldersOf(path string) []string {
	dir := filepath.ToSlash(filepath.Dir(path))
	if dir == "" || dir == "." {
		return nil
	}
	return strings.Split(dir, "/")
}

// Packages lists the packages of sources, as far as they can be parsed.
func Packages(sources []Source) []string {
	var names []string
	for _, s := range sources {
		if filepath.Ext(s.Name) != ".rego" || syntax.IsTest(s.Name) {
			continue
		}
		if m, err := s.Module(capabilities()); err == nil {
			names = append(names, m.Package.Path.String())
		}
	}
	return names
}

// Revision names sources by their content: the first 12 hexadecimal digits of a SHA-256
// over names and texts, with lengths, in order of name.
func Revision(sources []Source) string {
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

// Module parses a Rego file. A panic of the parser becomes an error of the file.
func (s Source) Module(c *ast.Capabilities) (m *ast.Module, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the parser failed on this file")
		}
	}()
	m, err = ast.ParseModuleWithOpts(s.Name, string(s.Text), ast.ParserOptions{
		ProcessAnnotation: true, RegoVersion: ast.RegoV1, Capabilities: c,
	})
	if err == nil && m == nil {
		err = fmt.Errorf("the file is empty")
	}
	return m, err
}
