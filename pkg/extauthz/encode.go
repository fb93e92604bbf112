package extauthz

import (
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/response"
)

// maxMetadata limits the dynamic metadata, counted in bytes of its strings.
const maxMetadata = 16 << 10

// usualSize is the capacity, in bytes, with which an answer begins.
const usualSize = 2 << 10

// encode returns r as the bytes of the CheckResponse by which Envoy understands it, by its
// kind. It is the only place where one is made. An answer that could be misread, with a
// control byte in a header or with a status that its kind cannot have, becomes the fixed
// refusal of an internal fault.
func encode(r response.Response) []byte {
	var b []byte
	ok := false
	switch {
	case !r.Sound():
	case r.Kind == response.Allow:
		b, ok = allowed(make([]byte, 0, usualSize), r)
	case r.Kind == response.Refuse, r.Kind == response.Serve:
		b, ok = answered(make([]byte, 0, usualSize), r)
	}
	if !ok {
		b, _ = answered(nil, response.Response{Status: 503, Headers: []request.Field{
			{Name: "cache-control", Value: "no-store"}, {Name: "content-type", Value: "text/plain; charset=utf-8"},
		}, Body: "temporarily unavailable: internal"})
	}
	return appendMetadata(b, r.Metadata)
}

// allowed writes an allow, and reports false when r holds what must not reach an upstream.
func allowed(b []byte, r response.Response) (_ []byte, ok bool) {
	if !clean(r.Set, requestHeader) || !clean(r.Add, responseHeader) {
		return nil, false
	}
	b = appendStatus(b, codes.OK)
	b, message := begin(b, responseOK)
	for _, f := range r.Set {
		b = appendHeader(b, okHeaders, f, overwrite)
	}
	for _, name := range r.Remove {
		if !requestHeader(name) || sets(r.Set, name) { // Envoy removes after it sets
			return nil, false
		}
		b = appendMember(b, okRemove, name)
	}
	for _, f := range r.Add {
		how := overwrite
		if f.Name == "set-cookie" || r.AddBeside {
			how = unset
		}
		b = appendHeader(b, okAdd, f, how)
	}
	for _, f := range r.SetQuery {
		b = appendPair(b, okSetQuery, escape(f.Name), escape(f.Value))
	}
	for _, name := range r.RemoveQuery {
		b = appendMember(b, okRemoveQuery, escape(name))
	}
	return end(b, message), true
}

func sets(fields []request.Field, name string) bool {
	return slices.ContainsFunc(fields, func(f request.Field) bool { return f.Name == name })
}

// escape encodes s for a query: Envoy writes it into the request line unchanged.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// answered writes the answer that Envoy gives in place of the upstream, and reports false
// when r holds what must not reach a client. Its gRPC status is never OK, also where the
// client is served what it asked for: to Envoy OK means that the request goes through.
func answered(b []byte, r response.Response) (_ []byte, ok bool) {
	if !clean(r.Headers, responseHeader) {
		return nil, false
	}
	code := codes.PermissionDenied
	switch {
	case r.Status == 401:
		code = codes.Unauthenticated
	case r.Status >= 500:
		code = codes.Unavailable
	}
	b = appendStatus(b, code)
	b, message := begin(b, responseDenied)
	b, status := begin(b, deniedStatus)
	b = end(appendNumber(b, httpStatusCode, uint64(r.Status)), status)
	for _, f := range r.Headers {
		b = appendHeader(b, deniedHeaders, f, unset)
	}
	b = appendText(b, deniedBody, strings.ToValidUTF8(r.Body, "?"))
	return end(b, message), true
}

func appendStatus(b []byte, code codes.Code) []byte {
	b, status := begin(b, responseStatus)
	return end(appendNumber(b, statusCode, uint64(code)), status)
}

// appending says what Envoy does with a header that is there already.
type appending bool

