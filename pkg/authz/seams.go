package authz

import (
	"context"

	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/token"
)

// Verifier turns a credential into a token.
//
// Verify returns a token only when every check of the issuer's configuration
// has passed. Any failure is a *[token.Error]; another error is taken as our own
// fault. It must return soon after ctx ends, and is called from many goroutines.
// It need not look at levels, freshness or scopes.
type Verifier interface {
	Verify(ctx context.Context, c credential.Credential) (token.Token, error)
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
