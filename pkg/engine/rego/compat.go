package rego

import (
	"github.com/stepward/stepward/pkg/engine/rego/syntax"

	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/topdown/cache"

	"github.com/stepward/stepward/pkg/engine/watchdog"
	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/request"
)

// DefaultCompatPath is the decision that opa-envoy-plugin asks for unless it is told
// another.
const DefaultCompatPath = "envoy/authz/allow"

// maxCached bounds what http.send may keep between evaluations, in bytes.
const maxCached = 8 << 20

// CompatOptions are what a policy of opa-envoy-plugin is loaded with.
type CompatOptions struct {
	Options
	Path string               // of the decision below data, with slashes; empty means DefaultCompatPath
	Body request.BodyDecoding // how the input's parsed_body and truncated_body are made
	// Network permits built-in functions that reach the network.
	Network bool
	Now     func() time.Time // the clock of policies, read once for each evaluation; nil means time.Now
}

func (o CompatOptions) withDefaults() CompatOptions {
	o.Options = o.Options.withDefaults()
	if o.Path == "" {
		o.Path = DefaultCompatPath
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// CompatPolicy is a policy that was written for opa-envoy-plugin: it reads that plugin's
// input and answers with its decision object. It is immutable, and its methods may be
// called from many goroutines.
//
// As there, and unlike in a [Policy], a built-in function that fails is undefined, and a
// policy may read the clock, which stands still during an evaluation.
type CompatPolicy struct {
	opt    CompatOptions
	traits policy.Traits
	reads  [][]string
	query  rego.PreparedEvalQuery
	decode policy.OPAEnvoy
	cache  cache.InterQueryCache // of http.send; nil without the network
	watch  *watchdog.Watchdog
	tracer topdown.QueryTracer // of tests; nil traces nothing
}

// LoadCompat makes a policy of sources. When something is wrong with them the error is a
// [finding.List] that holds all of it.
func LoadCompat(ctx context.Context, sources []Source, opt CompatOptions) (*CompatPolicy, error) {
	if large := tooLarge(sources); large != nil {
		return nil, large
	}
	opt = opt.withDefaults()
	if large := tooLarge(sources); large != nil {
		return nil, large
	}
	compiler, document, found := compileCompat(sources, opt)
	if len(found) > 0 {
		return nil, found.Tidy()
	}
	ref := decisionRef(opt.Path)
	if f, ok := checkDecision(compiler, document, ref, opt.Path, sources); !ok {
		return nil, finding.List{f}
	}
	query, err := rego.New(
		rego.ParsedQuery(ast.NewBody(ast.NewExpr(ast.NewTerm(ref)))), rego.Compiler(compiler),
		rego.Store(inmem.NewFromObject(document)), rego.Capabilities(compatCapabilities(opt.Network)),
	).PrepareForEval(ctx)
	if err != nil {
		return nil, fmt.Errorf("rego: %w", err)
	}
	p := &CompatPolicy{
		opt: opt, traits: policy.Traits{Revision: named(opt.Options, sources),
			RequestHeaders: staticHeaders(compiler.Modules, opt.HeaderPrefix), IgnoresToken: true},
		reads: compatReads(compiler.Modules), query: query,
		decode: policy.OPAEnvoy{Rule: opt.Path, Ladder: opt.Ladder, HeaderPrefix: opt.HeaderPrefix},
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

// compileCompat compiles sources by OPA's own rules: no schema of the input, no strictness
// beyond the language's.
func compileCompat(sources []Source, opt CompatOptions) (*ast.Compiler, map[string]any, finding.List) {
	l := newLoader(opt.Options)
	l.compat = &opt
	modules, document := l.parse(sources, false)
	l.checkOrigin(sources, modules)
	if len(l.found) > 0 {
		return nil, nil, l.found
	}
	compiler := ast.NewCompiler().WithCapabilities(compatCapabilities(opt.Network))
	if compiler.Compile(modules); compiler.Failed() {
		return nil, nil, compatErrors(compiler.Errors, "")
	}
	return compiler, document, nil
}

// compatErrors is [Findings] with hints that hold for such policies.
func compatErrors(err error, file string) finding.List {
	found := syntax.Findings(err, file)
	for i := range found {
		if strings.Contains(found[i].Message, "undefined function") {
			found[i].Hint = "http.send and net.lookup_ip_addr are there with --insecure-policy-network only, opa.runtime is not"
		}
	}
	return found
}

// compatParseError says what to do with a file in the syntax of old.
func compatParseError(s Source, err error) finding.List {
	if _, old := ast.ParseModuleWithOpts(s.Name, string(s.Text), ast.ParserOptions{
		RegoVersion: ast.RegoV0}); old == nil {
		return finding.List{{File: s.Name, Line: 1, Column: 1, Code: "rego_v0",
			Message: "the file is Rego v0",
			Hint:    "write it anew once with `opa fmt --v0-v1 --write`, or put `import rego.v1` into it and mend what is found"}}
	}
	return compatErrors(err, s.Name)
}

// decisionRef is the reference to a decision by its path.
func decisionRef(path string) ast.Ref {
	ref := ast.Ref{ast.DefaultRootDocument}
	for name := range strings.SplitSeq(path, "/") {
		switch n, err := strconv.Atoi(name); {
		case name == "":
		case err == nil:
			ref = append(ref, ast.IntNumberTerm(n))
		default:
			ref = append(ref, ast.StringTerm(name))
		}
	}
	return ref
}

// checkDecision finds a decision that nothing makes: it would refuse everything.
func checkDecision(c *ast.Compiler, document map[string]any, ref ast.Ref, path string, sources []Source) (
	finding.Finding, bool) {
	if len(ref) > 1 && len(c.GetRules(ref)) > 0 {
		return finding.Finding{}, true
	}
	var at any = document
	for _, t := range ref[1:] {
		name, _ := t.Value.(ast.String)
		o, _ := at.(map[string]any)
		at = o[string(name)]
	}
	if len(ref) > 1 && at != nil {
		return finding.Finding{}, true
	}
	var known []string
	for _, m := range c.Modules {
		for _, r := range m.Rules {
			if plain, err := r.Ref().GroundPrefix().Ptr(); err == nil && !slices.Contains(known, plain) {
				known = append(known, plain)
			}
		}
	}
	slices.Sort(known)
	return finding.Finding{File: firstName(sources), Line: 1, Column: 1, Code: "no_decision",
		Message: fmt.Sprintf("no rule makes the decision %s%s", path, finding.DidYouMean(path, known)),
		Hint:    "policy.path names it, with slashes"}, false
}

// Traits returns what holds for every evaluation. The request headers are those whose names
// the policy writes out. A name that it computes is not known before it is asked, so a
// client's own header of that name reaches the application whenever the policy does not set
// it. The token is ignored: the input holds what Envoy reports and nothing of ours.
func (p *CompatPolicy) Traits() policy.Traits { return p.traits }

// Reads is [Policy.Reads] of what needs something of a proxy, in the words of our own
// input: the body, the certificate of the peer, and the TLS session.
func (p *CompatPolicy) Reads() [][]string { return p.reads }

func compatReads(modules map[string]*ast.Module) [][]string {
	needs := map[string][]string{
		"parsed_body": {"request", "body"}, "truncated_body": {"request", "body"}, "body": {"request", "body"},
		"rawBody":     {"request", "body"},
		"certificate": {"source", "certificate"}, "tlsSession": {"tls"},
	}
	var reads [][]string
	for _, m := range modules {
		ast.WalkTerms(m, func(t *ast.Term) bool {
			name, _ := t.Value.(ast.String)
			if path, ok := needs[string(name)]; ok && !slices.ContainsFunc(reads, func(r []string) bool {
				return slices.Equal(r, path)
			}) {
				reads = append(reads, path)
			}
			return false
		})
	}
	slices.SortFunc(reads, slices.Compare[[]string])
	return reads
}

// Evaluate asks the policy about the attributes of in.Request. An undefined decision is
// the zero Result, which refuses.
//
// The errors are those of [Policy.Evaluate], and one that wraps [policy.ErrRequest] where
// the client sent what cannot be read.
func (p *CompatPolicy) Evaluate(ctx context.Context, in policy.Input) (policy.Result, error) {
	switch {
	case len(in.Routes) > 0:
		return policy.Result{}, fmt.Errorf("%w: no package stepward.route.%s, as the policy is of opa-envoy-plugin",
			policy.ErrRoute, in.Routes[0])
	case in.Request.Attributes == nil:
		return policy.Result{}, errors.New("rego: the request did not come from Envoy")
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

func (p *CompatPolicy) evaluate(ctx context.Context, r request.Request) (policy.Result, error) {
	document, err := r.Attributes(p.opt.Body)
	if err != nil {
		return policy.Result{}, fmt.Errorf("%w: %w", policy.ErrRequest, err)
	}
	input, err := ast.InterfaceToValue(document)
	if err != nil {
		return policy.Result{}, fmt.Errorf("rego: input: %w", err)
	}
	options := []rego.EvalOption{rego.EvalParsedInput(input), rego.EvalTime(p.opt.Now())}
	if p.tracer != nil {
		options = append(options, rego.EvalQueryTracer(p.tracer))
	}
	if p.cache != nil {
		options = append(options, rego.EvalInterQueryBuiltinCache(p.cache))
	}
	results, err := p.query.Eval(ctx, options...)
	switch {
	case err != nil:
		return policy.Result{}, withoutValues(err)
	case len(results) == 0:
		return policy.Result{}, nil
	case len(results) > 1 || len(results[0].Expressions) != 1:
		return policy.Result{}, fmt.Errorf("rego: %d results in place of one", len(results))
	}
	return p.decode.Decode(results[0].Expressions[0].Value)
}

// staticHeaders are names of request headers that rules write out: keys of what is called
// "headers". Only those that begin with x- and that no proxy or tracer uses are listed:
// the same object names headers of refusals, and an application that lost its own
// content-type would break.
func staticHeaders(modules map[string]*ast.Module, prefix string) []string {
	names := map[string]bool{}
	add := func(t *ast.Term) {
		s, ok := t.Value.(ast.String)
		if name := strings.ToLower(string(s)); ok && ownHeader(name, prefix) {
			names[name] = true
		}
	}
	for _, m := range modules {
		ast.WalkRules(m, func(r *ast.Rule) bool {
			ref := r.Head.Ref()
			for i, t := range ref {
				if !isHeaders(t) {
					continue
				}
				if i+1 < len(ref) {
					add(ref[i+1])
				} else if r.Head.Key != nil {
					add(r.Head.Key)
				} else if r.Head.Value != nil {
					keysOf(r.Head.Value, add)
				}
			}
			return false
		})
		ast.WalkTerms(m, func(t *ast.Term) bool {
			if o, ok := t.Value.(ast.Object); ok {
				o.Foreach(func(k, v *ast.Term) {
					if isHeaders(k) {
						keysOf(v, add)
					}
				})
			}
			return false
		})
	}
	return slices.Sorted(maps.Keys(names))
}

func isHeaders(t *ast.Term) bool {
	switch v := t.Value.(type) {
	case ast.Var:
		return v == "headers"
	case ast.String:
		return v == "headers"
	}
	return false
}

// keysOf tells of the keys of an object, or of those in an array.
func keysOf(t *ast.Term, add func(*ast.Term)) {
	switch v := t.Value.(type) {
	case ast.Object:
		v.Foreach(func(k, _ *ast.Term) { add(k) })
	case *ast.Array:
		v.Foreach(func(x *ast.Term) { keysOf(x, add) })
	}
}

// ownHeader holds for names that an application takes from the policy alone.
func ownHeader(name, prefix string) bool {
	if !strings.HasPrefix(name, "x-") || !request.IsToken(name) || strings.HasPrefix(request.Spelling(name), prefix) {
		return false
	}
	for _, other := range []string{"x-request-id", "x-correlation-id", "x-forwarded-", "x-envoy-", "x-b3-", "x-ot-",
		"x-amzn-", "x-cloud-trace-", "x-client-trace-", "x-real-ip"} {
		if strings.HasPrefix(name, other) {
			return false
		}
	}
	return true
}
