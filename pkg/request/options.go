package request

// Options are the operator's choices for normalization. The zero Options are the
// strictest; each Allow field takes back one refusal for an application that
// needs it.
type Options struct {
	AllowPathParameters bool // ";" in a path segment
	AllowEmptySegments  bool // "//" inside a path
	AllowMethodOverride bool // X-HTTP-Method-Override and its like
	AllowURLOverride    bool // X-Original-URL and its like
	FoldPathCase        bool // path_case: fold, for case-insensitive upstreams
	TrustedHops         int  // proxies in front of ours whose X-Forwarded-For entries are believed
	CertificateHop      int  // whose element of X-Forwarded-Client-Cert is believed, 1 being the last; 0 means nobody's
	MaxPath             int  // bytes of the request target's path; 0 means 4096
	MaxHeaders          int  // bytes of all header names and values; 0 means 96 KiB
}
