package authz

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/response"
	"github.com/stepward/stepward/pkg/stepup"
	"github.com/stepward/stepward/pkg/token"
)

// Authorizer decides requests. All fields are required except the gates, the site's fields
// and Observe. None may change after the first call.
type Authorizer struct {
	Normalize request.Options
	Verifier  Verifier
	Policy    Policy
	// Ladder orders the levels, in the words used for callers of no known issuer. Ladders
	// holds, by issuer name, the ladders of issuers that have words of their own.
	Ladder  stepup.Ladder
	Ladders map[string]stepup.Ladder
	Answers Answers

	// Deadline bounds a decision, however much time the caller gives. If the caller's own
	// deadline is earlier, we keep it with a margin, so that the answer still arrives.
	Deadline time.Duration

	// Gate limits how many decisions are made at once; nil means no limit.
	Gate *Gate

	// Site answers requests under [SitePath]; nil leaves that path to the policy and the
	// upstream, like any other. It has its own deadline and gate, so that a slow site takes
	// neither time nor places from decisions.
	Site         Site
	SiteDeadline time.Duration
	SiteGate     *Gate

	Now  func() time.Time
	Rand io.Reader
	// Observe, if set, is called once with each record, before the answer is
	// returned. It must not block, and must not change the record, but may keep it.
	Observe func(context.Context, *Record)
}

// errPanic stands for the value of a panic, which may hold anything.
var errPanic = errors.New("authz: a stage panicked")

// Authorize takes raw through every stage. It always returns an answer: see the package
// comment for the order, and [stepup.Decide] for the order of judgement. If the context has
// ended, or ends on the way, the answer is a refusal.
func (a *Authorizer) Authorize(ctx context.Context, raw request.Raw) Record {
	r := Record{ID: newID(a.Rand), Time: a.Now(), Judgement: Judgement{Revision: a.Policy.Traits().Revision,
		Held: stepup.Anonymous}}
	site, limit := a.isSite(raw), a.Deadline
	if site {
		limit = a.SiteDeadline
	}
	ctx, cancel := budget(ctx, limit)
	defer cancel()

	var own *response.Response // the site's own words
	switch {
	case site:
		own = a.serve(ctx, raw, &r)
	case !a.Gate.enter():
		r.Decision = stepup.Deny{Why: stepup.Overloaded}
	default:
		defer a.Gate.leave()
		a.decide(ctx, raw, &r)
	}
	if ctx.Err() != nil {
		r.Decision, r.Fault, own = stepup.Deny{Why: stepup.Deadline}, fmt.Errorf("authz: %w", ctx.Err()), nil
	}
	a.answer(&r, own)
	r.Duration = a.Now().Sub(r.Time)
	if a.Observe != nil {
		a.Observe(ctx, &r)
	}
	return r
}

// decide fills r stage by stage and stops at the first that cannot go on.
func (a *Authorizer) decide(ctx context.Context, raw request.Raw, r *Record) {
	defer r.refusePanic()
	if !a.normalize(raw, r) {
		return
	}
	if a.Answers.CORS.isPreflight(r.Request) {
		r.Decision = stepup.Preflight{}
		return
	}
	presented, err := credential.Extract(r.Request)
	if r.Scheme, r.Fault = presented.Scheme, err; err != nil {
		r.Decision = stepup.Deny{Why: stepup.CredentialMalformed}
		return
	}
	if a.Policy.Traits().IgnoresToken {
		a.decideUnverified(ctx, presented, r)
		return
	}
	if a.verify(ctx, presented, r); ctx.Err() != nil {
		return // no policy is asked for an answer that comes too late
	}
	r.Stages.Verified = a.Now()
	r.Judgement = a.Judge(ctx, a.Policy, r.Question())
	r.Stages.Evaluated = a.Now()
}

// normalize reads raw into r, and reports whether there is only one way to read it.
func (a *Authorizer) normalize(raw request.Raw, r *Record) bool {
	if r.Request, r.Fault = request.New(raw, a.Normalize); r.Fault != nil {
		r.Decision = stepup.Deny{Why: normalizationReason(r.Fault)}
		return false
	}
	r.Stages.Normalized = a.Now()
	return true
}

