package policy

import (
	_ "embed"
	"strings"

	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/token"
)

// InputSchema is the JSON Schema of the document that policies see as input. The compiler
// checks policies against it, so that a misspelt member is an error at load time and not a
// rule that never holds.
//
//go:embed input.schema.json
var InputSchema []byte

// ResultSchema is the JSON Schema (draft 7) of the results of entry rules, as one object.
// It is for editors and people: [DecodeRequirement] and [DecodeDenial] are stricter.
//
//go:embed result.schema.json
var ResultSchema []byte

// hidden lists request headers that no policy sees: credentials, and the
// identity of a caller as a client may have forged it.
var hidden = map[string]bool{
	"authorization": true, "proxy-authorization": true, "cookie": true, "dpop": true, "x-forwarded-client-cert": true,
}

// IsHidden reports whether a request header of that name is hidden from every policy.
// prefix begins the names of our own identity headers.
func IsHidden(name, prefix string) bool {
	return hidden[name] || strings.HasPrefix(name, ":") || strings.HasPrefix(name, prefix)
}

// timed lists claims that hold times. A policy asks for freshness with max_age and never
// sees the time, so its answer does not depend on it.
var timed = map[string]bool{"exp": true, "iat": true, "nbf": true, "auth_time": true, "jti": true}

// IsTimed reports whether a claim of that name is hidden from every policy because it holds
// a time.
func IsTimed(name string) bool { return timed[name] }

// Document returns in as the JSON document that [InputSchema] describes, made of
// map[string]any, []any and plain values. A member that is not known is absent, not empty.
// prefix begins the names of our own identity headers.
func (in Input) Document(prefix string) map[string]any {
	doc := map[string]any{
		"request": in.request(prefix),
		"route":   in.route(),
	}
	source := map[string]any{}
	put(source, "address", in.Request.Source.Address)
	put(source, "client_address", in.Request.ClientAddress)
	put(source, "principal", in.Request.Source.Principal)
	put(source, "certificate", in.Request.Source.Certificate)
	doc["source"] = source
	tls := map[string]any{}
	put(tls, "sni", in.Request.SNI)
	doc["tls"] = tls
	if in.Token != nil {
		doc["token"] = document(in.Token, in.Levels)
	}
	return doc
}

func (in Input) request(prefix string) map[string]any {
	r := in.Request
	joined, values := make(map[string]any, len(r.Headers)), make(map[string]any, len(r.Headers))
	for name, lines := range r.Headers {
		if IsHidden(name, prefix) {
			continue
		}
		joined[name], values[name] = strings.Join(lines, ","), array(lines)
	}
	doc := map[string]any{
		"method": r.Method, "host": r.Host, "path": r.Path, "segments": array(r.Segments), "raw_path": r.RawPath,
		"query": arrays(r.Query), "headers": joined, "header_values": values, "kind": string(r.Kind), "size": r.Size,
	}
	put(doc, "id", r.ID)
	put(doc, "scheme", r.Scheme)
	put(doc, "protocol", r.Protocol)
	body := map[string]any{"present": r.Body.Present, "truncated": r.Body.Truncated}
	put(body, "state", string(r.Body.State))
	switch r.Body.State {
	case request.BodyJSON:
		body["json"] = r.Body.JSON
	case request.BodyForm:
		body["form"] = arrays(r.Body.Form)
	}
	doc["body"] = body
	return doc
}

func (in Input) route() map[string]any {
	extensions, metadata := map[string]any{}, map[string]any{}
	for name, value := range in.Request.Route.Extensions {
		extensions[name] = value
	}
	for name, value := range in.Request.Route.Metadata {
		metadata[name] = value
	}
	return map[string]any{"extensions": extensions, "metadata": metadata}
}

func document(t *token.Token, levels []string) map[string]any {
	claims := make(map[string]any, len(t.Claims))
	for name, value := range t.Claims {
		if !timed[name] {
			claims[name] = value
		}
	}
	proof := t.Strongest()
	doc := map[string]any{
		"issuer": t.Issuer, "issuer_name": t.IssuerName, "principal": string(t.Principal), "scheme": string(t.Scheme),
		"audience": array(t.Audience), "scopes": array(t.Scopes), "levels": array(levels), "amr": array(proof.AMR),
		"sender_constrained": t.SenderConstrained, "claims": claims,
	}
	put(doc, "subject", t.Subject)
	put(doc, "client_id", t.ClientID)
	put(doc, "acr", proof.ACR)
	return doc
}

func put(doc map[string]any, name, value string) {
	if value != "" {
		doc[name] = value
	}
}

func array(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

func arrays(m map[string][]string) map[string]any {
	out := make(map[string]any, len(m))
	for name, list := range m {
		out[name] = array(list)
	}
	return out
}
