package extauthz

import (
	"fmt"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/stepward/stepward/pkg/request"
)

// partialBody is the header by which Envoy says that it sent the body along, and whether it
// sent all of it. Envoy removes any header of this name that a client sends.
const partialBody = "x-envoy-auth-partial-body"

// decode reads what Envoy reports. Everything in a CheckRequest is optional: a missing
// field is zero.
func decode(req *authv3.CheckRequest) request.Raw {
	attributes := req.GetAttributes()
	http := attributes.GetRequest().GetHttp()
	raw := request.Raw{
		ID:       http.GetId(),
		Method:   http.GetMethod(),
		Host:     http.GetHost(),
		Target:   http.GetPath(),
		Scheme:   http.GetScheme(),
		Protocol: http.GetProtocol(),
		Size:     http.GetSize(),
		Headers:  fields(http),
		Source: request.Source{
			Address:     attributes.GetSource().GetAddress().GetSocketAddress().GetAddress(),
			Principal:   attributes.GetSource().GetPrincipal(),
			Certificate: attributes.GetSource().GetCertificate(),
		},
		SNI: attributes.GetTlsSession().GetSni(),
		Route: request.Route{Extensions: attributes.GetContextExtensions(),
			Metadata: metadata(attributes.GetRouteMetadataContext())},
	}
	raw.Body = body(http, raw.Headers)
	raw.Attributes = func() map[string]any { return report(req) }
	return raw
}

// fields lists the header lines of either encoding: header_map, which keeps lines apart and
// bytes unchanged, or the map. If both are there, header_map wins.
func fields(http *authv3.AttributeContext_HttpRequest) []request.Field {
	if lines := http.GetHeaderMap().GetHeaders(); len(lines) > 0 {
		out := make([]request.Field, 0, len(lines))
		for _, h := range lines {
			out = append(out, request.Field{Name: h.GetKey(), Value: value(h)})
		}
		return out
	}
	headers := http.GetHeaders()
	names := make([]string, 0, len(headers))
	for name := range headers {
		names = append(names, name)
	}
	slices.Sort(names) // map order must not show in an answer
	out := make([]request.Field, 0, len(names))
	for _, name := range names {
		out = append(out, request.Field{Name: name, Value: headers[name]})
	}
	return out
}

func value(h *corev3.HeaderValue) string {
	if raw := h.GetRawValue(); len(raw) > 0 {
		return string(raw)
	}
	return h.GetValue()
}

func body(http *authv3.AttributeContext_HttpRequest, headers []request.Field) request.RawBody {
	for _, h := range headers {
		if h.Name != partialBody {
			continue
		}
		bytes := http.GetRawBody() // by pack_as_bytes, which has no effect per route
		if len(bytes) == 0 {
			bytes = []byte(http.GetBody())
		}
		return request.RawBody{Present: true, Truncated: h.Value != "false", Bytes: bytes}
	}
	return request.RawBody{}
}

func metadata(m *corev3.Metadata) map[string]map[string]any {
	if len(m.GetFilterMetadata()) == 0 {
		return nil
	}
	out := make(map[string]map[string]any, len(m.GetFilterMetadata()))
	for namespace, s := range m.GetFilterMetadata() {
		out[namespace] = object(s)
	}
	return out
}

func object(s *structpb.Struct) map[string]any {
	out := make(map[string]any, len(s.GetFields()))
	for name, v := range s.GetFields() {
		out[name] = plain(v)
	}
	return out
}

func plain(v *structpb.Value) any {
	switch k := v.GetKind().(type) {
	case *structpb.Value_StringValue:
		return k.StringValue
	case *structpb.Value_NumberValue:
		return k.NumberValue
	case *structpb.Value_BoolValue:
		return k.BoolValue
	case *structpb.Value_StructValue:
		return object(k.StructValue)
	case *structpb.Value_ListValue:
		list := make([]any, 0, len(k.ListValue.GetValues()))
		for _, x := range k.ListValue.GetValues() {
			list = append(list, plain(x))
		}
		return list
	}
	return nil
}

// ParseCheckRequest reads a CheckRequest captured as JSON, in the protobuf JSON mapping. An
// unknown field is an error.
func ParseCheckRequest(text []byte) (request.Raw, error) {
	var req authv3.CheckRequest
	if err := protojson.Unmarshal(text, &req); err != nil {
		return request.Raw{}, fmt.Errorf("extauthz: not a CheckRequest in JSON: %w", err)
	}
	return decode(&req), nil
}
