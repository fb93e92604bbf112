// Package extauthz is the edge to Envoy: it turns a CheckRequest of envoy.service.auth.v3
// into a request, asks for a decision, and turns the answer into a CheckResponse. decode.go
// and encode.go hold the two directions, and server.go holds the call.
//
// What matters here is what Envoy does with an answer. A response with status OK lets the
// request through, whatever else it says. So does a response that was never filled in. A
// gRPC error lets the request through if the filter is set to fail open. So a decision is
// never a gRPC error, only one place makes responses, and anything that is not certainly an
// allow becomes a denied response.
package extauthz
