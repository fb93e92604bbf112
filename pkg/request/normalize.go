package request

import (
	"errors"
	"fmt"
	"strings"
)

// ErrAmbiguous is wrapped in the error for a request that two readers could read
// differently. The answer must be 400, whatever the policy says.
var ErrAmbiguous = errors.New("request: ambiguous")

// ErrRepeated is wrapped in the error for a request that carries a credential more than
// once (RFC 6750 §3.1).
var ErrRepeated = errors.New("request: credential repeated")

// New returns raw in normal form.
//
// The error wraps [ErrAmbiguous] or [ErrRepeated]; its text is for the operator
// and quotes nothing that the client sent. The Request is then filled as far as
// it could be read: enough to word an answer, not enough to decide on.
//
// Its cost is linear in the size of raw, and [Options] bounds how much of raw is read, both
// in bytes and in number.
func New(raw Raw, opt Options) (Request, error) {
	opt = opt.on(raw.Route)
	r := Request{
		ID:       printable(raw.ID, 128),
		Method:   raw.Method,
		Asked:    asked(raw.Target),
		Protocol: printable(raw.Protocol, 32),
		Size:     raw.Size,
		Source:   raw.Source,
		SNI:      strings.ToLower(raw.SNI),
		Route:    raw.Route,

		Attributes: raw.Attributes,
	}
	if err := checkSize(raw.Headers, opt); err != nil { // before anything is built from them
		return r, err
	}
	r.Headers = headers(raw.Headers)
	r.Kind = kind(r.Method, r.Headers)
	if err := r.normalize(raw, opt); err != nil {
		return r, err
	}
	r.Query = query(r.RawQuery)
	r.certificate(opt.CertificateHop)
	r.client(opt.TrustedHops)
	r.Body = body(raw, r.Headers)
	return r, nil
}

func (r *Request) normalize(raw Raw, opt Options) (err error) {
	if err := checkMethod(raw.Method); err != nil {
		return err
	}
	if r.Scheme, err = scheme(raw.Scheme); err != nil {
		return err
	}
	if r.Host, err = host(raw.Host, r.Scheme); err != nil {
		return err
	}
	if err := r.target(raw, opt); err != nil {
		return err
	}
	if err := checkOverrides(r.Headers, opt); err != nil {
		return err
	}
	return checkRepeated(r.Headers)
}

func ambiguous(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrAmbiguous, fmt.Sprintf(format, args...))
}

// checkMethod refuses a method that is not a token (RFC 9110 §9.1), lower-case spellings,
// which some upstreams read as upper case, and CONNECT, whose target is not a path.
func checkMethod(m string) error {
	if m == "" || len(m) > 32 {
		return ambiguous("the method is empty or too long")
	}
	for i := range len(m) {
		if c := m[i]; !tokenByte(c) || ('a' <= c && c <= 'z') {
			return ambiguous("the method holds a byte that no method has")
		}
	}
	if m == "CONNECT" {
		return ambiguous("CONNECT names no path")
	}
	return nil
}

func scheme(s string) (string, error) {
	switch s = strings.ToLower(s); s {
	case "", "http", "https":
		return s, nil
	}
	return "", ambiguous("the scheme is neither http nor https")
}
