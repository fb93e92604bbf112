//lint:file-ignore SA1019 the field that Envoy reads for request headers is the deprecated one

package extauthz

import (
	"context"
	"crypto/rand"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/response"
	"github.com/stepward/stepward/pkg/stepup"
	jwtoken "github.com/stepward/stepward/pkg/token"
)

type nobody struct{}

func (nobody) Verify(context.Context, request.Request, credential.Credential) (*jwtoken.Token, error) {
	return nil, &jwtoken.Error{Code: jwtoken.BadSignature}
}

// open lets /public in and needs a token elsewhere; /panic panics.
type open struct{}

func (open) Traits() policy.Traits {
	return policy.Traits{Revision: "r1", RequestHeaders: []string{"x-tenant"}}
}
func (open) Evaluate(ctx context.Context, in policy.Input) (policy.Result, error) {
	switch in.Request.Path {
	case "/public":
		return policy.Result{Require: []stepup.Requirement{{Level: "anonymous"}}, Response: map[string][]string{
			"set-cookie": {"a=1", "b=2"}, "x-a": {"1"}}}, nil
	case "/panic":
		panic("in the policy")
	}
	return policy.Result{Require: []stepup.Requirement{{Level: "authenticated"}}}, nil
}

func authorizer() *authz.Authorizer {
	return &authz.Authorizer{
		Verifier: nobody{}, Policy: open{}, Answers: authz.Answers{Names: response.NewNames("x-stepward-")},
		Deadline: time.Second, Now: func() time.Time { return time.Unix(1, 0) }, Rand: rand.Reader,
	}
}

// dial serves s over a real connection.
func dial(t testing.TB, s *Server) authv3.AuthorizationClient {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(ServerOption())
	Register(server, s)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return authv3.NewAuthorizationClient(conn)
}

func checkRequest(path string, raw bool, headers ...string) *authv3.CheckRequest {
	http := &authv3.AttributeContext_HttpRequest{Method: "GET", Path: path, Host: "app.example.com", Scheme: "https",
		Headers: map[string]string{}}
	if raw {
		http.HeaderMap = &corev3.HeaderMap{}
	}
	for i := 0; i < len(headers); i += 2 {
		if raw {
			http.HeaderMap.Headers = append(http.HeaderMap.Headers, &corev3.HeaderValue{
				Key: headers[i], RawValue: []byte(headers[i+1])})
		} else {
			http.Headers[headers[i]] = headers[i+1]
		}
	}
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{
		Http: http}}}
}

// Whatever is missing at whatever depth, the answer is a denied response.
func TestMissingAttributes(t *testing.T) {
	client := dial(t, &Server{Current: authorizer})
	for name, req := range map[string]*authv3.CheckRequest{
		"everything": {},
		"request":    {Attributes: &authv3.AttributeContext{}},
		"http":       {Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{}}},
		"path": {Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{
			Http: &authv3.AttributeContext_HttpRequest{Method: "GET", Host: "a.test"}}}},
		"host": {Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{
			Http: &authv3.AttributeContext_HttpRequest{Method: "GET", Path: "/public"}}}},
		"method": {Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{
			Http: &authv3.AttributeContext_HttpRequest{Host: "a.test", Path: "/public"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			res, err := client.Check(t.Context(), req)
			if err != nil || res.GetStatus().GetCode() == 0 || res.GetDeniedResponse().GetStatus().GetCode() != 400 {
				t.Errorf("%v, %v", res, err)
			}
		})
	}
	if res, err := client.Check(t.Context(), checkRequest("/public", false)); err != nil ||
		res.GetStatus().GetCode() != 0 || res.GetOkResponse() == nil {
		t.Errorf("the next good request: %v, %v", res, err)
	}
}

// Both header encodings get the same answer but for its id.
func TestEncodingsAgree(t *testing.T) {
	client := dial(t, &Server{Current: authorizer})
	for _, headers := range [][]string{
		{}, {"authorization", "Bearer x"}, {"authorization", "Bearer x,Bearer y"},
		{"x-stepward-subject", "root", "x_stepward_acr", "root", "x-tenant", "t"},
		{"sec-fetch-mode", "navigate", "sec-fetch-dest", "document", "accept", "text/html"},
		{"content-type", "application/grpc"},
	} {
		for _, path := range []string{"/public", "/private", "//x", "/panic"} {
			var answers []*authv3.CheckResponse
			for _, raw := range []bool{false, true} {
				s := &Server{Current: func() *authz.Authorizer {
					a := authorizer()
					a.Rand = strings.NewReader("0123456789abcdef")
					return a
				}}
				res, err := s.Check(t.Context(), checkRequest(path, raw, headers...))
				if err != nil {
					t.Fatal(err)
				}
				answers = append(answers, res)
			}
			if !proto.Equal(answers[0], answers[1]) {
				t.Errorf("%s %q:\n%v\n%v", path, headers, answers[0], answers[1])
			}
		}
	}
	if _, err := client.Check(t.Context(), checkRequest("/public", true)); err != nil {
		t.Error(err)
	}
}

