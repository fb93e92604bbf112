package control_test

import (
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/author/explain"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/run/control"
)

// A decision is followed by what its policy says now, or that nobody can ask it any more.
func TestToldPrint(t *testing.T) {
	for want, again := range map[string]control.Again{
		"policy     revision 4f1c, no longer loaded\n": {State: "no longer loaded"},
		"policy     revision 4f1c, in force\nagain      insufficient_level\n           stepward.policy.require a=1 b=2\n": {
			State: "in force", Reason: "insufficient_level", Rules: []rego.Firing{
				{Rule: "stepward.policy.require", Values: map[string]string{"b": "2", "a": "1"}}}},
	} {
		var out strings.Builder
		control.Told{Explanation: explain.Explanation{Revision: "4f1c"}, Again: again}.Print(&out)
		if !strings.HasPrefix(out.String(), "request ") || !strings.HasSuffix(out.String(), want) {
			t.Errorf("%s\nwant\n%s", out.String(), want)
		}
	}
}
