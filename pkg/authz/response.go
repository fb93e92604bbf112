package authz

import "github.com/stepward/stepward/pkg/request"

// Response is an answer in the shape of HTTP, before any proxy's protocol. The
// zero Response refuses.
//
// Every name and value in it is free of control bytes; header names are in lower
// case.
type Response struct {
	// Allowed lets the request through to the upstream. Set and Remove then
	// edit the request, Add the upstream's response.
	Allowed bool
	Set     []request.Field // request headers: each overwrites what the client sent
	Remove  []string        // request headers: every line of these names goes
	Add     []request.Field // response headers
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
