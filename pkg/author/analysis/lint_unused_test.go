package analysis_test

import (
	"testing"

	"github.com/stepward/stepward/pkg/author/analysis"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/finding"
)

// A rule that nothing reads is told, and may be on its way; a function may wait for its use.
func TestUnusedRule(t *testing.T) {
	lint := func(text string) finding.List {
		sources := []rego.Source{{Name: "p.rego", Text: []byte(baseline + text)}}
		if _, err := rego.Load(t.Context(), sources, rego.Options{Ladder: ladder(t)}); err != nil {
			t.Fatal(err)
		}
		return analysis.Lint(sources, analysis.LintOptions{Options: rego.Options{Ladder: ladder(t)}})
	}
	for text, want := range map[string]int{
		"block if input.request.path == \"/pay\"":           1,
		"default block := false":                            1,
		"block[x] := y if some x, y in input.request.query": 1,
		"pays(r) if r.path == \"/pay\"":                     0,
		"test_x if true":                                    0,
		"block if input.request.path == \"/pay\"\nrequire contains {\"level\": \"mfa\"} if block":         0,
		"block if input.request.path == \"/pay\"\nrequire contains {\"level\": \"mfa\"} if not block":     0,
		"block if input.request.path == \"/pay\"\nheaders[\"x-a\"] := v if v := concat(\"\", [\"\"])":     1,
		"a := 1 if input.request.path == \"/\" else := b\nb := 2\nrequire contains {\"max_age\": a}":      0,
		"a := 1\nb := a\nrequire contains {\"level\": \"mfa\", \"max_age\": 1} if count([1 | b > 0]) > 0": 0,
	} {
		found := lint(text)
		if len(found) != want || want > 0 && (found[0].Code != "unused" || found[0].Line != 4 || found[0].Hint == "") {
			t.Errorf("%s: %v", text, found)
		}
	}
}
