package request

// Kind is the sort of client request, by which the form of an answer is chosen.
// The zero Kind is treated as Other.
type Kind string

// The kinds, told apart by the Fetch Metadata headers that a browser sets and a
// page cannot (W3C Fetch Metadata Request Headers).
const (
	Navigation  Kind = "navigation"  // a person follows a link or sends a form
	Frame       Kind = "frame"       // a navigation inside iframe, frame, object or embed
	Prefetch    Kind = "prefetch"    // speculative; nobody is looking yet
	Preflight   Kind = "preflight"   // CORS preflight (Fetch §3.2.2)
	Fetch       Kind = "fetch"       // fetch, XMLHttpRequest, or a client with an Authorization header
	Subresource Kind = "subresource" // image, script, style, font, worker
	WebSocket   Kind = "websocket"
	GRPC        Kind = "grpc"
	Other       Kind = "other"
)

// Interactive reports whether a redirect to a login page reaches a person: only
// a top-level navigation does. Elsewhere it is followed by code, or fails.
func (k Kind) Interactive() bool { return k == Navigation }
