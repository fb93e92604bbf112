package conformance

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"go.yaml.in/yaml/v4"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/extauthz"
)

// foreign is a policy that was written for opa-envoy-plugin, with requests and what must
// come of them.
type foreign struct {
	Name   string `yaml:"name"`
	Clause string `yaml:"clause"` // where the behaviour is documented
	Path   string `yaml:"path"`
	Config string `yaml:"config"` // more members of policy
	Policy string `yaml:"policy"`
	// Unvalidated leaves validate_mutations of Envoy off, which permits query parameters
	// of letters, digits and marks only.
	Unvalidated bool `yaml:"unvalidated"`
	BytesOnly   bool `yaml:"bytes_only"` // it needs bodies as bytes

	Each  *foreignCase  `yaml:"each"` // what comes of every member of forms that no case names
	Cases []foreignCase `yaml:"cases"`
}

type foreignCase struct {
	ID         string            `yaml:"id"`
	Method     string            `yaml:"method"`
	Target     string            `yaml:"target"`
	Headers    []string          `yaml:"headers"`
	Body       string            `yaml:"body"`
	BodySize   int               `yaml:"body_size"` // of a JSON text
	Extensions map[string]string `yaml:"extensions"`

	Allow   bool    `yaml:"allow"`
	Status  int     `yaml:"status"`
	Reason  string  `yaml:"reason"`
	BodyIs  *string `yaml:"body_is"`
	BodyHas string  `yaml:"body_has"`
	// headers to the client: a regular expression; empty must not be there
	Answer map[string]string `yaml:"answer"`
	// all values of headers to the client, of an allow through Envoy only
	Answers  map[string][]string `yaml:"answers"`
	Upstream map[string]string   `yaml:"upstream"` // headers that the application gets; empty must not be there
	Query    map[string][]string `yaml:"query"`    // the query that the application gets, where Envoy edits it
	Metadata map[string]any      `yaml:"metadata"`
	// the status of Envoy's own answer, which is then judged by its headers alone
	EnvoySelf int `yaml:"envoy_self"`
}

var form = regexp.MustCompile(`(?m)^forms\["([^"]+)"\]`)

