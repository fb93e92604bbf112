// Package request is the first noun of the pipeline: what is asked.
//
// [New] turns what a proxy reports of an HTTP request, a [Raw], into the one
// normal form that policies, logs and return targets share, a [Request]. What
// two readers could read differently is not repaired but refused: see
// [ErrAmbiguous] and [ErrRepeated].
//
// Start at normalize.go, then path.go and host.go for paths and hosts, kind.go for telling
// a browser navigation from an API call, header.go for headers. The package knows nothing
// about Envoy, tokens or policies, and imports only the standard library.
package request

// Raw is a request as a proxy reports it: untrusted, in the proxy's spelling.
type Raw struct {
	ID       string // the proxy's request id
	Method   string
	Host     string // Host or :authority
	Target   string // the request target: path and query as sent
	Scheme   string
	Protocol string
	Headers  []Field // in the order sent, with repetitions where the proxy keeps them
	Size     int64   // content length; -1 when unknown
	Body     RawBody
	Source   Source
	SNI      string
	Route    Route
	// Attributes returns the report itself, for policies that read it in the proxy's own
	// shape. It is nil if the report did not come from Envoy. Each call makes a new
	// document of JSON values.
	Attributes func() map[string]any
}

// Field is one header line. Pseudo headers (":path") are header lines too.
type Field struct{ Name, Value string }

// RawBody holds as much of the body as the proxy sent along.
type RawBody struct {
	Present   bool // the proxy sends bodies for this route
	Truncated bool // there was more than it sent
	Bytes     []byte
}

// Source is the proxy's peer, as the proxy saw it.
type Source struct {
	Address     string // IP address of the TCP peer
	Principal   string // authenticated name: URI SAN, DNS SAN or subject
	Certificate string // URL-encoded PEM of the peer certificate
}

// Route holds what the operator attached to the matched route. Clients cannot set it.
type Route struct {
	Extensions map[string]string         // context extensions
	Metadata   map[string]map[string]any // filter metadata by namespace
}

// Request is a request in normal form. It is not changed after [New] returns,
// and may be shared between goroutines.
type Request struct {
	ID       string
	Method   string
	Host     string // lower case, no trailing dot, no default port
	Path     string // "/" plus the decoded segments, a final slash kept
	Segments []string
	RawPath  string // up to "?", as sent
	// Asked is the path as sent, cut, escaped, and without anything that looks like a
	// secret. It is shown for a request that was refused before its path could be read.
	Asked    string
	RawQuery string // after "?", as sent; never logged
	Query    map[string][]string
	Headers  Headers
	Scheme   string // http, https or empty
	Protocol string
	Kind     Kind
	Size     int64
	Body     Body

	Source        Source
	ClientAddress string // empty unless trusted hops are configured
	// ClientCertificate is the SHA-256 digest of the client's certificate, in base64url, as
	// a trusted proxy forwarded it. It is empty unless such a proxy is configured.
	ClientCertificate string
	// Doubts say, in the operator's words, what was sent but could not be believed: an
	// address or a certificate. The field for it is then empty.
	Doubts []string
	SNI    string
	Route  Route
	// Attributes is copied from the [Raw]; nil if the request did not come from Envoy.
	Attributes func() map[string]any
}

// Body is the body as policies see it.
type Body struct {
	Present   bool
	Truncated bool
	State     BodyState           // what it was read as, or why it could not be read
	JSON      any                 // in state [BodyJSON]
	Form      map[string][]string // in state [BodyForm]
}
