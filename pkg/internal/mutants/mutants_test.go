package main

import (
	"os"
	"path/filepath"
	"testing"
)

// Each bug can still be planted: its file is there, and the code to change stands in it
// exactly once. That a test notices it is what make mutants shows.
func TestEachBugCanBePlanted(t *testing.T) {
	all, err := parse(list)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 300 {
		t.Errorf("only %d bugs are known", len(all))
	}
	const root = "../../.."
	for _, m := range all {
		source, err := os.ReadFile(filepath.Join(root, m.file))
		if err != nil {
			t.Errorf("%s: %v", m.name, err)
			continue
		}
		if _, err := m.find(source); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
		for _, dir := range m.packages() {
			if _, err := os.Stat(filepath.Join(root, dir)); err != nil {
				t.Errorf("%s: %v", m.name, err)
			}
		}
	}
}

func TestFind(t *testing.T) {
	for name, c := range map[string]struct {
		source string
		ok     bool
	}{
		"as written":  {"x = f(a, b) // why", true},
		"wrapped":     {"x = f(\n\ta,\n\tb) // why", true},
		"aligned":     {"x   = f(a, b)", true},
		"twice":       {"x = f(a, b)\nx = f(a, b)", false},
		"other words": {"x = f(a, c)", false},
		"gone":        {"", false},
	} {
		m := mutant{file: "a.go", before: "\tx = f(a, b)"}
		if _, err := m.find([]byte(c.source)); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
