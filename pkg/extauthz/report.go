package extauthz

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/stepward/stepward/pkg/request"
)

// report returns the populated fields of req as a document. Headers of either encoding are
// under attributes.request.http.headers.
func report(req *authv3.CheckRequest) map[string]any {
	http := req.GetAttributes().GetRequest().GetHttp()
	doc := populated(req.ProtoReflect())
	headers := joined(http)
	if shown := at(doc, "attributes", "request", "http"); shown != nil && len(headers) > 0 {
		plain := make(map[string]any, len(headers))
		for name, value := range headers {
			plain[name] = value
		}
		shown["headers"] = plain
	}
	return doc
}

// at returns the object below doc at the names, or nil.
func at(doc map[string]any, names ...string) map[string]any {
	for _, name := range names {
		doc, _ = doc[name].(map[string]any)
	}
	return doc
}

// joined returns the headers by name. It joins lines of one name with commas, as Envoy does
// when it sends a map.
func joined(http *authv3.AttributeContext_HttpRequest) map[string]string {
	out := map[string]string{}
	for _, f := range fields(http) {
		name := strings.ToLower(f.Name)
		value := strings.ToValidUTF8(f.Value, "!")
		if was, twice := out[name]; twice {
			value = was + "," + value
		}
		out[name] = value
	}
	return out
}

// populated returns the populated fields of m by their JSON names, with numbers as numbers.
// The JSON mapping of protobuf writes a time as text and an int64 in quotes.
func populated(m protoreflect.Message) map[string]any {
	if s, ok := m.Interface().(*structpb.Struct); ok {
		return object(s)
	}
	out := map[string]any{}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsMap():
			entries := make(map[string]any, v.Map().Len())
			v.Map().Range(func(key protoreflect.MapKey, value protoreflect.Value) bool {
				entries[key.String()] = single(f.MapValue(), value)
				return true
			})
			out[f.JSONName()] = entries
		case f.IsList():
			list := make([]any, v.List().Len())
			for i := range list {
				list[i] = single(f, v.List().Get(i))
			}
			out[f.JSONName()] = list
		default:
			out[f.JSONName()] = single(f, v)
		}
		return true
	})
	return out
}

func single(f protoreflect.FieldDescriptor, v protoreflect.Value) any {
	switch f.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return populated(v.Message())
	case protoreflect.BytesKind:
		return base64.StdEncoding.EncodeToString(v.Bytes())
	case protoreflect.EnumKind:
		return int64(v.Enum())
	case protoreflect.StringKind:
		return strings.ToValidUTF8(v.String(), "\uFFFD")
	}
	return v.Interface()
}

// Reported returns raw as if Envoy had reported it, with the attributes that Envoy's
// message would have.
func Reported(raw request.Raw) request.Raw {
	raw.Attributes = decode(message(raw)).Attributes
	return raw
}

// message returns the message for raw, which [decode] reads.
func message(raw request.Raw) *authv3.CheckRequest {
	http := &authv3.AttributeContext_HttpRequest{
		Id: raw.ID, Method: raw.Method, Host: raw.Host, Path: raw.Target, Scheme: raw.Scheme, Protocol: raw.Protocol,
		Size:    raw.Size,
		RawBody: raw.Body.Bytes, HeaderMap: &corev3.HeaderMap{},
	}
	lines := raw.Headers
	if !slices.ContainsFunc(lines, func(f request.Field) bool { return strings.HasPrefix(f.Name, ":") }) {
		lines = append([]request.Field{{Name: ":authority", Value: raw.Host}, {Name: ":path", Value: raw.Target},
			{Name: ":method", Value: raw.Method}, {Name: ":scheme", Value: raw.Scheme}}, lines...)
	}
	if raw.Body.Present {
		lines = append(slices.Clone(lines), request.Field{Name: partialBody, Value: strconv.FormatBool(
			raw.Body.Truncated)})
	}
	for _, f := range lines {
		http.HeaderMap.Headers = append(http.HeaderMap.Headers, &corev3.HeaderValue{
			Key: f.Name, RawValue: []byte(f.Value)})
	}
	peer := &authv3.AttributeContext_Peer{Principal: raw.Source.Principal, Certificate: raw.Source.Certificate}
	if raw.Source.Address != "" {
		peer.Address = &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
			Address: raw.Source.Address}}}
	}
	a := &authv3.AttributeContext{
		Source: peer, Request: &authv3.AttributeContext_Request{Http: http}, ContextExtensions: raw.Route.Extensions,
		RouteMetadataContext: &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{}},
	}
	if raw.SNI != "" {
		a.TlsSession = &authv3.AttributeContext_TLSSession{Sni: raw.SNI}
	}
	budget := maxMetadata
	for namespace, m := range raw.Route.Metadata {
		shown := new(structpb.Struct)
		if err := proto.Unmarshal(appendFields(nil, m, &budget), shown); err == nil {
			a.RouteMetadataContext.FilterMetadata[namespace] = shown
		}
	}
	return &authv3.CheckRequest{Attributes: a}
}
