package scenario_test

import (
	"bufio"
	"encoding/json"
	"os/exec"
	"reflect"
	"slices"
	"testing"

	"github.com/stepward/stepward/pkg/author/scenario"
	"github.com/stepward/stepward/pkg/engine/rego"
)

// ladder is what the other evaluator knows, too.
const ladder = `
issuers: [{ name: corp, issuer: "https://idp.example.com", audiences: [api] }]
levels: [{ name: password, acr: ["1"] }, { name: mfa, acr: ["2"] }, { name: phishing-resistant, acr: [phr, phrh] }]
`

// TestIndependent: an evaluator in another language, which shares nothing with this one,
// gives the same answers.
func TestIndependent(t *testing.T) {
	python := exec.CommandContext(t.Context(), "python3", "testdata/evaluate.py", "1500", "20261124")
	out, err := python.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := python.Start(); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var x struct {
			Policy   string          `json:"policy"`
			Scenario json.RawMessage `json:"scenario"`
			Answer   struct {
				Result    string   `json:"result"`
				Reason    string   `json:"reason"`
				Status    int      `json:"status"`
				Missing   []string `json:"missing"`
				ACRValues []string `json:"acr_values"`
				MaxAge    *int64   `json:"max_age"`
				Scope     []string `json:"scope"`
			} `json:"answer"`
		}
		if err := json.Unmarshal(lines.Bytes(), &x); err != nil {
			t.Fatal(err)
		}
		s, err := scenario.Parse(x.Scenario)
		if err != nil {
			t.Fatal(err)
		}
		r, err := open(t, ladder, rego.Source{Name: "p.rego", Text: []byte(x.Policy)}).Decide(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		got, want := scenario.AnswerOf(r), x.Answer
		same := got.Result == want.Result && got.Reason == want.Reason && got.Status == want.Status &&
			(want.Missing == nil || slices.Equal(got.Missing, want.Missing))
		switch want.Reason {
		case "no_credentials", "insufficient_level", "stale_authentication":
			scope := slices.Sorted(slices.Values(got.Scope))
			same = same && slices.Equal(got.ACRValues, want.ACRValues) && reflect.DeepEqual(got.MaxAge, want.MaxAge) &&
				slices.Equal(scope, want.Scope)
		}
		if !same {
			text, err := json.Marshal(got)
			t.Errorf("%s\n%s\nhere:  %s %v\nthere: %+v", x.Policy, x.Scenario, text, err, want)
			if seen["different"]++; seen["different"] > 5 {
				t.FailNow() // the context ends the other
			}
		}
		seen[want.Reason]++
	}
	if err := python.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Log(seen)
	for _, reason := range []string{"ok", "no_credentials", "policy_no_match", "policy_denied", "policy_unsatisfiable",
		"insufficient_level", "stale_authentication", "insufficient_scope", "insufficient_methods",
		"token_wrong_audience", "token_too_old", "not_sender_constrained"} {
		if seen[reason] < 5 {
			t.Errorf("%s was seen %d times", reason, seen[reason])
		}
	}
}
