package rego

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/stepward/stepward/pkg/engine/memo"
	"github.com/stepward/stepward/pkg/engine/rego/syntax"
	"github.com/stepward/stepward/pkg/engine/watchdog"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/stepup"
)

// Policy is a loaded policy. It is immutable, and its methods may be called from many
// goroutines, without exception.
type Policy struct {
	opt     Options
	traits  policy.Traits
	members []member
	base    rego.PreparedEvalQuery
	routes  map[string]rego.PreparedEvalQuery
	tracer  topdown.QueryTracer // of tests; nil traces nothing
	watch   *watchdog.Watchdog
	memo    *memo.Memo // nil if only evaluating can tell requests apart
	// unindexed is set if rules ask which data is unknown: OPA's index would read data
	// before the rule that asks.
	unindexed bool

	overrides bool            // a rule says "with input…"
	mentioned map[string]bool // which of json and form the policy mentions
	known     map[string]bool // the same, without the library
}

// Labels returns the labels in the METADATA of require and deny rules, by the name that
// their members carry as Rule. It leaves out rules without labels.
func (p *Policy) Labels() map[string]map[string]any {
	all := map[string]map[string]any{}
	for _, m := range p.members {
		if len(m.labels) > 0 {
			all[m.id] = m.labels
		}
	}
	return all
}

// Traits returns what holds for every evaluation. The revision is that of the bundles, or
// the first 12 hexadecimal digits of a SHA-256 over the sources.
func (p *Policy) Traits() policy.Traits { return p.traits }

// Routes lists the names NAME of packages stepward.route.NAME, sorted.
func (p *Policy) Routes() []string { return slices.Sorted(maps.Keys(p.routes)) }

// Evaluate asks the policy, and every package in in.Routes, what in requires.
//
// The error wraps [policy.ErrRoute] if a route names a package that does not exist,
// [policy.ErrBody] if a rule looked at a body that could not be read as what it asks for,
// [policy.ErrTimeout] if the time budget was exceeded, and ctx's own error if ctx ended
// first. Any other error means that the policy failed or returned something that it may
// not. An error never comes with a result.
//
// A result may be shared with an earlier request that the rules cannot tell from in. Nobody
// may change it.
func (p *Policy) Evaluate(ctx context.Context, in policy.Input) (policy.Result, error) {
	if p.memo == nil || p.tracer != nil {
		return p.ask(ctx, in)
	}
	var space [256]byte
	key, ok := p.memo.Key(space[:0], &in)
	if !ok {
		return p.ask(ctx, in)
	}
	if err := ctx.Err(); err != nil {
		return policy.Result{}, err
	}
	if r, known := p.memo.Find(key); known {
		return r, nil
	}
	r, err := p.ask(ctx, in)
	if err == nil {
		p.memo.Keep(key, r)
	}
	return r, err
}

// Remembered returns how many results are remembered.
func (p *Policy) Remembered() int {
	if p.memo == nil {
		return 0
	}
	return p.memo.Len()
}

// ask evaluates the queries of in.
func (p *Policy) ask(ctx context.Context, in policy.Input) (policy.Result, error) {
	queries := []rego.PreparedEvalQuery{p.base}
	for _, name := range in.Routes {
		query, ok := p.routes[name]
		if !ok {
			return policy.Result{}, fmt.Errorf("%w: no package stepward.route.%s", policy.ErrRoute, name)
		}
		queries = append(queries, query)
	}
	documents, err := watchdog.Run(ctx, p.watch, in.Request, func(ctx context.Context) ([]map[string]any, error) {
		switch in.Request.Body.State {
		case "", request.BodyNone:
		default:
			return p.evaluateBody(ctx, queries, in)
		}
		input, err := ast.InterfaceToValue(in.Document(p.opt.HeaderPrefix))
		if err != nil {
			return nil, fmt.Errorf("rego: input: %w", err)
		}
		return p.evaluate(ctx, queries, input)
	})
	if err != nil {
		return policy.Result{}, err
	}
	return p.decode(documents)
}

