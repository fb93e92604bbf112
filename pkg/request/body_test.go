package request_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/request"
)

// sent is a POST of a body, with headers as "name: value".
func sent(body string, headers ...string) request.Raw {
	raw := request.Raw{Method: "POST", Host: "app.example.com", Target: "/", Scheme: "https", Protocol: "HTTP/1.1",
		Size: int64(len(body)),
		Body: request.RawBody{Present: true, Bytes: []byte(body)}}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		raw.Headers = append(raw.Headers, request.Field{Name: name, Value: value})
	}
	return raw
}

// withheld is a request of which the proxy has sent no body.
func withheld(method, protocol string, headers ...string) request.Raw {
	raw := sent("", headers...)
	raw.Method, raw.Protocol, raw.Size, raw.Body = method, protocol, -1, request.RawBody{}
	return raw
}

const asJSON, asForm = "content-type: application/json", "content-type: application/x-www-form-urlencoded"

func cutOff(raw request.Raw) request.Raw {
	raw.Body.Truncated = true
	return raw
}

func TestBodyState(t *testing.T) {
	large := `{"x":"` + strings.Repeat("x", request.MaxBody) + `"}`
	for i, v := range []struct {
		raw  request.Raw
		want request.BodyState
	}{
		{sent(`{}`, asJSON), request.BodyJSON},
		{sent(`{}`, "content-type: Application/JSON; Charset=UTF-8"), request.BodyJSON},
		{sent(`{}`, `content-type: application/json;charset="utf-8"`), request.BodyJSON},
		{sent(`{}`, "content-type: application/json; profile=x"), request.BodyJSON},
		{sent(`{}`, "content-type: text/json"), request.BodyJSON},
		{sent(`{}`, "content-type: x/json"), request.BodyJSON},
		{sent(`{}`, "content-type: application/vnd.api+json"), request.BodyJSON},
		{sent(`{}`, "content-type: model/gltf+json"), request.BodyJSON},
		{sent(`null`, asJSON), request.BodyJSON},
		{sent(`{}`, asJSON, "content-encoding: identity"), request.BodyJSON},
		{sent(`{}`, asJSON, "transfer-encoding: chunked"), request.BodyJSON},
		{sent(`{}`, asJSON, "content-length: 2"), request.BodyJSON},
		{sent(`a=1`, asForm), request.BodyForm},
		{sent(`a=1`, asForm+"; charset=utf-8"), request.BodyForm},

		{sent(``), request.BodyNone},
		{sent(``, asJSON), request.BodyNone},
		{sent(``, asJSON, "content-length: 0"), request.BodyNone},
		{withheld("GET", "HTTP/1.1"), request.BodyNone},
		{withheld("GET", "HTTP/2"), request.BodyNone},
		{withheld("DELETE", "HTTP/2"), request.BodyNone},
		{withheld("POST", "HTTP/1.1"), request.BodyNone},
		{withheld("POST", "HTTP/1.1", "content-length: 0"), request.BodyNone},
		{withheld("POST", "HTTP/2", "content-length: 0", asJSON), request.BodyNone},

		{withheld("POST", "HTTP/1.1", "content-length: 7"), request.BodyTruncated},
		{withheld("GET", "HTTP/1.1", "content-length: 7"), request.BodyTruncated},
		{withheld("GET", "HTTP/1.1", "transfer-encoding: chunked"), request.BodyTruncated},
		{withheld("POST", "HTTP/1.1", "content-length: x"), request.BodyTruncated},
		{withheld("POST", "HTTP/1.1", "content-length: 0", "content-length: 5"), request.BodyTruncated},
		{withheld("POST", "HTTP/2", asJSON), request.BodyTruncated},
		{withheld("FOO", "HTTP/3"), request.BodyTruncated},
		{withheld("POST", "HTTP/2", "content-type: application/grpc"), request.BodyTruncated},
		{cutOff(sent(`{}`, asJSON)), request.BodyTruncated},
		{cutOff(sent(``, asJSON)), request.BodyTruncated},
		{sent(`{}`, asJSON, "content-length: 3"), request.BodyTruncated},
		{sent(``, asJSON, "content-length: 3"), request.BodyTruncated},
		{sent(`{}`, asJSON, "content-length: -1"), request.BodyTruncated},

		{sent(`{}`, asJSON, "content-encoding: gzip"), request.BodyEncoding},
		{sent(`{}`, asJSON, "content-encoding: identity, gzip"), request.BodyEncoding},
		{sent(`{}`, asJSON, "content-encoding: identity", "content-encoding: br"), request.BodyEncoding},
		{sent(`{}`, asJSON, "content-encoding: x"), request.BodyEncoding},
		{sent(`{}`, asJSON, "content_encoding: gzip"), request.BodyEncoding},
		{sent(`{}`, asJSON, "transfer-encoding: gzip, chunked"), request.BodyEncoding},

		{sent(`{}`), request.BodyContentType},
		{sent(`{}`, "content-type: "), request.BodyContentType},
		{sent(`{}`, "content-type: text/plain"), request.BodyContentType},
		{sent(`{}`, "content-type: json"), request.BodyContentType},
		{sent(`{}`, "content-type: application/jsonp"), request.BodyContentType},
		{sent(`{}`, "content-type: application/x-json"), request.BodyContentType},
		{sent(`{}`, "content-type: multipart/form-data; boundary=b"), request.BodyContentType},
		{sent(`{}`, "content-type: application/grpc"), request.BodyContentType},
		{sent(`{}`, "content-type: application/json; charset=utf-16"), request.BodyContentType},
		{sent(`{}`, "content-type: application/json; charset=utf-7"), request.BodyContentType},
		{sent(`{}`, "content-type: application/json; charset=utf-8; charset=utf-16"), request.BodyContentType},
		{sent(`{}`, "content-type: application/json; charset*=utf-8''utf-16"), request.BodyContentType},
		{sent(`{}`, "content-type: application/json, text/plain"), request.BodyContentType},
		{sent(`{}`, "content-type: application/json;"+` x="a, b"`), request.BodyContentType},
		{sent(`{}`, asJSON, asJSON), request.BodyContentType},
		{sent(`{}`, asJSON, "content-type: text/plain"), request.BodyContentType},
		{sent(`{}`, asJSON, "content_type: text/plain"), request.BodyContentType},
		{sent(`{}`, asJSON, "Content.Type: text/plain"), request.BodyContentType},
		{sent(`{}`, "content-type: application/json; ="), request.BodyContentType},
		{sent(`a=1`, asForm+"; charset=latin1"), request.BodyContentType},

		{sent(`{`, asJSON), request.BodyMalformed},
		{sent(`{}{}`, asJSON), request.BodyMalformed},
		{sent("\ufeff{}", asJSON), request.BodyMalformed},
		{sent("\"\xff\"", asJSON), request.BodyMalformed},
		{sent(" ", asJSON), request.BodyMalformed},
		{sent("a=1", asJSON), request.BodyMalformed},
		{sent("\x00\x00\x00\x00\x02{}", "content-type: application/grpc+json"), request.BodyMalformed},
		{sent("a=%zz", asForm), request.BodyMalformed},
		{sent("a=%", asForm), request.BodyMalformed},
		{sent("a=1;b=2", asForm), request.BodyMalformed},
		{sent("a=%ff", asForm), request.BodyMalformed},
		{sent("a\xff=1", asForm), request.BodyMalformed},

		{sent(`{"amount":1,"amount":1000}`, asJSON), request.BodyDuplicate},
		{sent(`[{"x":{"y":1,"\u0079":2}}]`, asJSON), request.BodyDuplicate},

		{sent(large, asJSON), request.BodyTooLarge},
		{sent(strings.Repeat("[", 33)+strings.Repeat("]", 33), asJSON), request.BodyTooLarge},
		{sent(`[1e30000]`, asJSON), request.BodyTooLarge},
		{sent("["+strings.Repeat("1,", 70_000)+"1]", asJSON), request.BodyTooLarge},
		{sent(strings.Repeat("a&", 1000)+"a", asForm), request.BodyTooLarge},
	} {
		r, err := request.New(v.raw, request.Options{})
		if err != nil {
			t.Fatal(err)
		}
		b := r.Body
		if b.State != v.want || b.State != request.BodyJSON && b.JSON != nil || b.State != request.BodyForm &&
			b.Form != nil {
			t.Errorf("%d: %v %.40q is %s, want %s", i, v.raw.Headers, v.raw.Body.Bytes, b.State, v.want)
		}
	}
}

