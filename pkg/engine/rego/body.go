package rego

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/stepward/stepward/pkg/engine/rego/syntax"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/request"
)

// A rule that looks at the JSON of a body which is not JSON must not find it undefined. The
// rule would go silent, and the sender chooses the content type. Instead, such an
// evaluation ends in an error. We observe, and do not guess, whether a rule looks there:
// the body is a value that notes each question to it, however the policy is written.
//
// There are two such values, because neither notices everything. [watchedBody] notices each
// question to the object, but not a comparison with another object. [lazyMember] notices
// that, but not that members are counted. Only rules that handle the body as a whole are
// evaluated with both.

// evaluateBody runs the queries on an input whose request has a body.
//
// The error wraps [policy.ErrBody] if a rule looked for a kind of body as which this one
// could not be read.
func (p *Policy) evaluateBody(ctx context.Context, queries []rego.PreparedEvalQuery, in policy.Input) ([]map[string]any,
	error) {
	document := in.Document(p.opt.HeaderPrefix)
	w := newBodyWatch(in.Request.Body.State, p.known)
	documents, err := p.watched(ctx, queries, document, w)
	if w.indexed && !w.asked { // the index asked, for rules that may not get there
		w = newBodyWatch(in.Request.Body.State, p.known)
		documents, err = p.watched(ctx, queries, document, w, rego.EvalRuleIndexing(false))
	}
	switch {
	case w.asked:
		return nil, w.unread()
	case err == nil && !w.handled && p.tracer == nil:
		return documents, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("rego: %w", ctx.Err())
	}
	failed := err != nil
	if w.blind && !p.overrides {
		looked, lazyFailed := p.asksLazily(ctx, queries, document, w)
		if looked {
			return nil, w.unread()
		}
		failed = failed || lazyFailed
	}
	return p.evaluatePlain(ctx, queries, document, w, failed)
}

// evaluatePlain runs the queries once more, unwatched. failed says that a watched run
// failed. If this run does not fail, the watched one may have ended before a rule looked
// for something that is not there. If the body could be read, the policy's own result then
// counts.
func (p *Policy) evaluatePlain(ctx context.Context, queries []rego.PreparedEvalQuery, document map[string]any,
	w *bodyWatch, failed bool) ([]map[string]any, error) {
	input, err := ast.InterfaceToValue(document)
	if err != nil {
		return nil, fmt.Errorf("rego: input: %w", err)
	}
	documents, err := p.evaluate(ctx, queries, input)
	if err == nil && failed && (w.blind || slices.ContainsFunc(w.absent, func(name string) bool {
		return p.mentioned[name]
	})) {
		return nil, w.unread()
	}
	return documents, err
}

// watched runs the queries with a body that w watches. It ends when w.asked is set.
func (p *Policy) watched(ctx context.Context, queries []rego.PreparedEvalQuery, document map[string]any, w *bodyWatch,
	options ...rego.EvalOption) (documents []map[string]any, err error) {
	ctx, w.stop = context.WithCancel(ctx)
	defer w.stop()
	defer func() {
		if recover() != nil { // OPA does not expect an object of another kind everywhere
			documents, err = nil, errWatched
		}
	}()
	asked, _ := document["request"].(map[string]any)
	body, err := ast.InterfaceToValue(asked["body"])
	if err != nil {
		return nil, fmt.Errorf("rego: input: %w", err)
	}
	object, ok := body.(ast.Object)
	if !ok {
		return nil, errors.New("rego: the body is not an object")
	}
	input, err := ast.InterfaceToValue(withBody(document, &watchedBody{Object: object, watch: w}))
	if err != nil {
		return nil, fmt.Errorf("rego: input: %w", err)
	}
	w.armed = true
	return p.untraced().evaluate(ctx, queries, input, options...)
}

var errWatched = errors.New("rego: the evaluation panicked")

// asksLazily reports whether a rule asks for a kind of body as which this one could not be
// read, or looks at the body as a whole.
func (p *Policy) asksLazily(ctx context.Context, queries []rego.PreparedEvalQuery, document map[string]any,
	w *bodyWatch) (looked, failed bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lazy := lazyMember{func() { looked = true; cancel() }}
	asked, _ := document["request"].(map[string]any)
	body, _ := asked["body"].(map[string]any)
	members := maps.Clone(body)
	for _, name := range w.absent {
		members[name] = lazy
	}
	defer func() { failed = failed || recover() != nil }()
	documents, err := p.untraced().evaluate(ctx, queries, ast.LazyObject(withBody(document, members)),
		rego.EvalRuleIndexing(false), rego.EvalVirtualCache(uncachedCalls{topdown.NewVirtualCache()}))
	if err == nil { // a value passed on as a whole is read later
		_, err = json.Marshal(documents)
	}
	return looked, err != nil
}

