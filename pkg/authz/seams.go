package authz

import (
	"context"

	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/response"
	"github.com/stepward/stepward/pkg/stepup"
	"github.com/stepward/stepward/pkg/token"
)

// Verifier turns a credential, presented with a request, into a token.
//
// Verify returns a token only when every check of the issuer's configuration has passed.
// Any failure is a *[token.Error]; any other error counts as our own fault. It must return
// soon after ctx ends, and is called from many goroutines. It need not look at levels,
// freshness or scopes.
type Verifier interface {
	Verify(ctx context.Context, r request.Request, c credential.Credential) (*token.Token, error)
}

// Verifiers holds one verifier for each scheme. A scheme without one cannot be verified.
type Verifiers map[credential.Scheme]Verifier

// Verify passes c to the verifier of its scheme.
func (v Verifiers) Verify(ctx context.Context, r request.Request, c credential.Credential) (*token.Token, error) {
	of := v[c.Scheme]
	if of == nil {
		return nil, &token.Error{Code: token.BadBinding, Detail: "no verifier for the scheme " + string(c.Scheme)}
	}
	return of.Verify(ctx, r, c)
}

// Login sends a person away to prove what a request lacks, and back again. It answers from
// memory and must not use the network. It is called from many goroutines.
type Login interface {
	// Reaches reports whether a redirect in answer to r would reach a person who can log in
	// and come back.
	Reaches(r request.Request) bool
	// Begin starts a login that should prove what ask says, for the person whose browser
	// made r. It is called only if Reaches reports true for r.
	Begin(r request.Request, ask stepup.Ask) Departure
	// Link returns where the client of r may send a person to prove what ask says, or
	// nothing if there is no such place.
	Link(r request.Request, ask stepup.Ask) string
}

// Departure says where a browser is sent to log in.
type Departure struct {
	Location string
	Cookies  []string // Set-Cookie headers that go with the answer (RFC 6265 §4.1)
}

// Site answers requests to our own addresses, under [SitePath]. They never reach the
// upstream.
//
// Serve returns its decision and the answer to send. A [stepup.Page] is served; any other
// decision refuses, and none allows. It should return soon after ctx ends. If it does not,
// the caller goes on without it, and it keeps its place in the site's gate until it
// returns. It is called from many goroutines.
type Site interface {
	Serve(ctx context.Context, r request.Request) (stepup.Decision, response.Response)
}

// SitePath begins the path of each of our own addresses.
const SitePath = "/_stepward/"

// Policy says what a request requires.
//
// Evaluate must return soon after ctx ends, with an error that wraps [policy.ErrTimeout]
// when time ran out and [policy.ErrRoute] when in.Routes names something that does not
// exist. It must not return a partial result with a nil error. It is called from many
// goroutines.
type Policy interface {
	Evaluate(ctx context.Context, in policy.Input) (policy.Result, error)
	// Traits returns the facts that hold for every evaluation. It is called several times
	// for each request, and always returns the same facts.
	Traits() policy.Traits
}
