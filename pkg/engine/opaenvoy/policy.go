package opaenvoy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	opa "github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/topdown/cache"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/engine/watchdog"
	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/request"
)

// DefaultPath is the decision that opa-envoy-plugin asks for by default.
const DefaultPath = "envoy/authz/allow"

// maxCached limits what http.send may keep between evaluations, in bytes.
const maxCached = 8 << 20

// Options say how a policy is loaded. The options for data that may be missing or too old
// have no effect here.
type Options struct {
	rego.Options
	Path string // of the decision below data, with slashes; empty means DefaultPath
	Body Body   // how to make the input's parsed_body and truncated_body
	// Network permits built-in functions that reach the network.
	Network bool
	Now     func() time.Time // the clock of policies, read once for each evaluation; nil means time.Now
}

func (o Options) withDefaults() Options {
	o.Options = o.Options.WithDefaults()
	if o.Path == "" {
		o.Path = DefaultPath
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Policy is a policy written for opa-envoy-plugin. It is immutable, and its methods may be
// called from many goroutines.
type Policy struct {
	opt    Options
	traits policy.Traits
	reads  [][]string
	query  opa.PreparedEvalQuery
	decode decoder
	cache  cache.InterQueryCache // of http.send; nil without the network
	watch  *watchdog.Watchdog
	tracer topdown.QueryTracer // nil traces nothing
}

var _ authz.Policy = (*Policy)(nil)

// Load makes a policy of sources. If anything is wrong with them, the error is a
// [finding.List] of everything that is.
func Load(ctx context.Context, sources []rego.Source, opt Options) (*Policy, error) {
	opt = opt.withDefaults()
	compiler, document, found := compile(sources, opt)
	if len(found) > 0 {
		return nil, found.Tidy()
	}
	ref := decisionRef(opt.Path)
	if f, ok := checkDecision(compiler, document, ref, opt.Path, sources); !ok {
		return nil, finding.List{f}
	}
	query, err := opa.New(
		opa.ParsedQuery(ast.NewBody(ast.NewExpr(ast.NewTerm(ref)))), opa.Compiler(compiler),
		opa.Store(inmem.NewFromObject(document)), opa.Capabilities(capabilities(opt.Network)),
	).PrepareForEval(ctx)
	if err != nil {
		return nil, fmt.Errorf("opaenvoy: %w", err)
	}
	p := &Policy{
		opt: opt, traits: policy.Traits{Revision: cmp.Or(opt.Revision, rego.Revision(sources)),
			RequestHeaders: staticHeaders(compiler.Modules, opt.HeaderPrefix), IgnoresToken: true},
		reads: reads(compiler.Modules), query: query,
		decode: decoder{rule: opt.Path, ladder: opt.Ladder, headerPrefix: opt.HeaderPrefix},
		watch:  watchdog.New(opt.Timeout, opt.MaxAbandoned),
	}
	if opt.Network {
		p.watch.ByWall()
		size := int64(maxCached)
		p.cache = cache.NewInterQueryCache(&cache.Config{InterQueryBuiltinCache: cache.InterQueryBuiltinCacheConfig{
			MaxSizeBytes: &size}})
	}
	return p, nil
}

// WithTracer returns a copy of p whose evaluations t traces. Tracing costs time, and every
// evaluation calls t from its own goroutine.
func (p *Policy) WithTracer(t topdown.QueryTracer) *Policy {
	traced := *p
	traced.tracer = t
	return &traced
}

// Traits returns what holds for every evaluation. The request headers are those whose names
// the policy writes literally. A computed name is not known before the evaluation, so a
// client's own header of that name reaches the application whenever the policy does not set
// it. The token is ignored: the input holds only what Envoy reports.
func (p *Policy) Traits() policy.Traits { return p.traits }

// Evaluate asks the policy about the attributes of in.Request. An undefined decision becomes
// the zero Result, which refuses.
//
// It returns the errors of [rego.Policy.Evaluate], and one that wraps [policy.ErrRequest]
// if the client sent something unreadable.
func (p *Policy) Evaluate(ctx context.Context, in policy.Input) (policy.Result, error) {
	switch {
	case len(in.Routes) > 0:
		return policy.Result{}, fmt.Errorf("%w: no package stepward.route.%s, as the policy is of opa-envoy-plugin",
			policy.ErrRoute, in.Routes[0])
	case in.Request.Attributes == nil:
		return policy.Result{}, errors.New("opaenvoy: the request did not come from Envoy")
	}
	r, err := watchdog.Run(ctx, p.watch, in.Request, func(ctx context.Context) (policy.Result, error) {
		return p.evaluate(ctx, in.Request)
	})
	if err == nil {
		err = r.CheckQuery(in.Request.RawQuery)
	}
	if err != nil {
		return policy.Result{}, err
	}
	return r, nil
}

func (p *Policy) evaluate(ctx context.Context, r request.Request) (policy.Result, error) {
	document, err := Input(r, p.opt.Body)
	if err != nil {
		return policy.Result{}, fmt.Errorf("%w: %w", policy.ErrRequest, err)
	}
	input, err := ast.InterfaceToValue(document)
	if err != nil {
		return policy.Result{}, fmt.Errorf("opaenvoy: input: %w", err)
	}
	options := []opa.EvalOption{opa.EvalParsedInput(input), opa.EvalTime(p.opt.Now())}
	if p.tracer != nil {
		options = append(options, opa.EvalQueryTracer(p.tracer))
	}
	if p.cache != nil {
		options = append(options, opa.EvalInterQueryBuiltinCache(p.cache))
	}
	results, err := p.query.Eval(ctx, options...)
	switch {
	case err != nil:
		return policy.Result{}, rego.WithoutValues(err)
	case len(results) == 0:
		return policy.Result{}, nil
	case len(results) > 1 || len(results[0].Expressions) != 1:
		return policy.Result{}, fmt.Errorf("opaenvoy: %d results in place of one", len(results))
	}
	return p.decode.decode(results[0].Expressions[0].Value)
}
