package analysis

import (
	"fmt"

	"github.com/stepward/stepward/pkg/engine/rego"
)

// unused finds rules that no deciding rule leads to. A function cannot be a stop sign, and
// may be there for later use.
func (l *linter) unused(sources []rego.Source) {
	for _, r := range rego.Unread(sources, l.opt.Options) {
		l.warn(r.Location, "unused", fmt.Sprintf("rule %s is read by nothing that decides", r.Head.Ref()),
			"read it in require or deny, move it to a file of tests, or remove it")
	}
}
