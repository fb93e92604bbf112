package authz

import (
	"context"

	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/token"
)

// Verifier turns a credential, presented with a request, into a token.
//
// Verify returns a token only when every check of the issuer's configuration
// has passed. Any failure is a *[token.Error]; another error is taken as our own
// fault. It must return soon after ctx ends, and is called from many goroutines.
// It need not look at levels, freshness or scopes.
type Verifier interface {
	Verify(ctx context.Context, r request.Request, c credential.Credential) (*token.Token, error)
}

// Verifiers are those of each scheme. A scheme that has none cannot be verified.
type Verifiers map[credential.Scheme]Verifier

// Verify has the verifier of c's scheme judge it.
func (v Verifiers) Verify(ctx context.Context, r request.Request, c credential.Credential) (*token.Token, error) {
	of := v[c.Scheme]
	if of == nil {
		return nil, &token.Error{Code: token.BadBinding, Detail: "no verifier for the scheme " + string(c.Scheme)}
	}
	return of.Verify(ctx, r, c)
}

// Policy says what a request requires.
//
// Evaluate must return soon after ctx ends, with an error that wraps
// [policy.ErrTimeout] when time ran out and [policy.ErrRoute] when in.Routes
// names what there is not. It must not return a partial result with a nil
// error. It is called from many goroutines.
type Policy interface {
	Evaluate(ctx context.Context, in policy.Input) (policy.Result, error)
	// Traits returns the facts that hold for every evaluation. It is called several
	// times for each request, and always returns the same.
	Traits() policy.Traits
}
