package extauthz

import (
	"net/url"
	"strings"
	"unicode/utf8"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/response"
)

// maxMetadata limits the dynamic metadata, counted in bytes of its strings.
const maxMetadata = 16 << 10

// encode returns r as Envoy understands it, by its kind. It is the only place that makes a
// CheckResponse. An answer that could be misread, with a control byte in a header or a
// status that its kind cannot have, becomes the fixed refusal for an internal fault.
func encode(r response.Response) *authv3.CheckResponse {
	var res *authv3.CheckResponse
	switch {
	case !r.Sound():
	case r.Kind == response.Allow:
		res = allowed(r)
	case r.Kind == response.Refuse, r.Kind == response.Serve:
		res = answered(r)
	}
	if res == nil {
		res = answered(response.Response{Status: 503, Headers: []request.Field{
			{Name: "cache-control", Value: "no-store"}, {Name: "content-type", Value: "text/plain; charset=utf-8"},
		}, Body: "temporarily unavailable: internal"})
	}
	res.DynamicMetadata = dynamic(r.Metadata)
	return res
}

// allowed returns an allow, or nil if r holds something that must not reach an upstream.
func allowed(r response.Response) *authv3.CheckResponse {
	if !clean(r.Set, requestHeader) || !clean(r.Add, responseHeader) {
		return nil
	}
	set := map[string]bool{}
	ok := &authv3.OkHttpResponse{}
	for _, f := range r.Set {
		set[f.Name] = true
		ok.Headers = append(ok.Headers, overwrite(f))
	}
	for _, name := range r.Remove {
		if set[name] || !requestHeader(name) { // Envoy removes after it sets
			return nil
		}
		ok.HeadersToRemove = append(ok.HeadersToRemove, name)
	}
	for _, f := range r.Add {
		if f.Name == "set-cookie" || r.AddBeside {
			ok.ResponseHeadersToAdd = append(ok.ResponseHeadersToAdd, unset(f))
		} else {
			ok.ResponseHeadersToAdd = append(ok.ResponseHeadersToAdd, overwrite(f))
		}
	}
	for _, f := range r.SetQuery {
		ok.QueryParametersToSet = append(ok.QueryParametersToSet, &corev3.QueryParameter{
			Key: escape(f.Name), Value: escape(f.Value)})
	}
	for _, name := range r.RemoveQuery {
		ok.QueryParametersToRemove = append(ok.QueryParametersToRemove, escape(name))
	}
	return &authv3.CheckResponse{
		Status:       &status.Status{Code: int32(codes.OK)},
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: ok},
	}
}

// escape encodes s for a query: Envoy writes it into the request line unchanged.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// answered returns the answer that Envoy gives instead of the upstream's, or nil if r holds
// something that must not reach a client. Its gRPC status is never OK, even if the client
// gets what it asked for: to Envoy OK means that the request goes through.
func answered(r response.Response) *authv3.CheckResponse {
	if !clean(r.Headers, responseHeader) {
		return nil
	}
	d := &authv3.DeniedHttpResponse{Status: &typev3.HttpStatus{Code: typev3.StatusCode(r.Status)},
		Body: strings.ToValidUTF8(r.Body, "?")}
	for _, f := range r.Headers {
		d.Headers = append(d.Headers, unset(f))
	}
	code := codes.PermissionDenied
	switch {
	case r.Status == 401:
		code = codes.Unauthenticated
	case r.Status >= 500:
		code = codes.Unavailable
	}
	return &authv3.CheckResponse{
		Status:       &status.Status{Code: int32(code)},
		HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: d},
	}
}

// overwrite replaces what the client or the upstream sent. For a request header Envoy reads
// append and ignores the action; for a response header it reads the action. So we set both,
// to the same effect.
func overwrite(f request.Field) *corev3.HeaderValueOption {
	h := unset(f)
	//lint:ignore SA1019 the field that Envoy reads for request headers is the deprecated one
	h.Append = wrapperspb.Bool(false)
	h.AppendAction = corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD
	return h
}

// unset leaves the choice to Envoy's default. Only with that does a refusal keep several
// headers of one name, and an allow keep the upstream's cookies.
func unset(f request.Field) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: f.Name, Value: f.Value}}
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

// dynamic returns m for Envoy's access log. It leaves out what does not fit: losing an
// answer is worse than losing part of a log line.
func dynamic(m map[string]any) *structpb.Struct {
	if len(m) == 0 {
		return nil
	}
	budget := maxMetadata
	return &structpb.Struct{Fields: members(m, &budget)}
}

func members(m map[string]any, budget *int) map[string]*structpb.Value {
	out := make(map[string]*structpb.Value, len(m))
	for name, v := range m {
		if x := shown(v, budget); x != nil {
			*budget -= len(name)
			out[strings.ToValidUTF8(name, "?")] = x
		}
	}
	return out
}

func shown(v any, budget *int) *structpb.Value {
	if *budget <= 0 {
		return nil
	}
	switch v := v.(type) {
	case nil:
		return structpb.NewNullValue()
	case string:
		*budget -= len(v)
		return structpb.NewStringValue(strings.ToValidUTF8(v, "?"))
	case bool:
		return structpb.NewBoolValue(v)
	case float64:
		return structpb.NewNumberValue(v)
	case interface{ Float64() (float64, error) }: // json.Number
		f, err := v.Float64()
		if err != nil {
			return nil
		}
		return structpb.NewNumberValue(f)
	case map[string]any:
		return structpb.NewStructValue(&structpb.Struct{Fields: members(v, budget)})
	case []any:
		list := &structpb.ListValue{}
		for _, x := range v {
			if y := shown(x, budget); y != nil {
				list.Values = append(list.Values, y)
			}
		}
		return structpb.NewListValue(list)
	}
	return nil
}
