package decisionlog

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/authz"
)

// asked returns a decision about what Envoy reports.
func asked(t *testing.T) *authz.Record {
	t.Helper()
	r := &authz.Record{}
	r.Stages.Evaluated = time.Unix(1, 0)
	r.Request.Attributes = func() map[string]any {
		var o map[string]any
		err := newDecoder([]byte(`{
			"attributes": {
				"request": {"http": {"path": "/pay?q=1", "body": "b", "rawBody": "Yg==", "headerMap": {"headers": [{"key": "cookie"}]}, "headers": {
					":path": "/pay?q=1", "authorization": "a", "cookie": "c", "set_cookie": "c", "X-Forwarded-Client-Cert": "x", "dpop": "d", "proxy-authorization": "p",
					"x-api-key": "k", "referer": "https://x/?q=1", "x-plan": "gold"}}},
				"source": {"principal": "spiffe://a", "certificate": "PEM"}, "contextExtensions": {"team": "web", "api_token": "t"}, "metadataContext": {"filterMetadata": {"f": {"x": 1}}}
			}
		}`)).Decode(&o)
		if err != nil {
			t.Error(err)
		}
		return o
	}
	return r
}

func TestAttributes(t *testing.T) {
	const http = "/input/attributes/request/http/"
	erased := []string{"/input/parsed_query", http + "body", http + "rawBody", "/input/attributes/source/certificate",
		"/input/attributes/metadataContext", http + "headers/referer", http + "headers/x-api-key",
		"/input/attributes/contextExtensions/api_token"}
	for name, v := range map[string]struct {
		masks  Masks
		erased []string
		want   string
	}{
		"default": {
			Masks{}, erased,
			`{"attributes":{"contextExtensions":{"team":"web"},"request":{"http":{"headers":{":path":"/pay","x-plan":"gold"},"path":"/pay"}},"source":{"principal":"spiffe://a"}},"parsed_path":["pay"],"source_principal":"spiffe://a","version":{"encoding":"protojson","ext_authz":"v3"}}`},
		"more": {Masks{More: []string{http + "headers/x-plan"}}, slices.Insert(slices.Clone(erased), 5,
			http+"headers/x-plan"),
			`{"attributes":{"contextExtensions":{"team":"web"},"request":{"http":{"headers":{":path":"/pay"},"path":"/pay"}},"source":{"principal":"spiffe://a"}},"parsed_path":["pay"],"source_principal":"spiffe://a","version":{"encoding":"protojson","ext_authz":"v3"}}`},
		"keep, but no credential": {Masks{Keep: []string{"/input/parsed_query", "/input/attributes"}}, nil,
			`{"attributes":{"contextExtensions":{"api_token":"t","team":"web"},"metadataContext":{"filterMetadata":{"f":{"x":1}}},"request":{"http":{"body":"b","headers":{":path":"/pay?q=1","referer":"https://x/?q=1","x-api-key":"k","x-plan":"gold"},"path":"/pay?q=1","rawBody":"Yg=="}},"source":{"certificate":"PEM","principal":"spiffe://a"}},"parsed_path":["pay"],"parsed_query":{"q":["1"]},"source_principal":"spiffe://a","version":{"encoding":"protojson","ext_authz":"v3"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			is, erased, ok := Attributes(asked(t), v.masks)
			text, err := json.Marshal(is)
			if err != nil || !ok {
				t.Fatal(ok, err)
			}
			if string(text) != v.want {
				t.Errorf("%s;\nwant %s", text, v.want)
			}
			if !reflect.DeepEqual(erased, v.erased) {
				t.Errorf("erased %v;\nwant   %v", erased, v.erased)
			}
		})
	}
	unread, unasked := asked(t), asked(t)
	unread.Request.Attributes = func() map[string]any {
		return map[string]any{"x": "secret", "attributes": map[string]any{
			"request": map[string]any{"http": map[string]any{"path": "/%zz"}}}}
	}
	unasked.Stages.Evaluated = time.Time{}
	for _, r := range []*authz.Record{unread, unasked, {}} {
		if is, _, ok := Attributes(r, Masks{}); ok || is != nil {
			t.Errorf("%v of nothing", is)
		}
	}
}
