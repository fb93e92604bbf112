package tester

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/open-policy-agent/opa/v1/ast"
	opa "github.com/open-policy-agent/opa/v1/rego"
	opatester "github.com/open-policy-agent/opa/v1/tester"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/types"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/engine/opaenvoy"
	"github.com/stepward/stepward/pkg/engine/rego"
)

// load loads the policy for scenarios. coverage traces it.
func (o Options) load(ctx context.Context, sources []rego.Source, coverage topdown.QueryTracer) (authz.Policy, error) {
	if o.OPAEnvoy != nil {
		p, err := opaenvoy.Load(ctx, sources, *o.OPAEnvoy)
		if err != nil {
			return nil, err
		}
		return p.WithTracer(coverage), nil
	}
	p, err := rego.Load(ctx, append(slices.Clone(sources), o.Library...), o.Load)
	if err != nil {
		return nil, err
	}
	return p.WithTracer(coverage), nil
}

// refusal says why a policy does not load, and whether a test ran into that.
type refusal struct {
	err  error
	told atomic.Bool
}

// errNotLoaded is what a test gets instead of an answer; the report says what is wrong.
var errNotLoaded = errors.New("the policy does not load")

// answerFunction declares stepward.answer.
var answerFunction = &opa.Function{
	Name: "stepward.answer", Description: "What the caller of a scenario would be answered.",
	Decl: types.NewFunction(types.Args(types.Named("scenario", types.A)), types.Named("answer", types.A)),
}

// builtin returns stepward.answer for the policy in the sources, or nothing if no scenario
// can be played. If the sources do not load as a policy, as is the case for a library,
// calling it fails, and the refusal says why.
func (o Options) builtin(ctx context.Context, sources []rego.Source, coverage topdown.QueryTracer) (
	[]*opatester.Builtin, *refusal) {
	refused := &refusal{}
	if o.Answer == nil {
		return nil, refused
	}
	p, err := o.load(ctx, sources, coverage)
	refused.err = err
	call := func(b opa.BuiltinContext, operand *ast.Term) (*ast.Term, error) {
		if refused.err != nil {
			refused.told.Store(true)
			return nil, errNotLoaded
		}
		scenario, err := ast.JSON(operand.Value)
		if err != nil {
			return nil, err
		}
		answer, err := o.Answer(b.Context, p, scenario)
		if err != nil {
			return nil, err
		}
		value, err := ast.InterfaceToValue(answer)
		if err != nil {
			return nil, err
		}
		return ast.NewTerm(value), nil
	}
	return []*opatester.Builtin{{
		Decl: &ast.Builtin{Name: answerFunction.Name, Description: answerFunction.Description,
			Decl: answerFunction.Decl, Nondeterministic: true},
		Func: opa.Function1(answerFunction, call),
	}}, refused
}
