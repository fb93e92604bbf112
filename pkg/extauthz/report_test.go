package extauthz

import (
	"fmt"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/stepward/stepward/pkg/request"
)

// What is made of a request that Envoy has not reported reads like one that it has.
func TestReported(t *testing.T) {
	raw := request.Raw{
		ID: "1", Method: "POST", Host: "a.test", Target: "/p?q=1", Scheme: "https", Headers: []request.Field{
			{Name: "content-type", Value: "application/json"}},
		Body: request.RawBody{Present: true, Bytes: []byte(`{"a":1}`)}, Source: request.Source{
			Address: "10.0.0.1", Principal: "p"}, SNI: "a.test",
		Route: request.Route{Extensions: map[string]string{"k": "v"}, Metadata: map[string]map[string]any{
			"ns": {"level": "mfa"}}},
	}
	got := Reported(raw).Attributes()
	for path, want := range map[string]string{
		"attributes.request.http.method": "POST", "attributes.request.http.path": "/p?q=1",
		"attributes.source.address.socketAddress.address":         "10.0.0.1",
		"attributes.contextExtensions.k":                          "v",
		"attributes.routeMetadataContext.filterMetadata.ns.level": "mfa",
		"attributes.tlsSession.sni":                               "a.test",
		"attributes.request.http.headers.:method":                 "POST", "attributes.source.principal": "p",
		"attributes.request.http.rawBody":              "eyJhIjoxfQ==",
		"attributes.request.http.headers.content-type": "application/json",
	} {
		names := strings.Split(path, ".")
		o := at(got, names[:len(names)-1]...)
		if fmt.Sprint(o[names[len(names)-1]]) != want {
			t.Errorf("%s: %v; want %s", path, o, want)
		}
	}
}

// Numbers, names of protocols and lines of one header read as a policy expects them.
func TestReport(t *testing.T) {
	req := checkRequest("/p", true, "x-a", "1", "X-A", "2\xff", "x-b", "3")
	req.Attributes.Request.Http.Size = 11
	req.Attributes.Source = &authv3.AttributeContext_Peer{
		Address: &corev3.Address{Address: &corev3.Address_SocketAddress{
			SocketAddress: &corev3.SocketAddress{Protocol: corev3.SocketAddress_UDP, Address: "10.0.0.1"}}}}
	got := decode(req).Attributes()
	http := at(got, "attributes", "request", "http")
	if headers := at(http, "headers"); headers["x-a"] != "1,2!" || headers["x-b"] != "3" {
		t.Errorf("%v", headers)
	}
	if address := at(got, "attributes", "source", "address", "socketAddress"); http["size"] != int64(11) ||
		address["protocol"] != int64(1) {
		t.Errorf("size %v, address %v", http["size"], address)
	}
	if at(got, "attributes", "nothing", "there") != nil {
		t.Error("something is where nothing is")
	}
}
