package snapshot_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/run/snapshot"
)

// Every file that decides is in the look, which is accepted only if none of it changes:
// nothing made from the configuration goes back to the disk.
func TestEveryFileIsSettled(t *testing.T) {
	const file = "../../config/testdata/good.yaml" // it has every key
	load := func(l *files.Look) (config.Config, error) {
		return config.Load(file, config.Options{Look: l, Getenv: os.Getenv})
	}
	c, look, err := snapshot.Glance(t.Context(), load, files.Terms{})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Sources) < 10 {
		t.Fatalf("only %d files: %q", len(c.Sources), c.Sources)
	}
	for _, name := range c.Sources {
		_, asFile := look.Read(name, files.MaxFile)
		_, asPolicy := rego.FromLook(look, []string{name})
		if asFile != nil && asPolicy != nil {
			t.Errorf("%s: %v; %v", name, asFile, asPolicy)
		}
	}
	if _, err := look.Read(filepath.Join("..", "..", "config", "testdata", "bad.txtar"), files.MaxFile); err == nil {
		t.Error("a file that is not named is in the look")
	}
}
