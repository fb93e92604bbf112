package extauthz

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/url"
	"slices"
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/stepward/stepward/pkg/internal/strictjson"
	"github.com/stepward/stepward/pkg/request"
)

// document is req as the document that policies of opa-envoy-plugin read. Beside the
// message itself it holds what that plugin derives of it: version, parsed_path,
// parsed_query, source_principal and, unless it is skipped, parsed_body and truncated_body.
//
// Headers stand under attributes.request.http.headers in either encoding.
func document(req *authv3.CheckRequest, d request.BodyDecoding) (map[string]any, error) {
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
	doc["version"] = map[string]any{"ext_authz": "v3", "encoding": "protojson"}
	path, query, err := target(http.GetPath())
	if err != nil {
		return nil, err
	}
	doc["parsed_path"], doc["parsed_query"] = path, query
	if !d.Skip {
		parsed, truncated, err := parsedBody(http, headers, path, d)
		if err != nil {
			return nil, fmt.Errorf("extauthz: the body: %w", err)
		}
		doc["parsed_body"], doc["truncated_body"] = parsed, truncated
	}
	if p := req.GetAttributes().GetSource().GetPrincipal(); p != "" {
		doc["source_principal"] = p
	}
	return doc, nil
}

// at is the object below doc at the names, or nil.
func at(doc map[string]any, names ...string) map[string]any {
	for _, name := range names {
		doc, _ = doc[name].(map[string]any)
	}
	return doc
}

// joined is the headers by name, lines of one name joined by commas, as Envoy joins them
// where it sends a map.
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

// populated is the populated fields of m by their JSON names, with numbers as numbers:
// not the JSON mapping of protobuf, which writes a time as a text and an int64 in quotes.
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

