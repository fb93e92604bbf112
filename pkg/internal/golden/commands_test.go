package golden_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/internal/golden"
)

// TestReferenceCommands keeps docs/reference/commands.md in step with what the
// commands say of themselves.
func TestReferenceCommands(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "stepward")
	if out, err := exec.Command("go", "build", "-o", binary, "../../../cmd/stepward").CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
	help := func(args ...string) string {
		out, err := exec.Command(binary, append(args, "--help")...).Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	var b strings.Builder
	b.WriteString(
		"# Commands\n\nWritten by `make docs` from the commands' own help. Exit codes of all: 0 fine, 1 a\ncheck found something, 2 usage or configuration, 3 internal.\n")
	_, list, _ := strings.Cut(help(), "\nBegin:\n")
	list, _, _ = strings.Cut(list, "\nFlags:\n")
	commands := regexp.MustCompile(`(?m)^  ([a-z]+) `).FindAllStringSubmatch(list, -1)
	if len(commands) < 15 {
		t.Fatalf("%d commands in\n%s", len(commands), list)
	}
	for _, m := range commands {
		if m[1] != "help" {
			fmt.Fprintf(&b, "\n## stepward %s\n\n```\n%s```\n", m[1], help(m[1]))
		}
	}
	golden.Check(t, "../../../docs/reference/commands.md", b.String())
}
