// What the READMEs show is run here: every line after a "$" in a
// console block, in the folder of the README. The lines below it must come out,
// in their order; what stands between them does not matter.
//
// The guide to policies is walked from an empty folder: a block below a line with
// nothing but a file's name, such as "`policies/a.rego`:", is that file.
package examples_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stepward/stepward/envoy"
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

// TestGuides walks the guides from their first line to their last, with the real Envoy.
func TestGuides(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil && os.Getenv("CI") != "true" {
		t.Skip("the guides call curl, which is not here")
	}
	path, err := envoy.Get(t.Context(), "", os.Stderr) // found from here, and not from the folder of the walk
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("ENVOY_PATH", path)
	for _, guide := range []string{"policy", "rollout"} {
		t.Run(guide, func(t *testing.T) { walk(t, "../docs/"+guide+".md") })
	}
}

// walk follows a guide in an empty folder.
func walk(t *testing.T, guide string) {
	steps := commands(t, guide)
	text, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	if shown := strings.Count(string(text), "\n$ "); shown < 15 || shown > len(steps) {
		t.Fatalf("%d commands stand there, and %d of them in console blocks", shown, len(steps))
	}
	dir, err := os.MkdirTemp("", "guide") // a short name: a socket is made in it
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	for _, c := range steps {
		if c.file != "" {
			file := filepath.Join(dir, c.file)
			if err := os.WriteFile(file, []byte(strings.Join(c.want, "\n")+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if c.line == `export PATH="$PWD/bin:$PATH"` { // it is there already
			continue
		}
		if to, ok := strings.CutPrefix(c.line, "cd "); ok {
			dir = filepath.Join(dir, to)
			continue
		}
		if !c.run(t, dir) {
			return // the rest builds on it
		}
	}
}

// command is a line to run and what must come out, or a file to write.
type command struct {
	line string
	file string
	want []string
}

func commands(t *testing.T, file string) []command {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []command
	name, inside := "", ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		shown, isCommand := strings.CutPrefix(line, "$ ")
		switch {
		case strings.HasPrefix(line, "```") && inside != "":
			name, inside = "", ""
		case strings.HasPrefix(line, "```"):
			inside = line
			if name != "" {
				all = append(all, command{file: name})
			}
		case inside != "" && name != "":
			last := &all[len(all)-1]
			last.want = append(last.want, line)
		case inside == "```console" && isCommand:
			all = append(all, command{line: shown})
		case inside == "```console" && line != "" && len(all) > 0:
			last := &all[len(all)-1]
			last.want = append(last.want, strings.TrimSpace(line))
		case inside == "" && line != "":
			name = ""
			if m := fileName.FindStringSubmatch(line); m != nil {
				name = m[1]
			}
		}
	}
	return all
}

var fileName = regexp.MustCompile("^`([a-z_/.]+)`:$")

func walkthrough(t *testing.T, file string) {
	for _, c := range commands(t, file) {
		if c.file == "" {
			c.run(t, filepath.Dir(file))
		}
	}
}

// run reports whether the command in a folder came out as it is shown.
func (c command) run(t *testing.T, dir string) bool {
	t.Helper()
	if c.line == "make build" { // it was built for this run already
		return true
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // clock: a bound
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", strings.ReplaceAll(c.line, "bin/stepward", "stepward"))
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("$ %s\n%v\n%s", c.line, err, out)
		return false
	}
	rest := string(out)
	for _, want := range c.want {
		_, after, there := strings.Cut(rest, want)
		if !there {
			t.Errorf("$ %s\nlacks %q in:\n%s", c.line, want, out)
			return false
		}
		rest = after
	}
	return true
}
