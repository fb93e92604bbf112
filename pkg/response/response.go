// Package response is the last noun of the pipeline: what to answer, in the shape of HTTP
// and before any proxy's protocol.
//
// A [Response] is of one [Kind]. The zero Response refuses, and only a response that is
// [Response.Sound] is sent: see pkg/extauthz for how Envoy is told, and package page for
// the pages that people see.
package response

import "github.com/stepward/stepward/pkg/request"

// Kind says what becomes of a request.
type Kind int

const (
	// Refuse answers the client in place of the upstream. It is the zero Kind, and never
	// has the status of a success.
	Refuse Kind = iota
	// Allow lets the request through to the upstream.
	Allow
	// Serve answers the client, too, with something of ours that it asked for. Only this
	// kind has the status of a success.
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
	// AddBeside leaves what the upstream sends under the names of Add, which is
	// overwritten otherwise.
	AddBeside   bool
	SetQuery    []request.Field // query parameters, as they are meant: neither encoded nor decoded
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

// Sound reports whether the status of r is one that its kind may have. A proxy that is
// handed a refusal with the status of a success shows a client, or a cache, something
// that passes for the upstream's answer; an allow with a status of its own is a mistake.
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
