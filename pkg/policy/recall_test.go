package policy_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"

	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/token"
)

// asJSON is v as it comes back from a file.
func asJSON(t testing.TB, v any) map[string]any {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var o map[string]any
	if err := d.Decode(&o); err != nil {
		t.Fatal(err)
	}
	return o
}

// A policy sees the same in a logged input as it saw in the request.
func TestParseInput(t *testing.T) {
	for name, raw := range map[string]request.Raw{
		"least": {Method: "GET", Host: "app.example.com", Target: "/"},
		"most": {
			ID: "r1", Method: "POST", Host: "App.Example.com:8443", Target: "/a%20b/c/?x=1&x=2&y", Scheme: "https",
			Protocol: "HTTP/2", Size: 11, SNI: "app.example.com",
			Headers: []request.Field{{Name: "x-plan", Value: "gold"}, {Name: "x-plan", Value: "old"},
				{Name: "content-type", Value: "application/json"}, {Name: "authorization", Value: "Bearer x"}},
			Body:   request.RawBody{Present: true, Bytes: []byte(`{"amount":12.50,"to":["a"]}`)},
			Source: request.Source{Address: "10.0.0.1", Principal: "spiffe://example.com/web", Certificate: "PEM"},
			Route: request.Route{Extensions: map[string]string{"stepward.level": "mfa"},
				Metadata: map[string]map[string]any{"stepward": {"max_age": 300.0}}},
		},
		"form": {Method: "POST", Host: "app.example.com", Target: "/login", Headers: []request.Field{
			{Name: "content-type", Value: "application/x-www-form-urlencoded"}}, Body: request.RawBody{
			Present: true, Bytes: []byte("a=1&a=2")}},
	} {
		asked, err := request.New(raw, request.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, who := range []*token.Token{nil, {
			Issuer: "https://idp.example.com", IssuerName: "corp", Subject: "alice", ClientID: "web",
			Principal: token.User, Scheme: credential.DPoP, Audience: []string{"a", "b"},
			Scopes: []string{"pay"}, Proofs: []token.Proof{{ACR: "2", AMR: []string{"pwd", "otp"}}},
			SenderConstrained: true, Claims: map[string]any{"roles": []any{"admin"}, "n": json.Number("7")},
		}, {Issuer: "https://idp.example.com", Principal: token.Client, Scheme: credential.Bearer,
			Claims: map[string]any{}}} {
			in := policy.Input{Request: asked, Token: who}
			if who != nil {
				in.Levels = []string{"authenticated", "mfa"}
			}
			written := asJSON(t, in.Document("x-stepward-"))
			again, err := policy.ParseInput(written)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if is := asJSON(t, again.Document("x-stepward-")); !reflect.DeepEqual(is, written) {
				t.Errorf("%s:\n is  %v\n was %v", name, is, written)
			}
		}
	}
	for _, broken := range []string{
		`{}`, `{"request":[]}`, `{"request":{"method":7}}`, `{"request":{"segments":"a"}}`,
		`{"request":{"segments":[1]}}`, `{"request":{"query":{"a":"b"}}}`, `{"request":{"size":"big"}}`,
		`{"request":{},"token":"alice"}`, `{"request":{},"token":{"claims":[]}}`,
		`{"request":{},"token":{"levels":"mfa"}}`, `{"request":{},"route":{"metadata":{"stepward":"mfa"}}}`,
		`{"request":{},"route":{"extensions":{"stepward.level":1}}}`,
	} {
		var o map[string]any
		if err := json.Unmarshal([]byte(broken), &o); err != nil {
			t.Fatal(err)
		}
		if in, err := policy.ParseInput(o); err == nil {
			t.Errorf("%s is an input: %+v", broken, in)
		}
	}
}
