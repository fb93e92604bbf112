package opaenvoy

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/stepward/stepward/pkg/extauthz"
	"github.com/stepward/stepward/pkg/request"
)

// asked returns the request that Envoy reports as req.
func asked(t testing.TB, req *authv3.CheckRequest) request.Request {
	t.Helper()
	text, err := protojson.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := extauthz.ParseCheckRequest(text)
	if err != nil {
		t.Fatal(err)
	}
	return request.Request{Attributes: raw.Attributes}
}

// The document of a whole report, member by member.
func TestInput(t *testing.T) {
	metadata, err := structpb.NewStruct(map[string]any{"n": 1.5, "list": []any{true, nil, "x"}, "o": map[string]any{
		"a": "b"}})
	if err != nil {
		t.Fatal(err)
	}
	address := func(host string, port uint32) *corev3.Address {
		return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
			Address: host, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port}}}}
	}
	req := &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: &authv3.AttributeContext_Peer{Address: address("10.0.0.1", 40000),
			Principal: "spiffe://example.com/a", Labels: map[string]string{"app": "a"}},
		Destination: &authv3.AttributeContext_Peer{Address: address("10.0.0.2", 8000)},
		Request: &authv3.AttributeContext_Request{Time: &timestamppb.Timestamp{Seconds: 7, Nanos: 8},
			Http: &authv3.AttributeContext_HttpRequest{
				Id: "1", Method: "POST", Path: "/a%2Fb/c?x=1&x=2&y=%20", Host: "a.test", Size: 2, RawBody: []byte("{}"),
				HeaderMap: &corev3.HeaderMap{Headers: []*corev3.HeaderValue{
					{Key: ":path", RawValue: []byte("/a")}, {Key: "X-A", RawValue: []byte("1")},
					{Key: "x-a", RawValue: []byte("\xff2")},
					{Key: "content-type", RawValue: []byte("application/json")},
				}},
			}},
		ContextExtensions: map[string]string{"k": "v"},
		MetadataContext:   &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{"ns": metadata}},
	}}
	got, err := Input(asked(t, req), Body{})
	if err != nil {
		t.Fatal(err)
	}
	delete(at(got, "attributes", "request", "http"), "headerMap")
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"attributes":{` +
		`"contextExtensions":{"k":"v"},` +
		`"destination":{"address":{"socketAddress":{"address":"10.0.0.2","portValue":8000}}},` +
		`"metadataContext":{"filterMetadata":{"ns":{"list":[true,null,"x"],"n":1.5,"o":{"a":"b"}}}},` +
		`"request":{"http":{"headers":{":path":"/a","content-type":"application/json","x-a":"1,!2"},"host":"a.test","id":"1","method":"POST","path":"/a%2Fb/c?x=1\u0026x=2\u0026y=%20","rawBody":"e30=","size":2},"time":{"nanos":8,"seconds":7}},` +
		`"source":{"address":{"socketAddress":{"address":"10.0.0.1","portValue":40000}},"labels":{"app":"a"},"principal":"spiffe://example.com/a"}},` +
		`"parsed_body":{},"parsed_path":["a","b","c"],"parsed_query":{"x":["1","2"],"y":[" "]},` +
		`"source_principal":"spiffe://example.com/a","truncated_body":false,"version":{"encoding":"protojson","ext_authz":"v3"}}`
	if string(text) != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	again, err := Input(asked(t, req), Body{Skip: true})
	if err != nil || again["parsed_body"] != nil || again["truncated_body"] != nil {
		t.Errorf("%v %v", again, err)
	}
	if empty, err := Input(asked(t, &authv3.CheckRequest{}), Body{}); err != nil || len(empty) != 5 {
		t.Errorf("of nothing: %v %v", empty, err)
	}
}

func TestParsedBody(t *testing.T) {
	const form, multi = "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"
	for _, v := range []struct {
		name, media, body, length, partial string
		want                               string // JSON; empty is an error
		truncated                          bool
	}{
		{"json", "application/json", `[1,"a"]`, "7", "false", `[1,"a"]`, false},
		{"json that says gRPC too", "application/json;application/grpc", `{"a":1}`, "", "", `{"a":1}`, false},
		{"json and more", "application/json", `{} {}`, "", "", "", false},
		{"json twice the same member", "application/json", `{"a":1,"a":2}`, "", "", "", false},
		{"json, longer than what came", "application/json", `{"a":`, "7", "", "null", true},
		{"json, of which Envoy says so", "application/json", `{"a":`, "", "true", "null", true},
		{"json, of a length that is none", "application/json", `{}`, "two", "", "", false},
		{"json, empty", "application/json", ``, "0", "", "null", false},
		{"form", form, "a=1&a=2&b=%41", "", "", `{"a":["1","2"],"b":["A"]}`, false},
		{"form, malformed", form, "a=%zz", "", "", "", false},
		{
			"parts", multi,
			"--b\r\ncontent-disposition: form-data; name=a\r\n\r\n1\r\n--b\r\ncontent-disposition: form-data\r\n\r\n2\r\n--b--", "", "", `{"a":["1"]}`, false},
		{"parts without a boundary", "multipart/form-data", "--b", "", "", "null", false},
		{"parts that do not end", multi, "--b\r\ncontent-disposition: form-data; name=a\r\n\r\n1", "", "", "", false},
		{"parts of broken json", multi,
			"--b\r\ncontent-disposition: form-data; name=a\r\ncontent-type: application/json\r\n\r\n{\r\n--b--", "", "",
			"", false},
		{"parts of a type that is none", "multipart/form-data; boundary=b; boundary=c", "--b", "", "", "", false},
		{"text", "text/plain", "{}", "", "", "null", false},
		{"nothing said", "", "{}", "", "", "null", false},
		{"a message of gRPC", "application/grpc", "\x00\x00\x00\x00\x00", "", "", "null", false},
	} {
		t.Run(v.name, func(t *testing.T) {
			for _, raw := range []bool{true, false} {
				http := &authv3.AttributeContext_HttpRequest{Method: "POST", Path: "/", Headers: map[string]string{
					"content-type": v.media}}
				for name, value := range map[string]string{"content-length": v.length, partialBody: v.partial} {
					if value != "" {
						http.Headers[name] = value
					}
				}
				if raw {
					http.RawBody = []byte(v.body)
				} else {
					http.Body = v.body
				}
				got, err := Input(asked(t, &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
					Request: &authv3.AttributeContext_Request{Http: http}}}), Body{})
				if v.want == "" {
					if err == nil {
						t.Errorf("%v", got["parsed_body"])
					}
					continue
				}
				text, _ := json.Marshal(got["parsed_body"])
				if err != nil || string(text) != v.want || got["truncated_body"] != v.truncated {
					t.Errorf("%s %v %v", text, got["truncated_body"], err)
				}
			}
		})
	}
}

// descriptors returns the descriptors of a service with one method, as protoc writes them.
func descriptors(t *testing.T) []byte {
	t.Helper()
	kind, label := descriptorpb.FieldDescriptorProto_TYPE_INT64, descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL
	text, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{{
		Name: proto.String("pay.proto"), Package: proto.String("bank"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{
			{Name: proto.String("Order"), Field: []*descriptorpb.FieldDescriptorProto{
				{Name: proto.String("cents_due"), JsonName: proto.String("centsDue"), Number: proto.Int32(1),
					Type:  &kind,
					Label: &label},
			}}},
		Service: []*descriptorpb.ServiceDescriptorProto{
			{Name: proto.String("Teller"), Method: []*descriptorpb.MethodDescriptorProto{
				{Name: proto.String("Pay"), InputType: proto.String(".bank.Order"), OutputType: proto.String(
					".bank.Order")},
				{Name: proto.String("PayAll"), InputType: proto.String(".bank.Order"), OutputType: proto.String(
					".bank.Order"), ClientStreaming: proto.Bool(true)},
			}}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestMessages(t *testing.T) {
	decodes, err := Messages(descriptors(t))
	if err != nil {
		t.Fatal(err)
	}
	const order = "\x00\x00\x00\x00\x03\x08\xac\x02" // cents_due: 300
	for _, v := range []struct {
		name, path, body, want string
		truncated              bool
	}{
		{"a message", "/bank.Teller/Pay", order, `{"centsDue":"300"}`, false},
		{"an empty one", "/bank.Teller/Pay", "\x00\x00\x00\x00\x00", `{}`, false},
		{"of a stream", "/bank.Teller/PayAll", order, "null", false},
		{"of another method", "/bank.Teller/Steal", order, "null", false},
		{"of what is no service", "/bank.Order/Pay", order, "null", false},
		{"compressed", "/bank.Teller/Pay", "\x01" + order[1:], "null", false},
		{"cut off", "/bank.Teller/Pay", order[:7], "null", true},
		{"none", "/bank.Teller/Pay", "", "null", false},
		{"garbage", "/bank.Teller/Pay", "\x00\x00\x00\x00\x02\xff\xff", "", false},
		{"no frame", "/bank.Teller/Pay", "\x00", "", false},
		{"no call", "/bank.Teller", order, "", false},
	} {
		t.Run(v.name, func(t *testing.T) {
			http := &authv3.AttributeContext_HttpRequest{Path: v.path, RawBody: []byte(v.body),
				Headers: map[string]string{"content-type": "application/grpc"}}
			got, err := Input(asked(t, &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
				Request: &authv3.AttributeContext_Request{Http: http}}}), Body{Message: decodes})
			text, _ := json.Marshal(got["parsed_body"])
			if (v.want == "") != (err != nil) || err == nil && (strings.ReplaceAll(string(text), " ", "") != v.want ||
				got["truncated_body"] != v.truncated) {
				t.Errorf("%s %v %v", text, got["truncated_body"], err)
			}
		})
	}
	if _, err := Messages([]byte("text")); err == nil {
		t.Error("a text passes for descriptors")
	}
}

// No report makes it panic, and whatever it cannot read is an error.
func FuzzInput(f *testing.F) {
	for _, media := range []string{"application/json", "application/x-www-form-urlencoded",
		"multipart/form-data; boundary=b", "application/grpc"} {
		f.Add("/bank.Teller/Pay?x=1", media, []byte("--b\r\n"), true)
		f.Add("/%2F", media, []byte(`{"a":1}`), false)
	}
	set, err := proto.Marshal(&descriptorpb.FileDescriptorSet{})
	if err != nil {
		f.Fatal(err)
	}
	none, err := Messages(set)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, path, media string, body []byte, raw bool) {
		if !utf8.ValidString(path) || !utf8.ValidString(media) {
			return // gRPC takes no such message
		}
		http := &authv3.AttributeContext_HttpRequest{Path: path, RawBody: body, Headers: map[string]string{
			"content-type": media}}
		if raw {
			http.HeaderMap = &corev3.HeaderMap{
				Headers: []*corev3.HeaderValue{{Key: "content-type", RawValue: []byte(media)}}}
		}
		got, err := Input(asked(t, &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
			Request: &authv3.AttributeContext_Request{Http: http}}}), Body{Message: none})
		if (got == nil) == (err == nil) {
			t.Errorf("%v %v", got, err)
		}
		if _, jsonErr := json.Marshal(got); err == nil && jsonErr != nil {
			t.Error(jsonErr)
		}
	})
}
