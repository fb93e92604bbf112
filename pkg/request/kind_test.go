package request

import (
	"strings"
	"testing"
)

const browserAccept = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"

// Rows as browsers send them, on https and loopback origins and on plain http,
// where there is no Fetch Metadata.
var kindVectors = []struct {
	name    string
	method  string
	headers string // name: value, one a line
	want    Kind
}{
	{"typed URL", "GET", "sec-fetch-mode: navigate\nsec-fetch-dest: document\nsec-fetch-site: none\naccept: " +
		browserAccept, Navigation},
	{"link from another site", "GET",
		"sec-fetch-mode: navigate\nsec-fetch-dest: document\nsec-fetch-site: cross-site\naccept: " + browserAccept,
		Navigation},
	{"form", "POST", "sec-fetch-mode: navigate\nsec-fetch-dest: document\norigin: https://app.example.com\naccept: " +
		browserAccept, Navigation},
	{"service worker passing a navigation on", "GET", "sec-fetch-mode: navigate\nsec-fetch-dest: empty\naccept: " +
		browserAccept, Navigation},
	{"download link", "GET", "sec-fetch-mode: navigate\nsec-fetch-dest: empty", Other},
	{"iframe", "GET", "sec-fetch-mode: navigate\nsec-fetch-dest: iframe\naccept: " + browserAccept, Frame},
	{"object", "GET", "sec-fetch-mode: navigate\nsec-fetch-dest: object\naccept: " + browserAccept, Frame},
	{"prefetch by rules", "GET", "sec-purpose: prefetch\nsec-fetch-mode: navigate\nsec-fetch-dest: document\naccept: " +
		browserAccept, Prefetch},
	{
		"prerender", "GET",
		"sec-purpose: prefetch;prerender\nsec-fetch-mode: navigate\nsec-fetch-dest: document\naccept: " + browserAccept,
		Prefetch},
	{"prefetch by link", "GET", "sec-purpose: prefetch\nsec-fetch-mode: no-cors\nsec-fetch-dest: empty\naccept: " +
		browserAccept, Prefetch},
	{"fetch", "GET", "sec-fetch-mode: cors\nsec-fetch-dest: empty\naccept: */*", Fetch},
	{"fetch that asks for HTML", "GET", "sec-fetch-mode: cors\nsec-fetch-dest: empty\naccept: text/html", Fetch},
	{"fetch no-cors", "GET", "sec-fetch-mode: no-cors\nsec-fetch-dest: empty", Fetch},
	{"event source", "GET", "sec-fetch-mode: cors\nsec-fetch-dest: empty\naccept: text/event-stream", Fetch},
	{"preflight", "OPTIONS", "origin: https://spa.example\naccess-control-request-method: POST\nsec-fetch-mode: cors",
		Preflight},
	{"OPTIONS that is no preflight", "OPTIONS", "origin: https://spa.example\nsec-fetch-mode: cors", Fetch},
	{"image", "GET", "sec-fetch-mode: no-cors\nsec-fetch-dest: image", Subresource},
	{"module script", "GET", "sec-fetch-mode: cors\nsec-fetch-dest: script\norigin: https://app.example.com",
		Subresource},
	{"worker", "GET", "sec-fetch-mode: same-origin\nsec-fetch-dest: worker", Subresource},
	{"WebSocket", "GET", "upgrade: websocket\nconnection: Upgrade\norigin: https://app.example.com", WebSocket},
	{"gRPC", "POST", "content-type: application/grpc", GRPC},
	{"gRPC with a codec", "POST", "content-type: application/grpc+proto", GRPC},
	{"gRPC-Web", "POST", "content-type: application/grpc-web+proto", Other},
	{"Connect", "POST", "content-type: application/connect+proto", Other},
	{"API client", "GET", "authorization: Bearer x\naccept: */*", Fetch},
	{"navigation with Authorization", "GET",
		"authorization: Bearer x\nsec-fetch-mode: navigate\nsec-fetch-dest: document\naccept: " + browserAccept, Fetch},
	{"XMLHttpRequest by header", "GET", "x-requested-with: XMLHttpRequest\naccept: " + browserAccept, Fetch},
	{"plain http navigation", "GET", "upgrade-insecure-requests: 1\naccept: " + browserAccept, Navigation},
	{"plain http form", "POST", "upgrade-insecure-requests: 1\norigin: http://app.test\naccept: " + browserAccept,
		Other},
	{"plain http with Origin", "GET", "origin: http://app.test\naccept: " + browserAccept, Other},
	{"curl", "GET", "accept: */*", Other},
	{"JSON preferred", "GET", "accept: application/json, text/html;q=0.5", Other},
	{"HTML refused", "GET", "accept: text/html;q=0, */*", Other},
	{"nothing", "GET", "", Other},
}

func TestKind(t *testing.T) {
	for _, v := range kindVectors {
		t.Run(v.name, func(t *testing.T) {
			in := raw("/")
			in.Method = v.method
			for line := range strings.SplitSeq(v.headers, "\n") {
				if name, value, ok := strings.Cut(line, ": "); ok {
					in.Headers = append(in.Headers, Field{name, value})
				}
			}
			r, err := New(in, Options{})
			if err != nil || r.Kind != v.want {
				t.Errorf("kind = %q, %v; want %q", r.Kind, err, v.want)
			}
			if r.Kind.Interactive() != (v.want == Navigation) {
				t.Error("only a navigation reaches a person")
			}
		})
	}
}
