package opaenvoy

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/stepward/stepward/pkg/request"
)

// Body says how the body of a request is decoded.
type Body struct {
	Skip bool // parsed_body and truncated_body are left out
	// Message decodes a gRPC message, given its service and method; nil leaves such bodies
	// out. known is false if there is no such method, or if it takes a stream.
	Message func(service, method string, message []byte) (value any, known bool, err error)
}

// Input returns the document that a policy reads about r. In addition to the message that
// Envoy sent, it holds the members that opa-envoy-plugin derives from it: version,
// parsed_path, parsed_query, source_principal and, unless the body is skipped, parsed_body
// and truncated_body. The error says which part of the request cannot be read.
func Input(r request.Request, b Body) (map[string]any, error) {
	doc := r.Attributes()
	http := at(doc, "attributes", "request", "http")
	doc["version"] = map[string]any{"ext_authz": "v3", "encoding": "protojson"}
	path, query, err := target(text(http, "path"))
	if err != nil {
		return nil, err
	}
	doc["parsed_path"], doc["parsed_query"] = path, query
	if !b.Skip {
		parsed, truncated, err := b.parse(http, path)
		if err != nil {
			return nil, fmt.Errorf("opaenvoy: the body: %w", err)
		}
		doc["parsed_body"], doc["truncated_body"] = parsed, truncated
	}
	if p := text(at(doc, "attributes", "source"), "principal"); p != "" {
		doc["source_principal"] = p
	}
	return doc, nil
}

// at returns the object below doc at the names, or nil.
func at(doc map[string]any, names ...string) map[string]any {
	for _, name := range names {
		doc, _ = doc[name].(map[string]any)
	}
	return doc
}

// text returns the text that o has under a name, or an empty one.
func text(o map[string]any, name string) string {
	s, _ := o[name].(string)
	return s
}

// target returns the path and the query by name. It decodes the path before splitting it,
// so that an encoded slash separates.
func target(raw string) (path []any, query map[string]any, err error) {
	rawPath, rawQuery, _ := strings.Cut(raw, "?")
	decoded, err := url.PathUnescape(rawPath)
	if err != nil {
		return nil, nil, errors.New("opaenvoy: the path has a malformed percent-escape")
	}
	for segment := range strings.SplitSeq(strings.TrimLeft(decoded, "/"), "/") {
		path = append(path, segment)
	}
	values, err := url.ParseQuery(rawQuery)
	if err != nil {
		return nil, nil, errors.New("opaenvoy: the query has a malformed percent-escape, or a semicolon")
	}
	return path, lists(values), nil
}

func lists(values url.Values) map[string]any {
	out := make(map[string]any, len(values))
	for name, texts := range values {
		list := make([]any, len(texts))
		for i, s := range texts {
			list[i] = s
		}
		out[name] = list
	}
	return out
}
