// What the READMEs show is run here: every line after a "$" in a
// console block, in the folder of the README. The lines below it must come out,
// in their order; what stands between them does not matter.
package examples_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "examples")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if out, err := exec.Command("go", "build", "-o", dir, "../cmd/stepward").CombinedOutput(); err != nil {
		panic(string(out))
	}
	os.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	return m.Run()
}

func TestREADMEs(t *testing.T) {
	files, err := filepath.Glob("*/README.md")
	if err != nil || len(files) == 0 {
		t.Fatal("no READMEs", err)
	}
	for _, file := range append(files, "../README.md") {
		t.Run(filepath.Dir(file), func(t *testing.T) { t.Parallel(); walkthrough(t, file) })
	}
}

// TestEveryExampleIsRun keeps a folder without commands from passing for tested.
func TestEveryExampleIsRun(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && len(commands(t, filepath.Join(e.Name(), "README.md"))) == 0 {
			t.Errorf("%s/README.md shows no command", e.Name())
		}
	}
}

type command struct {
	line string
	want []string
}

func commands(t *testing.T, file string) []command {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []command
	inside := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		shown, isCommand := strings.CutPrefix(line, "$ ")
		switch {
		case strings.HasPrefix(line, "```"):
			inside = line == "```console"
		case inside && isCommand:
			all = append(all, command{line: shown})
		case inside && line != "" && len(all) > 0:
			last := &all[len(all)-1]
			last.want = append(last.want, strings.TrimSpace(line))
		}
	}
	return all
}

func walkthrough(t *testing.T, file string) {
	for _, c := range commands(t, file) {
		if c.line == "make build" { // it was built for this run already
			continue
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "bash", "-c", strings.ReplaceAll(c.line, "bin/stepward", "stepward"))
		cmd.Dir = filepath.Dir(file)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("$ %s\n%v\n%s", c.line, err, out)
			continue
		}
		rest := string(out)
		for _, want := range c.want {
			_, after, there := strings.Cut(rest, want)
			if !there {
				t.Errorf("$ %s\nlacks %q in:\n%s", c.line, want, out)
				break
			}
			rest = after
		}
	}
}