// withBody returns document with another body.
func withBody(document map[string]any, body any) map[string]any {
	document = maps.Clone(document)
	asked, _ := document["request"].(map[string]any)
	asked = maps.Clone(asked)
	asked["body"] = body
	document["request"] = asked
	return document
}

// untraced returns p without a tracer, so that repeated evaluations are traced only once.
func (p *Policy) untraced() *Policy {
	q := *p
	q.tracer = nil
	return &q
}

// bodyWatch notes the questions to a body.
type bodyWatch struct {
	state  request.BodyState
	blind  bool     // the existing members mean nothing to the policy
	absent []string // members that a body of another state would have
	stop   context.CancelFunc
	armed  bool // the evaluation has begun

	asked   bool // for an absent member or, if the policy is blind, for any member
	indexed bool // the index asked for an absent member
	handled bool // the body was used as a whole, perhaps without looking inside
}

// newBodyWatch watches a body in a state. A policy is blind to a body that could not be
// read, and to a body of one kind if it mentions only the other. If it mentions only JSON,
// a rule that looks at the whole body looks for JSON, and would miss a sender who calls the
// body a form.
func newBodyWatch(state request.BodyState, known map[string]bool) *bodyWatch {
	w := &bodyWatch{state: state, blind: state.Unreadable(), absent: []string{"json", "form"}}
	switch state {
	case request.BodyJSON:
		w.absent, w.blind = []string{"form"}, known["form"] && !known["json"]
	case request.BodyForm:
		w.absent, w.blind = []string{"json"}, known["json"] && !known["form"]
	}
	return w
}

// unread says what the body was, in one of our own words.
func (w *bodyWatch) unread() error {
	return fmt.Errorf("%w: body.state is %s", policy.ErrBody, w.state)
}

func (w *bodyWatch) isAbsent(name *ast.Term) bool {
	s, ok := name.Value.(ast.String)
	return ok && slices.Contains(w.absent, string(s))
}

func (w *bodyWatch) ask() {
	w.asked = true
	w.stop()
}

func (w *bodyWatch) handle() { w.handled = w.handled || w.armed }

// whole notes that somebody looks at all members.
func (w *bodyWatch) whole() {
	if w.armed && w.blind {
		w.ask()
	}
	w.handle()
}

// watchedBody is a body that notes the questions to it. Through [ast.Object] it looks like
// an object to all of OPA's evaluation.
type watchedBody struct {
	ast.Object
	watch *bodyWatch
}

// Get notes a question for an absent member; other members are free.
func (b *watchedBody) Get(k *ast.Term) *ast.Term {
	if b.watch.isAbsent(k) {
		b.watch.ask()
	}
	return b.Object.Get(k)
}

// Find answers the index of rules; nothing else in an evaluation calls it.
func (b *watchedBody) Find(path ast.Ref) (ast.Value, error) {
	if len(path) == 0 {
		b.watch.handle()
		return b, nil
	}
	if b.watch.isAbsent(path[0]) {
		b.watch.indexed = true
	}
	return b.Object.Find(path)
}

// IsGround and Hash are called by OPA on each value that is passed on.
func (b *watchedBody) IsGround() bool { b.watch.handle(); return true }

// Hash hashes the existing members.
func (b *watchedBody) Hash() int { b.watch.handle(); return b.Object.Hash() }

// The other methods look at all members.

// Compare implements [ast.Value]. Comparing a body with itself says nothing about it.
func (b *watchedBody) Compare(other ast.Value) int {
	if o, ok := other.(*watchedBody); ok {
		if o == b {
			return 0
		}
		other = o.Object
	}
	b.watch.whole()
	return b.Object.Compare(other)
}

func (b *watchedBody) String() string { b.watch.whole(); return b.Object.String() }
func (b *watchedBody) Len() int       { b.watch.whole(); return b.Object.Len() }

// Copy returns a copy that is also watched: "with input.request.path as" copies the
// request.
func (b *watchedBody) Copy() ast.Object {
	b.watch.handle()
	return &watchedBody{Object: b.Object.Copy(), watch: b.watch}
}