// evaluate runs the queries in turn. Its result holds only JSON values.
func (p *Policy) evaluate(ctx context.Context, queries []rego.PreparedEvalQuery, input ast.Value,
	options ...rego.EvalOption) ([]map[string]any, error) {
	var documents []map[string]any
	for _, q := range queries {
		options := append([]rego.EvalOption{rego.EvalParsedInput(input), rego.EvalRuleIndexing(!p.unindexed)},
			options...)
		if p.tracer != nil {
			options = append(options, rego.EvalQueryTracer(p.tracer))
		}
		results, err := q.Eval(ctx, options...)
		if err != nil {
			return nil, WithoutValues(err)
		}
		if len(results) != 1 {
			return nil, fmt.Errorf("rego: %d results in place of one", len(results))
		}
		document, ok := results[0].Bindings["result"].(map[string]any)
		if !ok {
			return nil, errors.New("rego: the result is not an object")
		}
		documents = append(documents, document)
	}
	return documents, nil
}

// decode makes one result of what the packages returned. Two packages that set one name to
// different values conflict, just like two rules.
func (p *Policy) decode(documents []map[string]any) (policy.Result, error) {
	r := policy.Result{Headers: map[string][]string{}, Response: map[string][]string{}, Metadata: map[string]any{}}
	for _, d := range documents {
		if err := p.decodeMembers(d, &r); err != nil {
			return policy.Result{}, err
		}
		if err := errors.Join(decodeHeaders(d[syntax.Headers], r.Headers),
			decodeHeaders(d[syntax.ResponseHeaders], r.Response)); err != nil {
			return policy.Result{}, err
		}
		metadata, _ := d[syntax.Metadata].(map[string]any)
		for name, value := range metadata {
			if _, taken := r.Metadata[name]; taken {
				return policy.Result{}, errors.New("rego: two packages set one key of metadata to different values")
			}
			r.Metadata[name] = value
		}
	}
	if len(r.Require) > policy.MaxMembers || len(r.Deny) > policy.MaxMembers {
		return policy.Result{}, fmt.Errorf("rego: more than %d members of require or deny", policy.MaxMembers)
	}
	if err := policy.CheckMetadata(r.Metadata); err != nil {
		return policy.Result{}, err
	}
	return r, nil
}

func (p *Policy) decodeMembers(d map[string]any, r *policy.Result) error {
	for _, x := range list(d[syntax.Require]) {
		m, value, err := p.member(x)
		if err != nil {
			return err
		}
		requirement, err := policy.DecodeRequirement(value, m.id, p.opt.Ladder)
		if err != nil {
			return err
		}
		if requirement.Level == stepup.Anonymous && m.readsToken {
			return fmt.Errorf("rego: %s makes a route public and reads input.token", m.id)
		}
		r.Require = append(r.Require, requirement)
	}
	for _, x := range list(d[syntax.Deny]) {
		m, value, err := p.member(x)
		if err != nil {
			return err
		}
		denial, err := policy.DecodeDenial(value, m.id)
		if err != nil {
			return err
		}
		r.Deny = append(r.Deny, denial)
	}
	return nil
}

// member unwraps an element: the rule that it came from, and its value.
func (p *Policy) member(x any) (member, any, error) {
	o, _ := x.(map[string]any)
	number, _ := o["rule"].(json.Number)
	i, err := strconv.Atoi(number.String())
	if err != nil || i < 0 || i >= len(p.members) {
		return member{}, nil, errors.New("rego: a member that comes from no rule")
	}
	return p.members[i], o["value"], nil
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

func decodeHeaders(v any, into map[string][]string) error {
	o, _ := v.(map[string]any)
	for name, value := range o {
		values, err := policy.DecodeHeader(name, value)
		if err != nil {
			return err
		}
		if was, taken := into[name]; taken && !slices.Equal(was, values) {
			return fmt.Errorf("rego: two packages set header %q", name)
		}
		into[name] = values
	}
	return nil
}
