package explain

import (
	"fmt"
	"strings"

	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/trust/jwt"
)

// Asked is a request as people write it on a command line.
type Asked struct {
	Method     string
	URL        string            // with a scheme and host
	Headers    []string          // as "name: value"
	Token      string            // shown as a bearer token; empty for none
	Extensions map[string]string // context extensions of the route
}

// Raw returns the request as Envoy would describe it. It splits the URL by hand, so that
// the path stays as written and no parser repairs it.
func (a Asked) Raw() (request.Raw, error) {
	scheme, rest, ok := strings.Cut(a.URL, "://")
	if !ok {
		return request.Raw{}, fmt.Errorf("%q is neither a path, such as /%s, nor a URL, such as https://%s", a.URL,
			a.URL, a.URL)
	}
	host, target := rest, "/"
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		host, target = rest[:i], rest[i:]
	}
	if strings.HasPrefix(target, "?") {
		target = "/" + target
	}
	raw := request.Raw{Method: a.Method, Scheme: scheme, Host: host, Target: target, Size: -1,
		Route: request.Route{Extensions: a.Extensions}}
	for _, h := range a.Headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return request.Raw{}, fmt.Errorf("header %q has no colon", h)
		}
		raw.Headers = append(raw.Headers, request.Field{Name: strings.TrimSpace(name), Value: strings.TrimSpace(value)})
	}
	if a.Token != "" {
		raw.Headers = append(raw.Headers, request.Field{Name: "authorization", Value: "Bearer " + a.Token})
	}
	return raw, nil
}

// HasAuthorization reports whether a request shows a credential that could be verified.
func HasAuthorization(raw request.Raw) bool {
	for _, h := range raw.Headers {
		if strings.EqualFold(h.Name, "authorization") {
			return true
		}
	}
	return false
}

// Claimed returns what the token in an Authorization header says about itself.
func Claimed(raw request.Raw) string {
	for _, h := range raw.Headers {
		_, presented, ok := strings.Cut(h.Value, " ")
		if !strings.EqualFold(h.Name, "authorization") || !ok {
			continue
		}
		x, err := jwt.Inspect(strings.TrimSpace(presented))
		if err != nil {
			return "nothing that can be read: " + err.Error()
		}
		return x.String()
	}
	return ""
}
