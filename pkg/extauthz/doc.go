// Package extauthz is the edge to Envoy: it turns a CheckRequest of
// envoy.service.auth.v3 into a request, has it decided, and turns the answer into
// a CheckResponse. decode.go and encode.go are the two directions, server.go the
// call.
//
// What matters here is what Envoy does with an answer. A response whose status is
// OK lets the request through, whatever it says besides, and so does one that was
// never filled in; a gRPC error lets it through where the filter was told to fail
// open. So a decision is never a gRPC error, a response is made in one place, and
// what is not certainly an allow is a denied response.
package extauthz
