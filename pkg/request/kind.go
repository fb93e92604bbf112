package request

import (
	"strconv"
	"strings"
)

// Kind says what sort of client sent a request, and so decides the form of the answer. The
// zero Kind is treated as Other.
type Kind string

// The kinds, told apart by the Fetch Metadata headers that a browser sets and a
// page cannot (W3C Fetch Metadata Request Headers).
const (
	Navigation  Kind = "navigation"  // a person follows a link or sends a form
	Frame       Kind = "frame"       // a navigation inside iframe, frame, object or embed
	Prefetch    Kind = "prefetch"    // speculative; nobody is looking yet
	Preflight   Kind = "preflight"   // CORS preflight (Fetch, "CORS-preflight fetch")
	Fetch       Kind = "fetch"       // fetch, XMLHttpRequest, or a client with an Authorization header
	Subresource Kind = "subresource" // image, script, style, font, worker
	WebSocket   Kind = "websocket"
	GRPC        Kind = "grpc"
	Other       Kind = "other"
)

// Interactive reports whether a redirect to a login page reaches a person: only a top-level
// navigation does. Otherwise code follows the redirect, or it fails.
func (k Kind) Interactive() bool { return k == Navigation }

// HTML reports whether the answer is shown as a page.
func (k Kind) HTML() bool { return k == Navigation || k == Frame }

// kind reads the signals, the least ambiguous first, and the first one present decides. A
// prerender looks like a top-level navigation and follows redirects, so sec-purpose comes
// before all of Fetch Metadata, and a WebSocket handshake carries no Fetch Metadata at all.
func kind(method string, h Headers) Kind {
	switch {
	case isGRPC(h.Get("content-type")):
		return GRPC
	case strings.HasPrefix(strings.ToLower(h.Get("sec-purpose")), "prefetch"):
		return Prefetch
	case method == "OPTIONS" && h.Has("origin") && h.Has("access-control-request-method"):
		return Preflight
	case strings.EqualFold(h.Get("upgrade"), "websocket"):
		return WebSocket
	case h.Has("authorization") || h.Has("x-requested-with"):
		return Fetch
	case h.Has("sec-fetch-mode"):
		return fetchMetadata(h)
	case isPlainNavigation(method, h):
		return Navigation
	}
	return Other
}

// isGRPC reports whether a request is gRPC itself. gRPC-Web and Connect are plain HTTP to
// their clients, and we answer them as such.
func isGRPC(contentType string) bool {
	media, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	switch strings.TrimSpace(media) {
	case "application/grpc", "application/grpc+proto", "application/grpc+json":
		return true
	}
	return false
}

func fetchMetadata(h Headers) Kind {
	dest := strings.ToLower(h.Get("sec-fetch-dest"))
	switch strings.ToLower(h.Get("sec-fetch-mode")) {
	case "navigate":
		switch dest {
		case "document":
			return Navigation
		case "empty", "":
			// A service worker that passes on a navigation accepts HTML; a download link
			// does not.
			if prefersHTML(h.Get("accept")) {
				return Navigation
			}
			return Other
		case "iframe", "frame", "object", "embed", "fencedframe":
			return Frame
		}
		return Other
	case "cors", "no-cors", "same-origin":
		if dest == "empty" || dest == "" {
			return Fetch
		}
		return Subresource
	}
	return Other
}

// isPlainNavigation recognizes a navigation without Fetch Metadata: browsers send none to
// origins on plain http, other than loopback.
func isPlainNavigation(method string, h Headers) bool {
	return (method == "GET" || method == "HEAD") && !h.Has("origin") && prefersHTML(h.Get("accept"))
}

// prefersHTML reports whether an Accept header (RFC 9110 §12.5.1) names HTML, and names
// nothing but documents before or above it. A wildcard does not ask for HTML: programs send
// it.
func prefersHTML(accept string) bool {
	html, other := 0.0, 0.0
	for part := range strings.SplitSeq(accept, ",") {
		media, params, _ := strings.Cut(part, ";")
		q := quality(params)
		switch media = strings.ToLower(strings.TrimSpace(media)); {
		case media == "text/html" || media == "application/xhtml+xml":
			if q > other {
				html = max(html, q)
			}
		case strings.HasSuffix(media, "json") || strings.HasPrefix(media, "text/event-stream"):
			other = max(other, q)
		}
	}
	return html > 0 && html >= other
}

func quality(params string) float64 {
	for p := range strings.SplitSeq(params, ";") {
		if v, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(p)), "q="); ok {
			q, err := strconv.ParseFloat(v, 64)
			if err != nil || !(q >= 0 && q <= 1) {
				return 0
			}
			return q
		}
	}
	return 1
}