func TestNotReadyPanicAndEndedContext(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	late, end := context.WithCancel(t.Context())
	defer end()
	panicked := false
	for name, v := range map[string]struct {
		ctx     context.Context
		current func() *authz.Authorizer
	}{
		"not ready":     {t.Context(), func() *authz.Authorizer { return nil }},
		"a panic":       {t.Context(), func() *authz.Authorizer { panic("no snapshot") }},
		"ended context": {ended, authorizer},
		"ended once it was decided": {late, func() *authz.Authorizer {
			a := authorizer()
			a.Observe = func(context.Context, *authz.Record) { end() }
			return a
		}},
	} {
		s := &Server{Current: v.current, OnPanic: func(any) { panicked = true }}
		res, err := s.Check(v.ctx, checkRequest("/public", false))
		if err != nil || res.GetStatus().GetCode() == 0 || res.GetDeniedResponse().GetStatus().GetCode() != 503 {
			t.Errorf("%s: %v, %v", name, res, err)
		}
	}
	if !panicked {
		t.Error("nobody is told of a panic")
	}
	if res, err := (&Server{Current: authorizer}).Check(t.Context(), nil); err != nil ||
		res.GetStatus().GetCode() == 0 {
		t.Errorf("nil request: %v, %v", res, err)
	}
}

func TestDecode(t *testing.T) {
	route, err := structpb.NewStruct(map[string]any{"level": "mfa", "max_age": 300, "deep": map[string]any{
		"list": []any{true, nil, "x"}}})
	if err != nil {
		t.Fatal(err)
	}
	req := checkRequest("/a?b", false, partialBody, "true", "x-a", "1")
	a := req.Attributes
	a.Request.Http.Id, a.Request.Http.Size, a.Request.Http.Body = "id-1", 11, "half"
	a.Source = &authv3.AttributeContext_Peer{Principal: "spiffe://x", Certificate: "cert", Address: &corev3.Address{
		Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{Address: "10.0.0.1"}}}}
	a.TlsSession = &authv3.AttributeContext_TLSSession{Sni: "app.example.com"}
	a.ContextExtensions = map[string]string{"stepward.level": "mfa"}
	a.RouteMetadataContext = &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{"stepward": route}}
	raw := decode(req)
	if raw.ID != "id-1" || raw.Size != 11 || raw.Source.Address != "10.0.0.1" || raw.Source.Principal != "spiffe://x" ||
		raw.SNI != "app.example.com" ||
		raw.Route.Extensions["stepward.level"] != "mfa" || raw.Route.Metadata["stepward"]["max_age"] != 300.0 ||
		!raw.Body.Present || !raw.Body.Truncated || string(raw.Body.Bytes) != "half" {
		t.Errorf("%+v", raw)
	}
	a.Request.Http.Headers[partialBody] = "false"
	a.Request.Http.RawBody = []byte("raw")
	if raw := decode(req); raw.Body.Truncated || string(raw.Body.Bytes) != "raw" {
		t.Errorf("%+v", raw.Body)
	}
	delete(a.Request.Http.Headers, partialBody)
	if raw := decode(req); raw.Body.Present {
		t.Error("a body that Envoy did not announce is believed")
	}
	if _, err := ParseCheckRequest([]byte(`{"attributes":{"request":{"http":{"path":"/x"}}}}`)); err != nil {
		t.Error(err)
	}
	if _, err := ParseCheckRequest([]byte(`{"atributes":{}}`)); err == nil {
		t.Error("an unknown field is accepted")
	}
}

// Which append form where decides what arrives behind Envoy.
func TestAppendForms(t *testing.T) {
	ok := decoded(t, response.Response{Kind: response.Allow, Set: []request.Field{{Name: "x-a", Value: "1"}},
		Remove: []string{"x-b"},
		Add: []request.Field{{Name: "set-cookie", Value: "a"},
			{Name: "cache-control", Value: "no-store"}}}).GetOkResponse()
	if h := ok.GetHeaders()[0]; h.GetAppend() == nil || h.GetAppend().GetValue() ||
		h.GetAppendAction() != corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD {
		t.Errorf("request header: %v", h)
	}
	if h := ok.GetResponseHeadersToAdd()[0]; h.GetAppend() != nil || h.GetAppendAction() != 0 {
		t.Errorf("cookie: %v", h)
	}
	if h := ok.GetResponseHeadersToAdd()[1]; h.GetAppendAction() != corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD {
		t.Errorf("response header: %v", h)
	}
	denied := decoded(t, response.Response{Status: 401, Headers: []request.Field{{Name: "www-authenticate", Value: "a"},
		{Name: "www-authenticate", Value: "b"}}})
	for _, h := range denied.GetDeniedResponse().GetHeaders() {
		if h.GetAppend() != nil || h.GetAppendAction() != 0 {
			t.Errorf("header of a refusal: %v", h)
		}
	}
	if len(denied.GetDeniedResponse().GetHeaders()) != 2 {
		t.Error("two challenges do not both arrive")
	}
}

