// Package golden holds what is generated from the code against the file that is
// kept of it: reference pages, the schema of the configuration. A page that is
// stale fails the test; `make docs` writes it anew.
package golden

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write generated files anew")

// Check fails unless the file holds text; with -update it writes it.
func Check(t *testing.T, file, text string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	kept, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; `make docs` writes it", err)
	}
	if string(kept) != text {
		t.Errorf("%s is stale; `make docs` writes it anew", file)
	}
}
