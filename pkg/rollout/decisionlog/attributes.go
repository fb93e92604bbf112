package decisionlog

import (
	"maps"
	"slices"
	"strings"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/engine/opaenvoy"
	"github.com/stepward/stepward/pkg/request"
)

// foreignMasks are [DefaultMasks] for the input of opa-envoy-plugin. Metadata is among
// them, since filters put claims and headers there.
var foreignMasks = []string{
	"/input/parsed_query", "/input/attributes/request/http/query", "/input/attributes/request/http/body",
	"/input/attributes/request/http/rawBody",
	"/input/attributes/source/certificate", "/input/attributes/destination/certificate",
	"/input/attributes/metadataContext",
}

// credentials lists headers that are never kept, by their [request.Spelling].
var credentials = []string{"authorization", "proxy-authorization", "cookie", "set-cookie", "dpop",
	"x-forwarded-client-cert"}

// Attributes returns the input of a policy for opa-envoy-plugin without masked parts, and
// JSON pointers to those. It always leaves out parsed_body, credentials and headerMap,
// which repeats headers. ok is false if no policy was asked, or if the request cannot be
// read.
func Attributes(r *authz.Record, m Masks) (input map[string]any, erased []string, ok bool) {
	if r.Stages.Evaluated.IsZero() || r.Request.Attributes == nil {
		return nil, nil, false
	}
	document, err := opaenvoy.Input(r.Request, opaenvoy.Body{Skip: true})
	if err != nil {
		return nil, nil, false
	}
	input, erased = m.foreign(document)
	return input, erased, true
}

// foreign removes masked parts from document. Unlike [Masks.apply] it changes the document,
// which nobody else uses.
func (m Masks) foreign(document map[string]any) (map[string]any, []string) {
	attributes := child(document, "attributes")
	http, _ := child(child(attributes, "request"), "http").(map[string]any)
	delete(http, "headerMap")
	m.cut(http, "path", "/input/attributes/request/http")
	headers, _ := http["headers"].(map[string]any)
	maps.DeleteFunc(headers, func(name string, _ any) bool {
		return slices.Contains(credentials, request.Spelling(name))
	})
	m.cut(headers, ":path", "/input/attributes/request/http/headers")
	x := masking{root: document, keep: m.Keep}
	for _, pointer := range slices.Concat(foreignMasks, m.More) {
		x.take(pointer)
	}
	x.takeSecrets(headers, "/input/attributes/request/http/headers/")
	extensions, _ := child(attributes, "contextExtensions").(map[string]any)
	x.takeSecrets(extensions, "/input/attributes/contextExtensions/")
	return x.root, x.erased
}

// cut removes the query from a path, unless the query must be kept.
func (m Masks) cut(o map[string]any, name, at string) {
	path, there := o[name].(string)
	pointer := at + "/" + escape(name)
	if !there || slices.ContainsFunc(m.Keep, func(k string) bool { return within(pointer, k) }) {
		return
	}
	o[name], _, _ = strings.Cut(path, "?")
}

// takeSecrets erases the members of o, below prefix, whose names suggest a secret, and
// those that repeat a query.
func (x *masking) takeSecrets(o map[string]any, prefix string) {
	for _, name := range slices.Sorted(maps.Keys(o)) {
		if secret(strings.ToLower(name), o[name]) {
			x.take(prefix + escape(name))
		}
	}
}
