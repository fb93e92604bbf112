package extauthz

import (
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/response"
)

// decoded reads the bytes of an answer by the generated types, and compares them with the
// answer as those types make it. Metadata beyond the budget may differ in which of it is
// left out.
func decoded(t testing.TB, r response.Response) *authv3.CheckResponse {
	t.Helper()
	b := encode(r)
	got := read(t, b)
	want := oracle(r)
	if !proto.Equal(got, want) && metadataSize(r.Metadata) < maxMetadata {
		t.Fatalf("%+v\n is %v\nnot %v", r, got, want)
	}
	got.DynamicMetadata, want.DynamicMetadata = nil, nil
	if !proto.Equal(got, want) {
		t.Fatalf("%+v\n is %v\nnot %v", r, got, want)
	}
	return read(t, b)
}

// read returns b as the generated types read it.
func read(t testing.TB, b []byte) *authv3.CheckResponse {
	t.Helper()
	r := new(authv3.CheckResponse)
	if err := proto.Unmarshal(b, r); err != nil {
		t.Fatalf("%v in %x", err, b)
	}
	return r
}

// metadataSize is how many bytes of text v has.
func metadataSize(v any) int {
	n := 0
	switch v := v.(type) {
	case string:
		return len(v)
	case map[string]any:
		for name, x := range v {
			n += len(name) + metadataSize(x)
		}
	case []any:
		for _, x := range v {
			n += metadataSize(x)
		}
	}
	return n
}

// oracle makes an answer of the generated types, field by field.
func oracle(r response.Response) *authv3.CheckResponse {
	var res *authv3.CheckResponse
	switch {
	case !r.Sound():
	case r.Kind == response.Allow:
		res = oracleAllowed(r)
	case r.Kind == response.Refuse, r.Kind == response.Serve:
		res = oracleAnswered(r)
	}
	if res == nil {
		res = oracleAnswered(response.Response{Status: 503, Headers: []request.Field{
			{Name: "cache-control", Value: "no-store"}, {Name: "content-type", Value: "text/plain; charset=utf-8"},
		}, Body: "temporarily unavailable: internal"})
	}
	res.DynamicMetadata = oracleDynamic(r.Metadata)
	return res
}

func oracleAllowed(r response.Response) *authv3.CheckResponse {
	if !clean(r.Set, requestHeader) || !clean(r.Add, responseHeader) {
		return nil
	}
	ok := &authv3.OkHttpResponse{HeadersToRemove: r.Remove}
	for _, f := range r.Set {
		ok.Headers = append(ok.Headers, oracleOverwrite(f))
	}
	for _, name := range r.Remove {
		if !requestHeader(name) || sets(r.Set, name) { // Envoy removes after it sets
			return nil
		}
	}
	for _, f := range r.Add {
		if f.Name == "set-cookie" || r.AddBeside {
			ok.ResponseHeadersToAdd = append(ok.ResponseHeadersToAdd, oracleUnset(f))
		} else {
			ok.ResponseHeadersToAdd = append(ok.ResponseHeadersToAdd, oracleOverwrite(f))
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

func oracleAnswered(r response.Response) *authv3.CheckResponse {
	if !clean(r.Headers, responseHeader) {
		return nil
	}
	d := &authv3.DeniedHttpResponse{Status: &typev3.HttpStatus{Code: typev3.StatusCode(r.Status)},
		Body: strings.ToValidUTF8(r.Body, "?")}
	for _, f := range r.Headers {
		d.Headers = append(d.Headers, oracleUnset(f))
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

func oracleOverwrite(f request.Field) *corev3.HeaderValueOption {
	h := oracleUnset(f)
	//lint:ignore SA1019 the field that Envoy reads for request headers is the deprecated one
	h.Append = wrapperspb.Bool(false)
	h.AppendAction = corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD
	return h
}

func oracleUnset(f request.Field) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: f.Name, Value: f.Value}}
}

func oracleDynamic(m map[string]any) *structpb.Struct {
	if len(m) == 0 {
		return nil
	}
	budget := maxMetadata
	return &structpb.Struct{Fields: oracleMembers(m, &budget)}
}

func oracleMembers(m map[string]any, budget *int) map[string]*structpb.Value {
	out := make(map[string]*structpb.Value, len(m))
	for name, v := range m {
		if x := oracleShown(v, budget); x != nil {
			*budget -= len(name)
			out[strings.ToValidUTF8(name, "?")] = x
		}
	}
	return out
}

func oracleShown(v any, budget *int) *structpb.Value {
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
		return structpb.NewStructValue(&structpb.Struct{Fields: oracleMembers(v, budget)})
	case []any:
		list := &structpb.ListValue{}
		for _, x := range v {
			if y := oracleShown(x, budget); y != nil {
				list.Values = append(list.Values, y)
			}
		}
		return structpb.NewListValue(list)
	}
	return nil
}
