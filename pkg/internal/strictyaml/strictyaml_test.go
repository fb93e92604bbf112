package strictyaml_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/stepward/stepward/pkg/internal/strictyaml"
)

// bomb returns a document of n lines; each stands for ten times the one before.
func bomb(n int) string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x]\n")
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10),
			", "))
	}
	return b.String()
}

func TestDocument(t *testing.T) {
	for text, want := range map[string]string{
		"a: 1\n": "", "---\na: 1\n": "", "# c\n---\na: 1\n...\n": "", "a: 1\n...\n# c\n": "", "{}": "", "[]\n": "",
		"a: &x 1\nb: *x\n": "",
		"":                 "the file is empty", "\n\n": "the file is empty", "# c\n": "the file is empty",
		"---\n": "the file is empty", "...\n": "the file is empty", "~\n": "the file is empty",
		"null": "the file is empty", "\ufeff": "the file is empty",
		"a: 1\n---\nb: 2\n": "a second document", "a: 1\n---\n": "a second document",
		"a: 1\n...\n---\n": "a second document", "---\n---\na: 1\n": "the file is empty",
		"a: 1\n...\nb: 2\n": "second document", "a: 1\n---\n[": "not YAML", "a: [": "not YAML", "a: \x00": "not YAML",
		"a: &x [*x]\n": "within itself", bomb(3): "", bomb(30): "with its aliases written out",
	} {
		n, err := strictyaml.Document([]byte(text))
		var at *strictyaml.Error
		switch {
		case want == "" && (err != nil || n == nil):
			t.Errorf("%.40q: %v", text, err)
		case want != "" && (!errors.As(err, &at) || at.Line < 1 || at.Column < 1 || !strings.Contains(
			at.Message, want)):
			t.Errorf("%.40q: %v; want %s", text, err, want)
		}
	}
}

// What is taken is all that there is: the text with a document behind it is not.
func FuzzDocument(f *testing.F) {
	for _, text := range []string{"a: 1\n", "---\n- x\n", "a: |\n  b\n", bomb(2), "? a\n: b\n", "'a'", "|",
		"\xff\xfea\x00"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		n, err := strictyaml.Document(text)
		if err != nil {
			return
		}
		var plain yaml.Node
		if yaml.Unmarshal(text, &plain) != nil || len(plain.Content) != 1 || plain.Content[0].Kind != n.Kind {
			t.Errorf("%q is another document to the library", text)
		}
		for _, more := range []string{"\n---\nx: 1\n", "\n...\n---\nx: 1\n"} {
			both, err := strictyaml.Document(append(append([]byte{}, text...), more...))
			// "|" takes it in as text
			if err != nil || both.Kind == yaml.ScalarNode && strings.Contains(both.Value, "x: 1") {
				continue
			}
			t.Errorf("%q: what follows is dropped", text)
		}
	})
}
