package authz

import (
	"slices"
	"strings"

	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/response"
)

// CORS lets pages of other origins read our answers (Fetch, "CORS protocol"). The zero CORS
// allows none, and a preflight is then judged like any other request.
type CORS struct {
	Origins      []string // compared exactly with Origin
	AllowHeaders []string // for Access-Control-Allow-Headers
}

func (c CORS) origin(r request.Request) string {
	if o := r.Headers.Get("origin"); slices.Contains(c.Origins, o) {
		return o
	}
	return ""
}

func (c CORS) isPreflight(r request.Request) bool {
	return r.Kind == request.Preflight && c.origin(r) != "" && request.IsToken(
		r.Headers.Get("access-control-request-method"))
}

// preflight allows the method that was asked about. Only the upstream knows which methods
// exist, and the request itself is judged when it arrives.
func (c CORS) preflight(r request.Request) response.Response {
	return response.Response{Kind: response.Serve, Status: 204, Headers: []request.Field{
		{Name: "access-control-allow-origin", Value: c.origin(r)},
		{Name: "access-control-allow-credentials", Value: "true"},
		{Name: "access-control-allow-methods", Value: r.Headers.Get("access-control-request-method")},
		{Name: "access-control-allow-headers", Value: strings.Join(c.AllowHeaders, ", ")},
		{Name: "access-control-max-age", Value: "600"},
		{Name: "vary", Value: "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"},
		{Name: "cache-control", Value: "no-store"},
	}}
}

// readable returns the headers that let the page read the refusal that it caused.
func (c CORS) readable(r request.Request, headers []request.Field) []request.Field {
	if len(c.Origins) == 0 {
		return nil
	}
	vary := request.Field{Name: "vary", Value: "Origin"}
	o := c.origin(r)
	if o == "" {
		return []request.Field{vary}
	}
	expose := "WWW-Authenticate"
	if slices.ContainsFunc(headers, func(f request.Field) bool { return f.Name == "dpop-nonce" }) {
		expose += ", DPoP-Nonce"
	}
	return []request.Field{
		{Name: "access-control-allow-origin", Value: o},
		{Name: "access-control-allow-credentials", Value: "true"},
		{Name: "access-control-expose-headers", Value: expose},
		vary,
	}
}
