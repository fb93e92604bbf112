package policy

import (
	"fmt"
	"slices"

	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/token"
)

// ParseInput reads back a document that [Input.Document] made, for example from a decision
// log. Numbers are json.Number or float64. A member that was left out stays absent. A
// member of the wrong type is an error, and so is a document without a request.
//
// Values that no policy sees do not come back: credentials, and when the token was issued
// or its user authenticated.
func ParseInput(document map[string]any) (Input, error) {
	r := recall{}
	asked, _ := document["request"].(map[string]any)
	if asked == nil {
		return Input{}, fmt.Errorf("policy: the input has no request")
	}
	in := Input{Request: r.request(asked)}
	source := r.object(document, "source")
	in.Request.Source = request.Source{Address: r.text(source, "address"), Principal: r.text(source, "principal"),
		Certificate: r.text(source, "certificate")}
	in.Request.ClientAddress = r.text(source, "client_address")
	in.Request.SNI = r.text(r.object(document, "tls"), "sni")
	in.Request.Route = r.route(r.object(document, "route"))
	if t := r.object(document, "token"); t != nil {
		who := r.token(t)
		in.Token, in.Levels = &who, r.list(t, "levels")
	}
	if r.err != nil {
		return Input{}, fmt.Errorf("policy: the input is not one of a policy: %w", r.err)
	}
	return in, nil
}

// recall reads members and keeps the first error.
type recall struct{ err error }

func (r *recall) fail(name, must string) {
	if r.err == nil {
		r.err = fmt.Errorf("%s is not %s", name, must)
	}
}

// member returns the value of that name as a T. An absent one is zero.
func member[T any](r *recall, o map[string]any, name, must string) T {
	var zero T
	v, there := o[name]
	if !there || v == nil {
		return zero
	}
	x, ok := v.(T)
	if !ok {
		r.fail(name, must)
	}
	return x
}

func (r *recall) text(o map[string]any, name string) string {
	return member[string](r, o, name, "a string")
}

func (r *recall) object(o map[string]any, name string) map[string]any {
	return member[map[string]any](r, o, name, "an object")
}

func (r *recall) list(o map[string]any, name string) []string {
	values := member[[]any](r, o, name, "an array")
	if values == nil {
		return nil
	}
	list := make([]string, len(values))
	for i, v := range values {
		s, ok := v.(string)
		if !ok {
			r.fail(name, "an array of strings")
		}
		list[i] = s
	}
	return list
}

func (r *recall) lists(o map[string]any, name string) map[string][]string {
	all := r.object(o, name)
	if all == nil {
		return nil
	}
	lists := make(map[string][]string, len(all))
	for key := range all {
		lists[key] = r.list(all, key)
	}
	return lists
}

func (r *recall) request(o map[string]any) request.Request {
	body := r.object(o, "body")
	out := request.Request{
		ID: r.text(o, "id"), Method: r.text(o, "method"), Host: r.text(o, "host"), Path: r.text(o, "path"),
		RawPath:  r.text(o, "raw_path"),
		Segments: r.list(o, "segments"), Query: r.lists(o, "query"), Headers: r.headers(o),
		Scheme: r.text(o, "scheme"), Protocol: r.text(o, "protocol"), Kind: request.Kind(r.text(o, "kind")),
		Body: r.body(body),
	}
	if size, there := o["size"]; there {
		n, err := integer(size)
		if err != nil {
			r.fail("size", "a whole number")
		}
		out.Size = n
	}
	return out
}

// body reads a body back with its state. An old log has no states: there, an unreadable
// body is one with neither JSON nor form.
func (r *recall) body(o map[string]any) request.Body {
	b := request.Body{
		Present: member[bool](r, o, "present", "true or false"), Truncated: member[bool](r, o, "truncated",
			"true or false"),
		State: request.BodyState(r.text(o, "state")), JSON: o["json"], Form: r.lists(o, "form"),
	}
	_, isJSON := o["json"]
	switch {
	case b.State != "":
		if !slices.Contains(request.BodyStates(), b.State) {
			r.fail("state", "one of a body")
		}
	case isJSON:
		b.State = request.BodyJSON
	case b.Form != nil:
		b.State = request.BodyForm
	case b.Truncated:
		b.State = request.BodyTruncated
	case b.Present:
		b.State = request.BodyContentType
	default:
		b.State = request.BodyNone
	}
	return b
}

// headers reads the lines of header_values back. A header without lines there counts as one
// line.
func (r *recall) headers(o map[string]any) request.Headers {
	headers := request.Headers{}
	for name := range r.object(o, "headers") {
		headers[name] = []string{r.text(r.object(o, "headers"), name)}
	}
	for name, lines := range r.lists(o, "header_values") {
		headers[name] = lines
	}
	return headers
}

func (r *recall) route(o map[string]any) request.Route {
	route := request.Route{}
	for name := range r.object(o, "extensions") {
		if route.Extensions == nil {
			route.Extensions = map[string]string{}
		}
		route.Extensions[name] = r.text(r.object(o, "extensions"), name)
	}
	for name := range r.object(o, "metadata") {
		if route.Metadata == nil {
			route.Metadata = map[string]map[string]any{}
		}
		route.Metadata[name] = r.object(r.object(o, "metadata"), name)
	}
	return route
}

func (r *recall) token(o map[string]any) token.Token {
	return token.Token{
		Issuer: r.text(o, "issuer"), IssuerName: r.text(o, "issuer_name"), Subject: r.text(o, "subject"),
		ClientID:  r.text(o, "client_id"),
		Principal: token.Principal(r.text(o, "principal")), Scheme: credential.Scheme(r.text(o, "scheme")),
		Audience: r.list(o, "audience"), Scopes: r.list(o, "scopes"),
		Proofs:            []token.Proof{{ACR: r.text(o, "acr"), AMR: r.list(o, "amr")}},
		SenderConstrained: member[bool](r, o, "sender_constrained", "true or false"), Claims: r.object(o, "claims"),
	}
}
