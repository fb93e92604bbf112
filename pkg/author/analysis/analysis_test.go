package analysis_test

import (
	"fmt"
	"testing"

	"github.com/stepward/stepward/pkg/author/analysis"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/stepup"
)

func ladder(t testing.TB) stepup.Ladder {
	t.Helper()
	l, err := stepup.NewLadder([]stepup.Level{{Name: "password", ACR: []string{"1"}}, {Name: "mfa", ACR: []string{"2"}},
		{Name: "phishing-resistant", ACR: []string{"phr"}}})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// baseline begins a policy of three lines that loads.
const baseline = "package stepward.policy\nimport rego.v2\nrequire contains {\"level\": \"authenticated\"}\n"

// load loads texts as a policy that decides, and as an analysis.
func load(t testing.TB, texts ...string) (*analysis.Analysis, error) {
	t.Helper()
	var sources []rego.Source
	for i, text := range texts {
		sources = append(sources, rego.Source{Name: fmt.Sprintf("p%d.rego", i), Text: []byte(text)})
	}
	return analysis.Load(sources, rego.Options{Ladder: ladder(t)})
}