func loadForeign(t *testing.T) []foreign {
	t.Helper()
	var all []foreign
	names, err := filepath.Glob("testdata/opa-envoy/*.yaml")
	if err != nil || len(names) == 0 {
		t.Fatal("no cases", err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var list []foreign
		d := yaml.NewDecoder(bytes.NewReader(text))
		d.KnownFields(true)
		if err := d.Decode(&list); err != nil {
			t.Fatal(name, err)
		}
		all = append(all, list...)
	}
	for i, f := range all {
		for _, m := range form.FindAllStringSubmatch(f.Policy, -1) {
			named := slices.ContainsFunc(all[i].Cases, func(c foreignCase) bool { return c.Target == "/"+m[1] })
			if f.Each != nil && !named {
				c := *f.Each
				c.ID, c.Target = "form-"+m[1], "/"+m[1]
				all[i].Cases = append(all[i].Cases, c)
			}
		}
	}
	return all
}

// foreignRig writes the policies and makes the tokens.
func foreignRig(t *testing.T, all []foreign) (*Rig, map[string]string) {
	t.Helper()
	s := Suite{Fixtures: map[string]Fixture{}}
	for _, f := range all {
		more := f.Config
		if !strings.Contains(more, "timeout") {
			more = strings.TrimPrefix(more+", timeout: 5s", ", ")
		}
		if f.Path != "" {
			more += ", path: " + f.Path
		}
		s.Fixtures[f.Name] = Fixture{Policy: f.Policy,
			Config: fmt.Sprintf("policy: { compat: opa-envoy, paths: [%s.rego], %s }\n", f.Name, more)}
	}
	r, err := NewRig(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	if err := os.WriteFile(filepath.Join(r.dir, "bank.pb"), bank(t), 0o600); err != nil {
		t.Fatal(err)
	}
	now := time.Now().Unix()
	claims := func(role, sub string, nbf, exp int64) map[string]any {
		return map[string]any{"role": role, "sub": base64.RawURLEncoding.EncodeToString([]byte(sub)), "nbf": nbf,
			"exp": exp}
	}
	tokens := map[string]string{
		"guest":   shared("secret", claims("guest", "alice", now-60, now+3600)),
		"admin":   shared("secret", claims("admin", "bob", now-60, now+3600)),
		"expired": shared("secret", claims("guest", "alice", now-3600, now-60)),
		"early":   shared("secret", claims("guest", "alice", now+3600, now+7200)),
		"forged":  shared("guess", claims("admin", "bob", now-60, now+3600)),
		"unsigned": strings.Join(append(strings.Split(shared("secret", claims("admin", "bob", now-60, now+3600)),
			".")[:2], ""), "."),
	}
	for name, token := range map[string]Token{
		"password": {Claims: map[string]any{"acr": "urn:example:loa:1"}},
		"mfa":      {Claims: map[string]any{"acr": "urn:example:loa:2"}},
		"old":      {Claims: map[string]any{"acr": "urn:example:loa:2"}, AuthAge: "10m"}, "rogue": {Key: "rogue"},
		"payer": {Claims: map[string]any{"acr": "urn:example:loa:2", "scope": "pay"}},
	} {
		authorization, err := r.mint(Request{Token: &token})
		if err != nil {
			t.Fatal(err)
		}
		tokens[name] = strings.TrimPrefix(authorization, "Bearer ")
	}
	return r, tokens
}

// bank returns the descriptors of a service, as protoc writes them.
func bank(t *testing.T) []byte {
	t.Helper()
	kind, label := descriptorpb.FieldDescriptorProto_TYPE_INT64, descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL
	method := func(name string) *descriptorpb.MethodDescriptorProto {
		return &descriptorpb.MethodDescriptorProto{Name: &name, InputType: proto.String(".bank.Order"),
			OutputType: proto.String(".bank.Order")}
	}
	text, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{{
		Name: proto.String("bank.proto"), Package: proto.String("bank"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{
			{Name: proto.String("Order"), Field: []*descriptorpb.FieldDescriptorProto{
				{Name: proto.String("cents_due"), JsonName: proto.String("centsDue"), Number: proto.Int32(1),
					Type:  &kind,
					Label: &label},
			}}},
		Service: []*descriptorpb.ServiceDescriptorProto{
			{Name: proto.String("Teller"), Method: []*descriptorpb.MethodDescriptorProto{
				method("Ping"), method("Pay")}}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// shared returns a JWT that is signed with a shared secret, as the documentation's are.
func shared(secret string, claims map[string]any) string {
	payload, _ := json.Marshal(claims)
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." +
		base64.RawURLEncoding.EncodeToString(payload)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// filled returns c with tokens in place of their names.
func (c foreignCase) filled(tokens map[string]string) foreignCase {
	fill := func(s string) string { return os.Expand(s, func(name string) string { return tokens[name] }) }
	headers := make([]string, len(c.Headers))
	for i, h := range c.Headers {
		headers[i] = fill(h)
	}
	upstream := map[string]string{}
	for name, value := range c.Upstream {
		upstream[name] = fill(value)
	}
	if c.Method == "" {
		c.Method = "GET"
	}
	if c.BodySize > 0 {
		c.Body = `{"firstname":"` + strings.Repeat("x", c.BodySize-16) + `"}`
	}
	c.Headers, c.Upstream = headers, upstream
	return c
}

// seen is what came of a case.
type seen struct {
	allowed  bool
	status   int
	reason   string
	headers  http.Header // to the client
	body     string
	upstream http.Header
	query    url.Values // of the upstream; nil where that is not known
	metadata map[string]any
	envoy    bool
}

func (c foreignCase) judge(t *testing.T, o seen) {
	t.Helper()
	if o.allowed != c.Allow {
		t.Fatalf("let in: %t; want %t (%d %s %s)", o.allowed, c.Allow, o.status, o.reason, o.body)
	}
	if o.envoy && c.EnvoySelf != 0 {
		if o.status != c.EnvoySelf {
			t.Errorf("Envoy answers %d; want %d", o.status, c.EnvoySelf)
		}
		c.judgeHeaders(t, o)
		return
	}
	if !c.Allow && o.status != c.Status {
		t.Errorf("status %d; want %d: %s", o.status, c.Status, o.body)
	}
	if c.Reason != "" && o.reason != c.Reason {
		t.Errorf("reason %q; want %q", o.reason, c.Reason)
	}
	if c.BodyIs != nil && o.body != *c.BodyIs || c.BodyHas != "" && !strings.Contains(o.body, c.BodyHas) {
		t.Errorf("body %q", o.body)
	}
	if c.EnvoySelf == 0 {
		c.judgeHeaders(t, o)
	}
	for name, want := range c.Answers {
		if got := o.headers.Values(name); (o.envoy || !c.Allow) && !slices.Equal(got, want) {
			t.Errorf("answer %s: %q; want %q", name, got, want)
		}
	}
	for name, want := range c.Upstream {
		if got := o.upstream.Values(name); strings.Join(got, "\n") != want || want == "" && len(got) > 0 {
			t.Errorf("the application gets %s: %q; want %q", name, got, want)
		}
	}
	if c.Query != nil && o.query != nil && !reflect.DeepEqual(map[string][]string(o.query), c.Query) {
		t.Errorf("the application gets the query %v; want %v", o.query, c.Query)
	}
	for name, want := range c.Metadata {
		if o.metadata != nil && fmt.Sprint(o.metadata[name]) != fmt.Sprint(number(want)) {
			t.Errorf("metadata %s: %v; want %v", name, o.metadata[name], want)
		}
	}
}

func (c foreignCase) judgeHeaders(t *testing.T, o seen) {
	t.Helper()
	for name, want := range c.Answer {
		got := o.headers.Values(name)
		if ok, err := regexp.MatchString("^(?:"+want+")$", strings.Join(got, "\n")); err != nil || !ok || want == "" &&
			len(got) > 0 {
			t.Errorf("answer %s: %q; want %q", name, got, want)
		}
	}
}

func TestOPAEnvoyInProcess(t *testing.T) {
	all := loadForeign(t)
	r, tokens := foreignRig(t, all)
	n := 0
	for _, f := range all {
		snapshot, err := r.snapshot(t.Context(), f.Name)
		if err != nil {
			t.Fatal(err)
		}
		reason := ""
		a := *snapshot.Authorizer
		a.Observe = func(_ context.Context, r *authz.Record) { reason = string(r.Reason()) }
		for _, c := range f.Cases {
			c = c.filled(tokens)
			n++
			for _, raw := range f.encodings() {
				t.Run(fmt.Sprintf("%s/%s/raw=%t", f.Name, c.ID, raw), func(t *testing.T) {
					req := c.checkRequest(raw)
					res, err := (&extauthz.Server{Current: func() *authz.Authorizer { return &a }}).Check(
						t.Context(), req)
					if err != nil {
						t.Fatal("a decision must not be a gRPC error:", err)
					}
					o := outcomeOf(res, c.Headers)
					o.reason = reason
					c.judge(t, o)
				})
			}
		}
	}
	if n < 120 {
		t.Errorf("only %d cases", n)
	}
}

// encodings says whether headers and bodies come as bytes.
func (f foreign) encodings() []bool {
	if f.BytesOnly {
		return []bool{true}
	}
	return []bool{true, false}
}

// checkRequest returns what Envoy would send.
func (c foreignCase) checkRequest(raw bool) *authv3.CheckRequest {
	const limit = 8192
	body := c.Body
	lines := append([]string{":method: " + c.Method, ":path: " + c.Target, ":authority: app.example.com"}, c.Headers...)
	if body != "" {
		lines = append(lines, fmt.Sprintf("content-length: %d", len(body)))
	}
	lines = append(lines, fmt.Sprintf("x-envoy-auth-partial-body: %t", len(body) > limit))
	h := &authv3.AttributeContext_HttpRequest{Id: "7", Method: c.Method, Host: "app.example.com", Path: c.Target,
		Scheme: "http", Protocol: "HTTP/1.1", Size: int64(len(body))}
	if body = body[:min(limit, len(body))]; raw {
		h.RawBody, h.HeaderMap = []byte(body), &corev3.HeaderMap{}
	} else {
		h.Body, h.Headers = body, map[string]string{}
	}
	for _, line := range lines {
		at := strings.Index(line[1:], ":") + 1
		name, value := strings.ToLower(line[:at]), strings.TrimSpace(line[at+1:])
		switch was, twice := h.Headers[name]; {
		case raw:
			h.HeaderMap.Headers = append(h.HeaderMap.Headers, &corev3.HeaderValue{Key: name, RawValue: []byte(value)})
		case twice:
			h.Headers[name] = was + "," + value
		default:
			h.Headers[name] = value
		}
	}
	peer := func(port uint32) *authv3.AttributeContext_Peer {
		return &authv3.AttributeContext_Peer{
			Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
				Address: "127.0.0.1", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port}}}}}
	}
	jwt, _ := structpb.NewStruct(map[string]any{"verified": map[string]any{"email": "alice@example.com",
		"exp": 1569026124}})
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: peer(40000), Destination: peer(10000), ContextExtensions: c.Extensions,
		Request:         &authv3.AttributeContext_Request{Time: timestamppb.Now(), Http: h},
		MetadataContext: &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{"example.jwt": jwt}},
	}}
}

// outcomeOf reads an answer as Envoy does.
func outcomeOf(res *authv3.CheckResponse, lines []string) seen {
	o := seen{headers: http.Header{}, upstream: http.Header{}, metadata: res.GetDynamicMetadata().AsMap()}
	if res.GetStatus().GetCode() != 0 || res.GetOkResponse() == nil {
		d := res.GetDeniedResponse()
		o.status, o.body = int(d.GetStatus().GetCode()), d.GetBody()
		for _, h := range d.GetHeaders() {
			o.headers.Add(h.GetHeader().GetKey(), h.GetHeader().GetValue())
		}
		return o
	}
	o.allowed = true
	for _, line := range lines {
		name, value := split(line)
		o.upstream.Add(name, value)
	}
	ok := res.GetOkResponse()
	for _, h := range ok.GetHeaders() {
		o.upstream.Set(h.GetHeader().GetKey(), h.GetHeader().GetValue())
	}
	for _, name := range ok.GetHeadersToRemove() {
		o.upstream.Del(name)
	}
	for _, h := range ok.GetResponseHeadersToAdd() {
		o.headers.Add(h.GetHeader().GetKey(), h.GetHeader().GetValue())
	}
	return o
}