// refusePanic turns a panic of a stage into a refusal. It is deferred.
func (r *Record) refusePanic() {
	if p := recover(); p != nil {
		r.Decision, r.Fault = stepup.Deny{Why: stepup.Internal}, fmt.Errorf("%w: %T", errPanic, p)
	}
}

// decideUnverified asks the policy first, and verifies the credential only if something is
// required of the caller. The policy is asked once.
func (a *Authorizer) decideUnverified(ctx context.Context, presented credential.Credential, r *Record) {
	p := &askedOnce{Policy: a.Policy}
	r.Stages.Verified = a.Now() // nothing is verified yet
	r.Judgement = a.Judge(ctx, p, r.Question())
	if r.Stages.Evaluated = a.Now(); !r.Shortfall.Needed || r.Fault != nil {
		return
	}
	if a.verify(ctx, presented, r); ctx.Err() == nil {
		r.Judgement = a.Judge(ctx, p, r.Question())
	}
}

// askedOnce remembers what a policy says about one request.
type askedOnce struct {
	Policy
	asked  bool
	result policy.Result
	err    error
}

func (p *askedOnce) Evaluate(ctx context.Context, in policy.Input) (policy.Result, error) {
	if !p.asked {
		p.result, p.err = p.Policy.Evaluate(ctx, in)
		p.asked = true
	}
	return p.result, p.err
}

// verify turns a credential into the token of r or into the reason why there is none:
// always exactly one of them. A bad credential that the browser added by itself counts as
// none.
func (a *Authorizer) verify(ctx context.Context, c credential.Credential, r *Record) {
	if !c.Present() {
		return
	}
	t, err := a.Verifier.Verify(ctx, r.Request, c)
	if err == nil && t != nil {
		l, _ := a.ladder(t)
		r.Token = l.StrongestFirst(t)
		return
	}
	if !errors.As(err, &r.Failure) {
		r.Failure = &token.Error{Code: token.KeysUnavailable, Detail: fmt.Sprint(err)}
	}
	if c.Scheme.Ambient() && !r.Failure.OwnFault() {
		r.Scheme, r.Failure = "", nil
	}
}

// ladder returns the ladder in the words of t's issuer, and the levels that t proves.
func (a *Authorizer) ladder(t *token.Token) (stepup.Ladder, []string) {
	if t == nil {
		return a.Ladder, nil
	}
	l, own := a.Ladders[t.IssuerName]
	if !own {
		l = a.Ladder
	}
	return l, l.Proven(*t)
}

func normalizationReason(err error) stepup.Reason {
	if errors.Is(err, request.ErrRepeated) {
		return stepup.CredentialRepeated
	}
	return stepup.RequestAmbiguous
}

func policyReason(err error) stepup.Reason {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, policy.ErrRoute):
		return stepup.RouteConfig
	case errors.Is(err, policy.ErrBody):
		return stepup.BodyUnreadable
	case errors.Is(err, policy.ErrRequest):
		return stepup.RequestAmbiguous
	case errors.Is(err, policy.ErrTimeout):
		return stepup.PolicyTimeout
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return stepup.Deadline
	}
	return stepup.PolicyError
}

// budget returns ctx with our own deadline: after d, or earlier if the caller has less
// time. Then it leaves the caller a tenth of that time, but at most 20 ms. Our answer must
// be back before the caller stops waiting and makes up its own.
func budget(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if at, ok := ctx.Deadline(); ok {
		left := time.Until(at)
		d = min(d, left-min(left/10, 20*time.Millisecond))
	}
	return context.WithTimeout(ctx, d)
}

// newID returns a random decision id, 128 bits in hexadecimal. Without randomness it
// is empty rather than guessable.
func newID(rand io.Reader) string {
	var b [16]byte
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return ""
	}
	return fmt.Sprintf("%x", b)
}