// What could be misread is answered by the fixed refusal.
func TestOutputGuard(t *testing.T) {
	f := func(name, value string) []request.Field { return []request.Field{{Name: name, Value: value}} }
	for name, r := range map[string]response.Response{
		"zero":                       {},
		"deny 200":                   {Status: 200},
		"deny 204":                   {Status: 204},
		"serve 204 with a body":      {Kind: response.Serve, Status: 204, Body: "x"},
		"serve 401":                  {Kind: response.Serve, Status: 401},
		"allow 200":                  {Kind: response.Allow, Status: 200},
		"no kind":                    {Kind: response.Serve + 1, Status: 200},
		"deny 600":                   {Status: 600},
		"deny 101":                   {Status: 101},
		"CR LF in a refusal":         {Status: 401, Headers: f("x-a", "a\r\nset-cookie: x")},
		"NUL in a request header":    {Kind: response.Allow, Set: f("x-a", "a\x00")},
		"DEL in a response header":   {Kind: response.Allow, Add: f("x-a", "a\x7f")},
		"pseudo header":              {Kind: response.Allow, Set: f(":path", "/admin")},
		"host":                       {Kind: response.Allow, Set: f("host", "x")},
		"upper case":                 {Kind: response.Allow, Set: f("X-A", "x")},
		"content-length":             {Kind: response.Allow, Set: f("content-length", "1")},
		"proxy's header":             {Kind: response.Allow, Set: f("x-envoy-retry-on", "x")},
		"space in a name":            {Status: 401, Headers: f("x a", "1")},
		"not UTF-8":                  {Status: 401, Headers: f("x-a", "\xff")},
		"empty name":                 {Status: 401, Headers: f("", "1")},
		"set and removed":            {Kind: response.Allow, Set: f("x-a", "1"), Remove: []string{"x-a"}},
		"removes host":               {Kind: response.Allow, Remove: []string{"host"}},
		"removes what is not a name": {Kind: response.Allow, Remove: []string{"a\r\nb"}},
	} {
		res := decoded(t, r)
		if res.GetStatus().GetCode() == 0 || res.GetDeniedResponse().GetStatus().GetCode() != 503 {
			t.Errorf("%s: %v", name, res)
		}
	}
	if res := decoded(t, response.Response{Kind: response.Serve, Status: 204}); res.GetStatus().GetCode() == 0 ||
		res.GetDeniedResponse().GetStatus().GetCode() != 204 {
		t.Errorf("preflight: %v", res)
	}
}

// Every status of every kind: only an allow is OK to Envoy, and only a served answer has a
// success status.
func TestKinds(t *testing.T) {
	for status := -1; status <= 700; status++ {
		for kind := response.Refuse - 1; kind <= response.Serve+1; kind++ {
			r := response.Response{Kind: kind, Status: status}
			res := decoded(t, r)
			allowed := res.GetStatus().GetCode() == int32(codes.OK)
			if allowed != (kind == response.Allow && status == 0) || allowed != (res.GetOkResponse() != nil) {
				t.Fatalf("kind %d, status %d: %v", kind, status, res)
			}
			if got := int(res.GetDeniedResponse().GetStatus().GetCode()); !allowed && got < 300 &&
				(kind != response.Serve || got != status) {
				t.Fatalf("kind %d, status %d is answered with %d", kind, status, got)
			}
			if got := int(res.GetDeniedResponse().GetStatus().GetCode()); r.Sound() && !allowed && got != status {
				t.Fatalf("kind %d, status %d is answered with %d", kind, status, got)
			}
		}
	}
}

// Nobody makes a CheckResponse but encode, as bytes: the only place where one is made of
// types is where Check reads those bytes.
func TestOneConstructor(t *testing.T) {
	read := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") ||
			strings.Contains(path, ".tools") || strings.Contains(path, "internal") { // what measures and tests is not shipped
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, made := range []string{"CheckResponse{", "OkHttpResponse{", "CheckResponse_OkResponse{"} {
			if strings.Contains(string(text), "v3."+made) {
				t.Errorf("%s makes a %s", path, made)
			}
		}
		if n := strings.Count(string(text), "new(authv3.CheckResponse)"); n > 0 {
			if read += n; filepath.Base(path) != "server.go" {
				t.Errorf("%s makes a CheckResponse", path)
			}
		}
		return nil
	})
	if err != nil || read != 1 {
		t.Errorf("%d places, %v", read, err)
	}
}
