// Package policy is the contract between Stepward and a policy, whatever engine
// evaluates it: the [Input] that a policy sees, the [Result] that it returns,
// and the strict decoding between the two. It knows nothing of Rego.
//
// A policy never says "allow" and never sees the time: it says what strength of
// authentication a request requires, and package stepup compares that with what the caller
// can show at that second. So a result may be cached.
package policy

import (
	"errors"

	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/stepup"
	"github.com/stepward/stepward/pkg/token"
)

// ErrTimeout is returned by an evaluation that exceeded its time budget. It says nothing
// about the request.
var ErrTimeout = errors.New("policy: evaluation exceeded its time budget")

// ErrRoute is wrapped by errors about what a route asked for: an unknown policy
// name, level or key of ours, or an ill-typed value.
var ErrRoute = errors.New("policy: route configuration")

// ErrRequest is wrapped in the error of an evaluation that could not read the request: the
// client sent something other than it declared, such as a JSON body that is not JSON.
var ErrRequest = errors.New("policy: the request cannot be read")

// ErrBody is wrapped in the error of an evaluation if a rule looked at a body that exists
// but could not be read as the type that the rule expects.
var ErrBody = errors.New("policy: a rule reads a body that could not be read")

// Input holds what a policy is asked about: a request, and who makes it.
type Input struct {
	Request request.Request
	// Token is nil if nobody is validly signed in.
	Token *token.Token
	// Levels names the levels that Token proves, weakest first.
	Levels []string
	// Routes names the packages stepward.route.NAME that the route's own configuration
	// selects.
	Routes []string
}

// Traits are the facts that a policy states about itself. They hold for every evaluation.
type Traits struct {
	// Revision identifies the sources that the policy was built from.
	Revision string
	// RequestHeaders lists, in lower case, every request header that a rule can set. If the
	// policy does not set one of them, it is removed from the request.
	RequestHeaders []string
	// IgnoresToken is true when no rule looks at [Input.Token]. Such a policy is asked
	// first, and a credential is verified only if the result requires something of the
	// caller. The zero value is the safe one: with a rule that reads the token, asking
	// first would let in callers whom the rule refuses.
	IgnoresToken bool
}

// Result is what a policy returned, decoded and checked. The zero Result
// requires nothing and denies nothing: such a request is refused, because no
// rule covers it.
type Result struct {
	Require  []stepup.Requirement
	Deny     []stepup.Denial
	Headers  map[string][]string // request headers to the upstream, on allow
	Response map[string][]string // response headers, on allow
	Metadata map[string]any      // for the dynamic metadata

	// PassCredential leaves a credential in the request to the upstream even though nothing
	// required us to verify it. The zero value removes it.
	PassCredential bool
	// AddBeside adds the headers of Response to the upstream's own of the same names. The
	// zero value overwrites those.
	AddBeside bool
	// MetadataAtTop puts the members of Metadata at the top of the dynamic metadata. The
	// zero value puts them under "policy".
	MetadataAtTop bool

	Remove      []string            // request headers to remove, on allow; in lower case
	SetQuery    map[string][]string // query parameters to set, on allow
	RemoveQuery []string            // query parameters to remove, on allow
}
