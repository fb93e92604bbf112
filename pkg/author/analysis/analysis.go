// Package analysis says what a policy means before it decides anything: what it requires if
// only part of a request is known, which members of the input it looks at, and which of its
// rules compile but do not mean what they seem to.
//
// An [Analysis] has its own compiled policy, separate from every policy that decides.
// [Analysis.Partial] takes the rules apart (partial.go). OPA's partial evaluation leaves
// some conditions undecided even though everything in them is known; settle.go and paths.go
// decide those. [Analysis.Reads] follows the input through rules and functions. [Lint]
// warns the author: lint.go holds the order, and never.go what a member of the input can
// never be.
package analysis

import (
	"github.com/open-policy-agent/opa/v1/ast"
	opa "github.com/open-policy-agent/opa/v1/rego"

	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/policy"
)

// Analysis takes one policy apart. Only one goroutine at a time may use it, because OPA
// rewrites parts of a policy during partial evaluation.
type Analysis struct {
	program *rego.Program
	queries map[string]opa.PreparedPartialQuery // of the members of an entry rule
	parsed  map[string]ast.Ref                  // the names given to Partial
}

// Load makes an analysis of sources. If something is wrong with them, it returns the error
// of [rego.Load].
func Load(sources []rego.Source, opt rego.Options) (*Analysis, error) {
	program, err := rego.Compile(sources, opt)
	if err != nil {
		return nil, err
	}
	return &Analysis{
		program: program,
		queries: map[string]opa.PreparedPartialQuery{},
		parsed:  map[string]ast.Ref{},
	}, nil
}

// Traits returns what the policy states about itself.
func (a *Analysis) Traits() policy.Traits { return a.program.Traits() }
