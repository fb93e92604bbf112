package rego

import (
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// Firing is one way in which a require or deny rule held: the values of its variables, by
// the names that the author gave them.
type Firing struct {
	Rule   string            `json:"rule"`
	Values map[string]string `json:"values,omitempty"` // as JSON or Rego
}

// Traced returns a copy of p whose evaluations call tell for each rule that holds. Tracing
// costs time. Each evaluation calls tell from its own goroutine, and may still do so after
// its time is up.
func (p *Policy) Traced(tell func(Firing)) *Policy {
	return p.WithTracer(&firings{policy: p, tell: tell})
}

// WithTracer returns a copy of p whose evaluations t traces. Tracing costs time, and every
// evaluation calls t from its own goroutine.
func (p *Policy) WithTracer(t topdown.QueryTracer) *Policy {
	traced := *p
	traced.tracer = t
	return &traced
}

// firings listens for entry rules that hold.
type firings struct {
	policy *Policy
	tell   func(Firing)
}

func (*firings) Enabled() bool { return true }

func (*firings) Config() topdown.TraceConfig { return topdown.TraceConfig{PlugLocalVars: true} }

// TraceEvent implements [topdown.QueryTracer].
func (f *firings) TraceEvent(e topdown.Event) {
	r, isRule := e.Node.(*ast.Rule)
	if e.Op != topdown.ExitOp || !isRule || !strings.HasPrefix(string(r.Head.Name), hiddenPrefix) {
		return
	}
	i := memberAt(f.policy.members, r.Location)
	if i < 0 {
		return
	}
	x := Firing{Rule: f.policy.members[i].id, Values: map[string]string{}}
	if e.Locals != nil {
		e.Locals.Iter(func(k, v ast.Value) bool {
			name, ok := k.(ast.Var)
			if !ok {
				return false
			}
			if meta, there := e.LocalMetadata[name]; there {
				name = meta.Name
			}
			if text := string(name); !strings.HasPrefix(text, "__local") && !strings.HasPrefix(text, "$") &&
				!strings.HasPrefix(text, "_") {
				x.Values[text] = v.String()
			}
			return false
		})
	}
	f.tell(x)
}
