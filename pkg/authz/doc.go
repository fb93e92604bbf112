// Package authz is the spine: read it first.
//
// [Authorizer.Authorize] takes a request from end to end, one way, through
// values that each package makes once and nobody changes:
//
//	request.New        what is asked            pkg/request
//	credential.Extract what is presented        pkg/credential
//	Verifier.Verify    who asks                 pkg/trust/jwt
//	Policy.Evaluate    what is required         judge.go, pkg/policy, pkg/engine
//	stepup.Assess      what is missing          pkg/stepup
//	stepup.Decide      what to answer           pkg/stepup
//	Answers            how to say it            answer.go; effects.go for an allow
//
// A request to an address of our own is not judged. A [Site] serves it: site.go. What the
// spine needs of others stands in seams.go.
//
// What each stage made is kept in a [Record]: that is what is logged, counted
// and explained. Any stage that fails, or that runs out of time, or that panics,
// ends in a refusal, since only stepup.Decide can make an Allow and only an Allow
// is worded as one.
//
// An Authorizer is a snapshot: configuration, policy, ladder and keys of one
// revision. It is immutable and serves any number of goroutines; a reload makes
// another.
package authz
