package request

import "strings"

// Options holds the operator's choices for normalization. The zero Options are the
// strictest. Each Allow field lifts one refusal, for an application that needs it.
type Options struct {
	AllowPathParameters bool // ";" in a path segment
	AllowEmptySegments  bool // "//" inside a path
	AllowEncodedSlash   bool // "%2F" inside a path segment, where it stays
	AllowDoubleEncoding bool // a path segment that still holds an escape after decoding
	AllowMethodOverride bool // X-HTTP-Method-Override and the like
	AllowURLOverride    bool // X-Original-URL and the like
	FoldPathCase        bool // path_case: fold, for case-insensitive upstreams
	TrustedHops         int  // proxies in front of ours whose X-Forwarded-For entries are believed
	CertificateHop      int  // whose element of X-Forwarded-Client-Cert is believed, 1 being the last; 0 means nobody's

	// Limits; 0 means the default.
	MaxPath       int // bytes of the request target's path
	MaxSegments   int // of the path
	MaxQuery      int // bytes of the query
	MaxParameters int // of the query
	MaxHeaders    int // bytes of all header names and values
	MaxLines      int // of headers
}

// The limits on how much of a request is read before anything is known about its sender.
const (
	DefaultMaxPath       = 4096
	DefaultMaxSegments   = 256
	DefaultMaxQuery      = 32 << 10
	DefaultMaxParameters = 1000
	DefaultMaxHeaders    = 96 << 10
	DefaultMaxLines      = 256
)

// or returns n, or the default if n is not set.
func or(n, byDefault int) int {
	if n == 0 {
		return byDefault
	}
	return n
}

// Refusals lists the names by which request.allow and the context extension stepward.allow
// lift single refusals.
func Refusals() []string {
	return []string{"path_parameters", "empty_segments", "encoded_slash", "double_encoding", "method_override",
		"url_override"}
}

// Allow lifts the refusal of that name, and reports whether there is one.
func (o *Options) Allow(name string) bool {
	switch name {
	case "path_parameters":
		o.AllowPathParameters = true
	case "empty_segments":
		o.AllowEmptySegments = true
	case "encoded_slash":
		o.AllowEncodedSlash = true
	case "double_encoding":
		o.AllowDoubleEncoding = true
	case "method_override":
		o.AllowMethodOverride = true
	case "url_override":
		o.AllowURLOverride = true
	default:
		return false
	}
	return true
}

// AllowExtension is the context extension by which a route lifts refusals.
const AllowExtension = "stepward.allow"

// on returns o with the refusals lifted that the route lifts. An unknown name lifts nothing
// here. It is an error, and is reported where the other extensions of a route are read.
func (o Options) on(r Route) Options {
	for _, name := range AllowNames(r.Extensions[AllowExtension]) {
		o.Allow(name)
	}
	return o
}

// AllowNames returns the names in the value of a context extension, separated by commas or
// spaces.
func AllowNames(value string) []string {
	return strings.FieldsFunc(value, func(c rune) bool { return c == ',' || c == ' ' })
}
