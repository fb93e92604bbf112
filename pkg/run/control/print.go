package control

import (
	"fmt"
	"io"
	"maps"
	"slices"
)

// Print writes a decision, what became of the policy that made it, and what that policy
// says now.
func (t Told) Print(out io.Writer) {
	t.Explanation.Print(out)
	fmt.Fprintf(out, "policy     revision %s, %s\n", t.Revision, t.Again.State)
	if t.Again.Reason != "" {
		fmt.Fprintf(out, "again      %s\n", t.Again.Reason)
	}
	for _, r := range t.Again.Rules {
		line := "           " + r.Rule
		for _, name := range slices.Sorted(maps.Keys(r.Values)) {
			line += " " + name + "=" + r.Values[name]
		}
		fmt.Fprintln(out, line)
	}
}