const (
	// overwrite replaces what the client or the upstream sent. Of a request header
	// Envoy reads append and ignores the action; of a response header it reads the
	// action. So both are set, to the same effect.
	overwrite appending = true
	// unset leaves it to Envoy's default, which is the one way in which a refusal
	// keeps several headers of one name, and an allow the upstream's cookies.
	unset appending = false
)

// appendHeader writes a HeaderValueOption.
func appendHeader(b []byte, field protowire.Number, f request.Field, how appending) []byte {
	b, option := begin(b, field)
	b = appendPair(b, optionHeader, f.Name, f.Value)
	if how == overwrite {
		b, no := begin(b, optionAppend) // a BoolValue that is false is empty
		b = end(b, no)
		b = appendNumber(b, optionAction, uint64(corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD))
		return end(b, option)
	}
	return end(b, option)
}

// clean reports whether every name is permitted and no value holds a control byte: Envoy
// passes on CR and LF in a refusal, and the client sees two headers. A value that is not
// UTF-8 could not be sent, and would cause a gRPC error.
func clean(fields []request.Field, permitted func(string) bool) bool {
	for _, f := range fields {
		if !permitted(f.Name) || !utf8.ValidString(f.Value) {
			return false
		}
		for i := range len(f.Value) {
			if f.Value[i] < ' ' || f.Value[i] == 0x7f {
				return false
			}
		}
	}
	return true
}

// requestHeader refuses names by which an answer would move or break the request.
func requestHeader(name string) bool {
	switch name {
	case "host", "te":
		return false
	}
	return responseHeader(name) && !strings.HasPrefix(name, "x-envoy-")
}

func responseHeader(name string) bool {
	switch name {
	case "connection", "content-length", "transfer-encoding", "upgrade", "trailer", "keep-alive":
		return false
	}
	return request.IsToken(name) && name == strings.ToLower(name)
}

// appendMetadata writes m for Envoy's access log. What does not fit is left out: a log line
// is never worth an answer.
func appendMetadata(b []byte, m map[string]any) []byte {
	if len(m) == 0 {
		return b
	}
	budget := maxMetadata
	b, message := begin(b, responseMetadata)
	return end(appendFields(b, m, &budget), message)
}

// appendFields writes the fields of a Struct.
func appendFields(b []byte, m map[string]any, budget *int) []byte {
	for name, v := range m {
		next, entry := begin(b, structFields)
		next = appendText(next, pairKey, strings.ToValidUTF8(name, "?"))
		next, shown := appendValue(next, pairValue, v, budget)
		if shown {
			*budget -= len(name)
			b = end(next, entry)
		}
	}
	return b
}

// appendValue writes a Value, and reports false for what has no form or no room.
func appendValue(b []byte, field protowire.Number, v any, budget *int) (_ []byte, shown bool) {
	if *budget <= 0 {
		return b, false
	}
	b, message := begin(b, field)
	switch v := v.(type) {
	case nil:
		b = protowire.AppendVarint(protowire.AppendTag(b, valueNull, protowire.VarintType), 0)
	case string:
		*budget -= len(v)
		b = appendMember(b, valueText, strings.ToValidUTF8(v, "?"))
	case bool:
		b = appendBool(b, valueBool, v)
	case float64:
		b = appendDouble(b, valueNumber, v)
	case interface{ Float64() (float64, error) }: // json.Number
		f, err := v.Float64()
		if err != nil {
			return b, false
		}
		b = appendDouble(b, valueNumber, f)
	case map[string]any:
		b, object := begin(b, valueStruct)
		return end(end(appendFields(b, v, budget), object), message), true
	case []any:
		b, list := begin(b, valueList)
		return end(end(appendList(b, v, budget), list), message), true
	default:
		return b, false
	}
	return end(b, message), true
}

// appendList writes the values of a ListValue.
func appendList(b []byte, list []any, budget *int) []byte {
	for _, x := range list {
		if next, shown := appendValue(b, listValues, x, budget); shown {
			b = next
		}
	}
	return b
}