func (b *watchedBody) Insert(k, v *ast.Term) {
	b.watch.ask() // "with input.request.body.x as": it would stay for the rules that follow
	b.Object.Insert(k, v)
}
func (b *watchedBody) Iter(f func(*ast.Term, *ast.Term) error) error {
	b.watch.whole()
	return b.Object.Iter(f)
}
func (b *watchedBody) Until(f func(*ast.Term, *ast.Term) bool) bool {
	b.watch.whole()
	return b.Object.Until(f)
}
func (b *watchedBody) Foreach(f func(*ast.Term, *ast.Term)) { b.watch.whole(); b.Object.Foreach(f) }
func (b *watchedBody) Map(f func(*ast.Term, *ast.Term) (*ast.Term, *ast.Term, error)) (ast.Object, error) {
	b.watch.whole()
	return b.Object.Map(f)
}
func (b *watchedBody) Diff(o ast.Object) ast.Object { b.watch.whole(); return b.Object.Diff(o) }
func (b *watchedBody) Intersect(o ast.Object) [][3]*ast.Term {
	b.watch.whole()
	return b.Object.Intersect(o)
}
func (b *watchedBody) Merge(o ast.Object) (ast.Object, bool) {
	b.watch.whole()
	return b.Object.Merge(o)
}
func (b *watchedBody) MergeWith(o ast.Object, f func(v1, v2 *ast.Term) (*ast.Term, bool)) (ast.Object, bool) {
	b.watch.whole()
	return b.Object.MergeWith(o, f)
}
func (b *watchedBody) Filter(f ast.Object) (ast.Object, error) {
	b.watch.whole()
	return b.Object.Filter(f)
}
func (b *watchedBody) Keys() []*ast.Term { b.watch.whole(); return b.Object.Keys() }
func (b *watchedBody) KeysIterator() ast.ObjectKeysIterator {
	b.watch.whole()
	return b.Object.KeysIterator()
}

// lazyMember is a member of OPA's own lazy object. OPA turns it into a value when a rule
// asks for it, or looks at the object as a whole.
type lazyMember struct{ note func() }

// MarshalJSON notes the question: OPA calls it on a Go value of unknown type.
func (m lazyMember) MarshalJSON() ([]byte, error) {
	m.note()
	return []byte("null"), nil
}

// uncachedCalls remembers no function results. A look-up would have to look at the
// arguments, and so at a body among them.
type uncachedCalls struct{ topdown.VirtualCache }

func isCall(ref ast.Ref) bool {
	_, called := ref[0].Value.(ast.Ref)
	return called
}

// Get finds nothing for a call.
func (c uncachedCalls) Get(ref ast.Ref) (*ast.Term, bool) {
	if isCall(ref) {
		return nil, false
	}
	return c.VirtualCache.Get(ref)
}

// Put forgets a call.
func (c uncachedCalls) Put(ref ast.Ref, value *ast.Term) {
	if !isCall(ref) {
		c.VirtualCache.Put(ref, value)
	}
}

// overridesInput reports whether a rule replaces a part of the input. A lazy object would
// keep the replacement, so only [watchedBody] is used. It does not notice if an object of
// OPA's own is compared with the whole body.
func overridesInput(c *ast.Compiler) bool {
	found := false
	for _, m := range c.Modules {
		ast.WalkExprs(m, func(e *ast.Expr) bool {
			for _, with := range e.With {
				ref, ok := with.Target.Value.(ast.Ref)
				found = found || with.Target.Equal(ast.InputRootDocument) || ok && ref[0].Equal(ast.InputRootDocument)
			}
			return found
		})
	}
	return found
}

// mentions returns which of the names occur in the policy as a string or in a reference:
// first in its own packages, then in all packages. The library asks for the state first.
func mentions(c *ast.Compiler, names ...string) (own, all map[string]bool) {
	own, all = map[string]bool{}, map[string]bool{}
	for _, m := range c.Modules {
		library := m.Package.Path.HasPrefix(syntax.LibraryPackage)
		ast.WalkTerms(m, func(t *ast.Term) bool {
			if s, ok := t.Value.(ast.String); ok && slices.Contains(names, string(s)) {
				all[string(s)] = true
				own[string(s)] = own[string(s)] || !library
			}
			return false
		})
	}
	return own, all
}
