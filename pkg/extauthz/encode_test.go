package extauthz

import (
	"encoding/json"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/response"
)

// What is set and removed of a query arrives as it is meant, whatever it holds.
func TestQuery(t *testing.T) {
	ok := decoded(t, response.Response{Kind: response.Allow, SetQuery: []request.Field{{Name: "a b", Value: "x&y=1+2 é"}},
		RemoveQuery: []string{"c&d"}}).GetOkResponse()
	set, removed := ok.GetQueryParametersToSet(), ok.GetQueryParametersToRemove()
	if len(set) != 1 || set[0].GetKey() != "a%20b" || set[0].GetValue() != "x%26y%3D1%2B2%20%C3%A9" ||
		len(removed) != 1 || removed[0] != "c%26d" {
		t.Errorf("%v, %v", set, removed)
	}
}

// A policy that was written for another service adds its response headers to the
// upstream's.
func TestAddBeside(t *testing.T) {
	for beside, want := range map[bool]corev3.HeaderValueOption_HeaderAppendAction{
		true:  corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD,
		false: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	} {
		r := response.Response{Kind: response.Allow, Add: []request.Field{{Name: "x-a", Value: "1"}}, AddBeside: beside}
		if got := decoded(t, r).GetOkResponse().GetResponseHeadersToAdd()[0].GetAppendAction(); got != want {
			t.Errorf("beside %v: %s", beside, got)
		}
	}
}

// Metadata of any kind reaches the access log, and what does not fit is left out.
func TestMetadata(t *testing.T) {
	got := decoded(t, response.Response{Status: 403, Metadata: map[string]any{
		"text": "a\xff", "yes": true, "number": 1.5, "json": json.Number("7"), "nothing": nil, "list": []any{
			"a", 1, nil},
		"object": map[string]any{"deep": "x"}, "no number": json.Number("x"), "no such type": 1, "k\xff": "v",
	}}).GetDynamicMetadata().GetFields()
	for name, want := range map[string]any{"text": "a?", "yes": true, "number": 1.5, "json": 7.0, "nothing": nil,
		"k?": "v"} {
		if v, there := got[name]; !there || v.AsInterface() != want {
			t.Errorf("%s: %v; want %v", name, v, want)
		}
	}
	if list := got["list"].GetListValue().GetValues(); len(list) != 2 ||
		got["object"].GetStructValue().GetFields()["deep"].GetStringValue() != "x" {
		t.Errorf("%v", got)
	}
	if len(got) != 8 {
		t.Errorf("what has no form is shown: %v", got)
	}
	large := map[string]any{"large": strings.Repeat("x", maxMetadata)}
	shown := func(m map[string]any) map[string]*structpb.Value {
		return read(t, encode(response.Response{Status: 403, Metadata: m})).GetDynamicMetadata().GetFields()
	}
	one, two := shown(large), shown(map[string]any{"o": []any{large, "late", large}})
	if len(one) != 1 || len(two["o"].GetListValue().GetValues()) != 1 {
		t.Errorf("%d members beyond the budget", len(two["o"].GetListValue().GetValues()))
	}
	if decoded(t, response.Response{Status: 403}).GetDynamicMetadata() != nil {
		t.Error("metadata of nothing")
	}
}

// A value may be sent as text or as bytes; the bytes count.
func TestHeaderValue(t *testing.T) {
	for _, v := range []struct {
		header *corev3.HeaderValue
		want   string
	}{
		{&corev3.HeaderValue{Value: "text"}, "text"},
		{&corev3.HeaderValue{RawValue: []byte("bytes")}, "bytes"},
		{&corev3.HeaderValue{Value: "text", RawValue: []byte("bytes")}, "bytes"},
		{&corev3.HeaderValue{}, ""},
	} {
		if got := value(v.header); got != v.want {
			t.Errorf("%v: %q; want %q", v.header, got, v.want)
		}
	}
}
