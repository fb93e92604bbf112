package request

import (
	"strings"
	"unicode/utf8"
)

// target splits the request target by hand: net/url would read "//x" as an authority and
// repair targets that must be refused.
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
	switch limit := or(opt.MaxPath, DefaultMaxPath); {
	case len(path) > limit:
		return ambiguous("the path is longer than %d bytes (limits.path)", limit)
	case path == "*" && raw.Method == "OPTIONS" && rawQuery == "":
		r.RawPath, r.Path = path, path
		return nil
	case !strings.HasPrefix(path, "/"):
		return ambiguous("the request target is empty or not in origin form")
	}
	if err := checkQuery(rawQuery, opt); err != nil {
		return err
	}
	segments, err := split(path, opt)
	if err != nil {
		return err
	}
	r.RawPath, r.RawQuery, r.Segments = path, rawQuery, segments
	r.Path = joined(segments, strings.HasSuffix(path, "/"))
	return nil
}

// PathOf returns the path of raw in the normal form that [New] gives it, at a fraction of
// the cost. It returns false if New would refuse the request because of its target.
func PathOf(raw Raw, opt Options) (string, bool) {
	var r Request
	err := r.target(raw, opt.on(raw.Route))
	return r.Path, err == nil
}

// joined returns the path made of segments. A slash inside a segment, which only the
// operator can allow, stays encoded.
func joined(segments []string, slash bool) string {
	var b strings.Builder
	for _, s := range segments {
		b.WriteByte('/')
		for {
			before, after, found := strings.Cut(s, "/")
			b.WriteString(before)
			if !found {
				break
			}
			b.WriteString("%2F")
			s = after
		}
	}
	if slash || len(segments) == 0 {
		b.WriteByte('/')
	}
	return b.String()
}

// split returns the decoded segments of path, which starts with "/".
func split(path string, opt Options) ([]string, error) {
	path = strings.TrimSuffix(path[1:], "/") // a final slash, or "/" itself
	limit := or(opt.MaxSegments, DefaultMaxSegments)
	if strings.Count(path, "/") >= limit {
		return nil, ambiguous("the path has more than %d segments (limits.segments)", limit)
	}
	segments := make([]string, 0, strings.Count(path, "/")+1)
	for s := range strings.SplitSeq(path, "/") {
		d, err := segment(s, opt)
		if err != nil {
			return nil, err
		}
		if d == "" {
			if path == "" {
				break
			}
			if !opt.AllowEmptySegments {
				return nil, ambiguous("the path has an empty segment (request.allow: empty_segments)")
			}
			continue // an upstream that merges slashes does not see it either
		}
		if opt.FoldPathCase {
			if d, err = foldCase(d); err != nil {
				return nil, err
			}
		}
		segments = append(segments, d)
	}
	return segments, nil
}

// segment decodes one path segment once, and refuses it if an upstream that decodes again
// would get another path. It looks at each byte a fixed number of times.
func segment(s string, opt Options) (string, error) {
	d, ok := unescape(s)
	if !ok {
		return "", ambiguous("the path has a malformed percent-escape")
	}
	if !utf8.ValidString(d) {
		return "", ambiguous("the path is not valid UTF-8")
	}
	if err := checkSegment(d, opt); err != nil {
		return "", err
	}
	if holdsEscape(d) {
		if !opt.AllowDoubleEncoding {
			return "", ambiguous("the path is percent-encoded twice (request.allow: double_encoding)")
		}
		last := settled(d)
		if holdsEscape(last) {
			return "", ambiguous("the path has an escape of the form %%uXXXX")
		}
		if err := checkSegment(last, opt); err != nil {
			return "", err
		}
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

func checkSegment(s string, opt Options) error {
	for i := range len(s) {
		switch c := s[i]; {
		case c == '/' && opt.AllowEncodedSlash:
		case c == '/':
			return ambiguous("the path has an encoded slash (request.allow: encoded_slash)")
		case c == '\\':
			return ambiguous("the path has a backslash")
		case c < ' ' || c == 0x7f:
			return ambiguous("the path has an encoded control byte")
		}
	}
	for part := range strings.SplitSeq(s, "/") { // for an upstream that reads an encoded slash as a slash
		if name, _, _ := strings.Cut(part, ";"); name == "." || name == ".." {
			return ambiguous("the path has a dot segment")
		}
	}
	return nil
}

// holdsEscape reports whether s has a percent-escape, or "%u" with four digits, which some
// servers decode. Any other "%" is a percent sign.
func holdsEscape(s string) bool {
	for {
		i := strings.IndexByte(s, '%')
		if i < 0 {
			return false
		}
		s = s[i+1:]
		if hexDigits(s, 2) || s != "" && s[0]|0x20 == 'u' && hexDigits(s[1:], 4) {
			return true
		}
	}
}

// hexDigits reports whether s begins with n hexadecimal digits.
func hexDigits(s string, n int) bool {
	if len(s) < n {
		return false
	}
	for i := range n {
		if unhex(s[i]) < 0 {
			return false
		}
	}
	return true
}

// settled decodes s until nothing is left to decode. The order does not matter, since
// no two escapes overlap: each is decoded when its last digit comes, and what it makes
// may be the last digit of the next.
func settled(s string) string {
	out := make([]byte, 0, len(s))
	for i := range len(s) {
		out = append(out, s[i])
		for n := len(out); n >= 3 && out[n-3] == '%'; n = len(out) {
			hi, lo := unhex(out[n-2]), unhex(out[n-1])
			if hi < 0 || lo < 0 {
				break
			}
			out = append(out[:n-3], byte(hi<<4|lo))
		}
	}
	return string(out)
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
		if !hexDigits(s[i+1:], 2) {
			ok = false
			b.WriteByte('%')
			continue
		}
		b.WriteByte(byte(unhex(s[i+1])<<4 | unhex(s[i+2])))
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
