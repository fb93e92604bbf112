package decisionlog

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Masks say what is removed from an input before it is kept. The zero Masks remove what
// [DefaultMasks] lists, headers whose names suggest a secret, and headers that repeat a
// query.
type Masks struct {
	More []string // JSON pointers (RFC 6901) from /input, added to the default ones
	Keep []string // what stays even if a default mask, or a header's name, covers it
}

// DefaultMasks lists the places where clients put things that nobody should keep.
var DefaultMasks = []string{"/input/request/query", "/input/request/body/json", "/input/request/body/form",
	"/input/source/certificate"}

// secretWords lists parts of the names of headers that hold a secret.
var secretWords = []string{"auth", "token", "secret", "key", "cookie", "password", "session", "credential", "signature",
	"csrf", "xsrf", "jwt", "assertion"}

// telling lists headers in which proxies and browsers repeat a query, and the one in
// which a browser sends a token with a WebSocket, because it can set no other.
var telling = []string{"referer", "x-envoy-original-path", "x-forwarded-uri", "sec-websocket-protocol"}

// secret reports whether a header is masked, because of its name or because it repeats a
// query.
func secret(name string, value any) bool {
	return slices.Contains(telling, name) || slices.ContainsFunc(secretWords, func(word string) bool {
		return strings.Contains(name, word)
	}) || hasQuery(value)
}

// hasQuery reports whether a header looks like a path or address with a query.
func hasQuery(v any) bool {
	switch v := v.(type) {
	case string:
		_, after, _ := strings.Cut(v, "?")
		return strings.Contains(after, "=")
	case []any:
		return slices.ContainsFunc(v, hasQuery)
	}
	return false
}

// apply returns document without masked parts, and lists those. The document itself stays
// unchanged.
func (m Masks) apply(document map[string]any) (map[string]any, []string) {
	x := masking{root: document, keep: m.Keep}
	for _, pointer := range slices.Concat(DefaultMasks, m.More) {
		x.take(pointer)
	}
	for _, member := range []string{"headers", "header_values"} {
		headers, _ := child(child(document, "request"), member).(map[string]any)
		x.takeSecrets(headers, "/input/request/"+member+"/")
	}
	return x.root, x.erased
}

// masking copies what it changes.
type masking struct {
	root   map[string]any
	keep   []string
	erased []string
}

// take erases what pointer leads to, except the parts below it that must be kept.
func (x *masking) take(pointer string) {
	if slices.ContainsFunc(x.keep, func(k string) bool { return within(pointer, k) }) {
		return
	}
	path := strings.Split(strings.TrimPrefix(pointer, "/input/"), "/")
	root, taken := without(x.root, path, pointer, x.keep)
	if taken {
		x.root = root.(map[string]any)
		x.erased = append(x.erased, pointer)
	}
}

// within reports whether pointer leads to what outer leads to, or to a part of it.
func within(pointer, outer string) bool {
	return pointer == outer || strings.HasPrefix(pointer, outer+"/")
}

// without removes the member at path from v. pointer points to that member.
func without(v any, path []string, pointer string, keep []string) (any, bool) {
	o, ok := v.(map[string]any)
	if !ok {
		return v, false // an index in a list does not stay the same
	}
	name := unescape(path[0])
	old, there := o[name]
	if empty, isObject := old.(map[string]any); !there || isObject && len(empty) == 0 {
		return v, false // there is nothing to remove
	}
	if len(path) > 1 {
		inner, taken := without(old, path[1:], pointer, keep)
		if !taken {
			return v, false
		}
		out := maps.Clone(o)
		out[name] = inner
		return out, true
	}
	out := maps.Clone(o)
	delete(out, name)
	if kept := only(old, pointer, keep); kept != nil {
		out[name] = kept
	}
	return out, true
}

// only returns the parts of v, the value at pointer, that must be kept; nil if there are
// none.
func only(v any, pointer string, keep []string) any {
	if slices.Contains(keep, pointer) {
		return v
	}
	o, ok := v.(map[string]any)
	if !ok || !slices.ContainsFunc(keep, func(k string) bool { return within(k, pointer) }) {
		return nil
	}
	out := map[string]any{}
	for name, member := range o {
		if kept := only(member, pointer+"/"+escape(name), keep); kept != nil {
			out[name] = kept
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

func child(v any, name string) any {
	o, _ := v.(map[string]any)
	return o[name]
}

func escape(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

func unescape(token string) string {
	return strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
}

// newDecoder returns a decoder that keeps numbers as written, as policies saw them.
func newDecoder(text []byte) *json.Decoder {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return d
}
