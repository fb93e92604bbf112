package request

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// ErrAmbiguous is wrapped by the error of a request that two readers could read
// differently: it must be answered with 400, whatever the policy says.
var ErrAmbiguous = errors.New("request: ambiguous")

// ErrRepeated is wrapped by the error of a request that carries a credential
// more than once (RFC 6750 §3.1).
var ErrRepeated = errors.New("request: credential repeated")

// DefaultMaxPath is the limit on a request target's path, in bytes.
const DefaultMaxPath = 4096

// New is raw in normal form.
//
// The error wraps [ErrAmbiguous] or [ErrRepeated]; its text is for the operator
// and quotes nothing that the client sent. The Request is then filled as far as
// it could be read: enough to word an answer, not enough to decide on.
func New(raw Raw, opt Options) (Request, error) {
	r := Request{
		ID:       printable(raw.ID, 128),
		Method:   raw.Method,
		Protocol: printable(raw.Protocol, 32),
		Headers:  headers(raw.Headers),
		Size:     raw.Size,
		Source:   raw.Source,
		SNI:      strings.ToLower(raw.SNI),
		Route:    raw.Route,

		Attributes: raw.Attributes,
	}
	r.Kind = kind(r.Method, r.Headers)
	if err := r.normalize(raw, opt); err != nil {
		return r, err
	}
	r.Query = query(r.RawQuery)
	r.ClientCertificate = clientCertificate(r.Headers, opt.CertificateHop)
	r.ClientAddress = clientAddress(r.Headers.Values("x-forwarded-for"), raw.Source.Address, opt.TrustedHops)
	r.Body = body(raw, r.Headers)
	return r, nil
}

func (r *Request) normalize(raw Raw, opt Options) (err error) {
	if err := checkSize(raw.Headers, opt.MaxHeaders); err != nil {
		return err
	}
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

// checkMethod refuses what is no token (RFC 9110 §9.1), lower-case spellings,
// which some upstreams read as their upper-case namesakes, and CONNECT, whose
// target is not a path.
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

// target splits the request target by hand: net/url would take "//x" for an
// authority and repair what must be refused.
func (r *Request) target(raw Raw, opt Options) error {
	for i := range len(raw.Target) {
		if c := raw.Target[i]; c <= ' ' || c == 0x7f {
			return ambiguous("the request target holds a space or control byte")
		}
	}
	if strings.Contains(raw.Target, "#") {
		return ambiguous("the request target has a fragment")
	}
	path, rawQuery, _ := strings.Cut(raw.Target, "?")
	limit := opt.MaxPath
	if limit == 0 {
		limit = DefaultMaxPath
	}
	switch {
	case len(path) > limit:
		return ambiguous("the path is longer than %d bytes", limit)
	case path == "*" && raw.Method == "OPTIONS" && rawQuery == "":
		r.RawPath, r.Path = path, path
		return nil
	case !strings.HasPrefix(path, "/"):
		return ambiguous("the request target is empty or not in origin form")
	}
	segments, err := split(path, opt)
	if err != nil {
		return err
	}
	r.RawPath, r.RawQuery, r.Segments = path, rawQuery, segments
	r.Path = "/" + strings.Join(segments, "/")
	if strings.HasSuffix(path, "/") && len(segments) > 0 {
		r.Path += "/"
	}
	return nil
}

// split is the decoded segments of path, which starts with "/".
func split(path string, opt Options) ([]string, error) {
	rest := strings.Split(path[1:], "/")
	if rest[len(rest)-1] == "" { // of a final slash, or of "/" itself
		rest = rest[:len(rest)-1]
	}
	segments := make([]string, 0, len(rest))
	for _, s := range rest {
		d, err := segment(s, opt)
		if err != nil {
			return nil, err
		}
		if d == "" {
			if !opt.AllowEmptySegments {
				return nil, ambiguous("the path has an empty segment (request.allow: empty_segments)")
			}
			continue // an upstream that merges slashes sees none either
		}
		if opt.FoldPathCase {
			d = strings.ToLower(d)
		}
		segments = append(segments, d)
	}
	return segments, nil
}

// segment decodes one path segment once and refuses it when decoding it again
// would make another path of it.
func segment(s string, opt Options) (string, error) {
	d, ok := unescape(s)
	if !ok {
		return "", ambiguous("the path has a malformed percent-escape")
	}
	if !utf8.ValidString(d) {
		return "", ambiguous("the path is not valid UTF-8")
	}
	for again := d; ; {
		if err := checkSegment(again); err != nil {
			return "", err
		}
		next, _ := unescape(again)
		if next == again {
			break
		}
		again = next // shorter each time, so this ends
	}
	if !strings.Contains(d, ";") {
		return d, nil
	}
	if !opt.AllowPathParameters {
		return "", ambiguous("the path has parameters after \";\" (request.allow: path_parameters)")
	}
	d, _, _ = strings.Cut(d, ";")
	return d, nil
}

func checkSegment(s string) error {
	for i := range len(s) {
		switch c := s[i]; {
		case c == '/' || c == '\\':
			return ambiguous("the path has a backslash or an encoded slash")
		case c < ' ' || c == 0x7f:
			return ambiguous("the path has an encoded control byte")
		}
	}
	if name, _, _ := strings.Cut(s, ";"); name == "." || name == ".." {
		return ambiguous("the path has a dot segment")
	}
	return nil
}

// unescape decodes percent-escapes. A malformed one stays as it is and makes
// ok false.
func unescape(s string) (decoded string, ok bool) {
	if !strings.Contains(s, "%") {
		return s, true
	}
	ok = true
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		hi, lo := -1, -1
		if i+2 < len(s) {
			hi, lo = unhex(s[i+1]), unhex(s[i+2])
		}
		if hi < 0 || lo < 0 {
			ok = false
			b.WriteByte('%')
			continue
		}
		b.WriteByte(byte(hi<<4 | lo))
		i += 2
	}
	return b.String(), ok
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// query is the query string by name. Nothing is refused here, since nothing is
// decided on it but by a policy; what cannot be decoded stays as it was sent.
func query(raw string) map[string][]string {
	if raw == "" {
		return nil
	}
	q := map[string][]string{}
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name = queryText(name)
		q[name] = append(q[name], queryText(value))
	}
	return q
}

func queryText(s string) string {
	if d, ok := unescape(strings.ReplaceAll(s, "+", " ")); ok {
		s = d
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
