// Package authz is the spine: read it first.
//
// [Authorizer.Authorize] takes a request from one end to the other. At each stage one
// package makes a value, and nobody changes it afterwards:
//
//	request.New        what is asked            pkg/request
//	credential.Extract what is presented        pkg/credential
//	Verifier.Verify    who asks                 pkg/trust/jwt
//	Policy.Evaluate    what is required         judge.go, pkg/policy, pkg/engine
//	stepup.Assess      what is missing          pkg/stepup
//	stepup.Decide      what to answer           pkg/stepup
//	Answers            how to say it            answer.go; effects.go for an allow
//
// A request to one of our own addresses is not judged: a [Site] serves it (site.go). The
// interfaces that the spine needs from others are in seams.go.
//
// A [Record] keeps what each stage made, to be logged, counted and explained. A stage that
// fails, runs out of time or panics ends in a refusal, since only stepup.Decide can make an
// Allow and only an Allow is worded as one.
//
// An Authorizer is a snapshot: configuration, policy, ladder and keys of one
// revision. It is immutable and serves any number of goroutines; a reload makes
// another.
package authz
