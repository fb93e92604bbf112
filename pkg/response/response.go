// Package response is the last noun of the pipeline: what to answer, in HTTP terms and
// independent of any proxy's protocol.
//
// A [Response] has one [Kind]. The zero Response refuses, and only a response that is
// [Response.Sound] is sent. See pkg/extauthz for how Envoy gets it, and package page for
// the pages that people see.
package response

import "github.com/stepward/stepward/pkg/request"

// Kind says what becomes of a request.
type Kind int

const (
	// Refuse answers the client instead of the upstream. It is the zero Kind, and never has
	// a success status.
	Refuse Kind = iota
	// Allow lets the request through to the upstream.
	Allow
	// Serve also answers the client, with something of ours that it asked for. Only this
	// kind has a success status.
	Serve
)

// Response is an answer. The zero Response refuses.
//
// Every name and value in it is free of control bytes; header names are in lower
// case.
type Response struct {
	Kind Kind

	// On an Allow, Set and Remove edit the request and Add edits the upstream's response.
	Set    []request.Field // request headers: each overwrites what the client sent
	Remove []string        // request headers: every line of these names goes
	Add    []request.Field // response headers
	// AddBeside keeps the headers that the upstream sends under the names in Add. Otherwise
	// Add overwrites them.
	AddBeside   bool
	SetQuery    []request.Field // query parameters, by their plain values: neither encoded nor decoded
	RemoveQuery []string        // query parameters, likewise

	// Otherwise Status, Headers and Body are the answer to the client. A name
	// may stand in Headers more than once and is then sent more than once.
	Status  int
	Headers []request.Field
	Body    string

	// Metadata is for the proxy's access log, on every answer. It never holds
	// a credential.
	Metadata map[string]any
}

// Sound reports whether the kind of r may have its status. Given a refusal with a success
// status, a proxy would show a client, or a cache, something that passes for the upstream's
// answer. An allow with a status of its own is a mistake.
func (r Response) Sound() bool {
	switch r.Kind {
	case Allow:
		return r.Status == 0 && len(r.Headers) == 0 && r.Body == ""
	case Serve:
		return r.Status == 200 || r.Status == 204 && r.Body == ""
	case Refuse:
		return r.Status >= 300 && r.Status <= 599
	}
	return false
}