// target is the path, decoded and then split, so that an encoded slash separates; and the
// query by name.
func target(raw string) (path []any, query map[string]any, err error) {
	rawPath, rawQuery, _ := strings.Cut(raw, "?")
	decoded, err := url.PathUnescape(rawPath)
	if err != nil {
		return nil, nil, errors.New("extauthz: the path has a malformed percent-escape")
	}
	for segment := range strings.SplitSeq(strings.TrimLeft(decoded, "/"), "/") {
		path = append(path, segment)
	}
	values, err := url.ParseQuery(rawQuery)
	if err != nil {
		return nil, nil, errors.New("extauthz: the query has a malformed percent-escape, or a semicolon")
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

// parsedBody decodes a body of JSON, of a form or of several parts by the content-type
// that the client gives; nil where there is none, or it is of another type. A body of
// which Envoy did not send all is not decoded.
func parsedBody(http *authv3.AttributeContext_HttpRequest, headers map[string]string, path []any,
	d request.BodyDecoding) (parsed any, truncated bool, err error) {
	if headers[partialBody] == "true" {
		return nil, true, nil
	}
	media := headers["content-type"]
	decode := decoderOf(media)
	switch {
	case decode == nil && strings.Contains(media, "application/grpc"):
		return frame(http.GetRawBody(), path, d)
	case decode == nil:
		return nil, false, nil
	}
	body := http.GetBody()
	if body == "" {
		body = string(http.GetRawBody())
	}
	if body == "" {
		return nil, false, nil
	}
	if length, there := headers["content-length"]; there {
		n, err := strconv.ParseInt(length, 10, 64)
		if err != nil {
			return nil, false, errors.New("content-length is not a number")
		}
		if n > int64(len(body)) {
			return nil, true, nil
		}
	}
	parsed, err = decode(body)
	return parsed, false, err
}

// decoderOf reads bodies of the type media, in which the first of these is looked for; nil
// where there is none. The messages of gRPC are read by [frame].
func decoderOf(media string) func(body string) (any, error) {
	switch {
	case strings.Contains(media, "application/json"):
		return func(body string) (any, error) { return strictjson.Decode([]byte(body)) }
	case strings.Contains(media, "application/grpc"):
		return nil
	case strings.Contains(media, "application/x-www-form-urlencoded"):
		return func(body string) (any, error) {
			values, err := url.ParseQuery(body)
			if err != nil {
				return nil, errors.New("the form has a malformed percent-escape, or a semicolon")
			}
			return lists(values), nil
		}
	case strings.Contains(media, "multipart/form-data"):
		return func(body string) (any, error) { return parts(body, media) }
	}
	return nil
}

var errParts = errors.New("its parts cannot be told apart")

// frame is the first message of a gRPC request, which stands after a byte that says
// whether it is compressed and four of its length. What is compressed is not read.
func frame(body []byte, path []any, d request.BodyDecoding) (parsed any, truncated bool, err error) {
	if d.Message == nil || len(body) == 0 {
		return nil, false, nil
	}
	if len(path) != 2 || len(body) < 5 {
		return nil, false, errors.New("no call of gRPC")
	}
	if body[0] != 0 {
		return nil, false, nil
	}
	size := binary.BigEndian.Uint32(body[1:5])
	if uint64(size) > uint64(len(body)-5) {
		return nil, true, nil
	}
	service, _ := path[0].(string)
	method, _ := path[1].(string)
	parsed, known, err := d.Message(service, method, body[5:5+size])
	if err != nil || !known {
		parsed = nil
	}
	return parsed, false, err
}

// Messages decodes messages by the descriptors in a file that protoc has written with
// --descriptor_set_out and --include_imports: to what the JSON mapping of protobuf has,
// with numbers as [json.Number].
func Messages(descriptors []byte) (func(service, method string, message []byte) (any, bool, error), error) {
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(descriptors, &set); err != nil {
		return nil, fmt.Errorf("extauthz: not a set of descriptors: %w", err)
	}
	files, err := protodesc.NewFiles(&set)
	if err != nil {
		return nil, fmt.Errorf("extauthz: %w", err)
	}
	return func(service, method string, message []byte) (any, bool, error) {
		found, err := files.FindDescriptorByName(protoreflect.FullName(service))
		s, ok := found.(protoreflect.ServiceDescriptor)
		if err != nil || !ok {
			return nil, false, nil
		}
		m := s.Methods().ByName(protoreflect.Name(method))
		if m == nil || m.IsStreamingClient() {
			return nil, false, nil
		}
		input := dynamicpb.NewMessage(m.Input())
		if proto.Unmarshal(message, input) != nil {
			return nil, true, errors.New("it is no message of the method")
		}
		text, err := protojson.Marshal(input)
		if err != nil {
			return nil, true, errors.New("it has no form in JSON")
		}
		value, err := strictjson.Decode(text)
		return value, true, err
	}, nil
}

// parts is the values of a multipart/form-data body by the names of their fields.
func parts(body, media string) (any, error) {
	_, params, err := mime.ParseMediaType(media)
	if err != nil {
		return nil, errors.New("content-type is malformed")
	}
	if params["boundary"] == "" {
		return nil, nil
	}
	out := map[string]any{}
	for r := multipart.NewReader(strings.NewReader(body), params["boundary"]); ; {
		p, err := r.NextPart()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, errParts
		}
		name := p.FormName()
		if name == "" {
			continue
		}
		text, err := io.ReadAll(p)
		if err != nil {
			return nil, errParts
		}
		var value any = strings.ToValidUTF8(string(text), "\uFFFD")
		if strings.Contains(p.Header.Get("Content-Type"), "application/json") {
			if value, err = strictjson.Decode(text); err != nil {
				return nil, err
			}
		}
		was, _ := out[name].([]any)
		out[name] = append(was, value)
	}
}

// Reported is raw as if Envoy had reported it: with the attributes that policies in the
// form of opa-envoy-plugin read.
func Reported(raw request.Raw) request.Raw {
	raw.Attributes = decode(message(raw)).Attributes
	return raw
}

// message is the message for raw: what [decode] reads.
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
		a.RouteMetadataContext.FilterMetadata[namespace] = &structpb.Struct{Fields: members(m, &budget)}
	}
	return &authv3.CheckRequest{Attributes: a}
}