func TestBodyValue(t *testing.T) {
	r, err := request.New(sent(`a=1&b=%C3%A9+x&a=2&c&=&`, asForm), request.Options{})
	want := map[string][]string{"a": {"1", "2"}, "b": {"é x"}, "c": {""}, "": {""}}
	if err != nil || !reflect.DeepEqual(r.Body.Form, want) {
		t.Errorf("%v, %v", r.Body.Form, err)
	}
	r, err = request.New(sent(`{"a":[1]}`, asJSON), request.Options{})
	if err != nil || fmt.Sprint(r.Body.JSON) != "map[a:[1]]" {
		t.Errorf("%v, %v", r.Body.JSON, err)
	}
}

// A body is JSON, a form, or a state that says why not; nothing of it is left over.
func FuzzBody(f *testing.F) {
	for _, media := range []string{"application/json", "text/json; charset=utf-8", "a/b+json",
		"application/x-www-form-urlencoded", "", "application/json, x"} {
		f.Add(media, "", `{"a":1}`)
		f.Add(media, "gzip", `a=1&b=%20`)
	}
	f.Fuzz(func(t *testing.T, media, encoding, body string) {
		raw := sent(body, "content-type: "+media)
		if encoding != "" {
			raw.Headers = append(raw.Headers, request.Field{Name: "content-encoding", Value: encoding})
		}
		r, err := request.New(raw, request.Options{})
		if err != nil {
			return
		}
		b := r.Body
		switch {
		case body == "" && b.State != request.BodyNone, body != "" && b.State == request.BodyNone, b.State == "":
			t.Errorf("%q is %s", body, b.State)
		case (b.JSON != nil || b.Form != nil) && b.State.Unreadable():
			t.Errorf("%s holds %v %v", b.State, b.JSON, b.Form)
		case b.State == request.BodyForm && b.Form == nil:
			t.Error("a form that is nil")
		case !b.State.Unreadable() && encoding != "" && body != "" && !strings.EqualFold(strings.TrimSpace(encoding),
			"identity"):
			t.Errorf("encoded by %q, and %s", encoding, b.State)
		}
	})
}
