//lint:file-ignore SA1019 the field that Envoy reads for request headers is the deprecated one

package extauthz

import (
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/response"
)

// No answer, however odd, is read by Envoy as an allow that was not one.
func FuzzEncode(f *testing.F) {
	f.Add(1, 0, "x-a", "v", "x-b", "")
	f.Add(0, 401, "www-authenticate", "Bearer\r\n", "", "")
	f.Add(0, 401, "x-a", "\xff", "", "\xff")
	f.Add(0, 200, "x-a", "v", "", "body")
	f.Add(2, 204, "vary", "Origin", "", "")
	f.Add(2, 200, "x-a", "v", "", "page")
	f.Fuzz(func(t *testing.T, k int, status int, name, value, remove, body string) {
		field, kind := []request.Field{{Name: name, Value: value}}, response.Kind(k)
		res := decoded(t, response.Response{Kind: kind, Status: status, Set: field, Add: field, Headers: field,
			Remove: []string{remove}, Body: body,
			Metadata: map[string]any{name: value, "list": []any{value, 1, nil}}})
		ok, denied := res.GetOkResponse(), res.GetDeniedResponse()
		if (ok == nil) == (denied == nil) || (res.GetStatus().GetCode() == int32(codes.OK)) != (ok != nil) ||
			ok != nil && kind != response.Allow {
			t.Fatalf("%v", res)
		}
		if denied != nil && denied.GetStatus().GetCode() < 300 && kind != response.Serve {
			t.Fatalf("a refusal with status %d", denied.GetStatus().GetCode())
		}
		for _, h := range append(append(ok.GetHeaders(), ok.GetResponseHeadersToAdd()...), denied.GetHeaders()...) {
			if text := h.GetHeader().GetKey() + h.GetHeader().GetValue(); strings.ContainsAny(text, "\x00\r\n\x7f") ||
				h.GetHeader().GetRawValue() != nil {
				t.Fatalf("%v", h)
			}
		}
		if _, err := proto.Marshal(res); err != nil { // would be a gRPC error
			t.Fatal(err)
		}
	})
}

// Whatever bytes arrive as a CheckRequest, the answer is explicit.
func FuzzCheck(f *testing.F) {
	for _, path := range []string{"/public", "/private", "//", ""} {
		b, err := proto.Marshal(checkRequest(path, true, "authorization", "Bearer x"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	s := &Server{Current: authorizer}
	f.Fuzz(func(t *testing.T, b []byte) {
		var req authv3.CheckRequest
		if proto.Unmarshal(b, &req) != nil {
			return
		}
		res, err := s.Check(t.Context(), &req)
		if err != nil || res.GetStatus() == nil || res.GetHttpResponse() == nil {
			t.Fatalf("%v, %v", res, err)
		}
		if res.GetStatus().GetCode() == 0 && req.GetAttributes().GetRequest().GetHttp().GetPath() == "/private" {
			t.Fatal("a wrong allow")
		}
	})
}
