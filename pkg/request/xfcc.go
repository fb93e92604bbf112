package request

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
)

// The reasons why a header cannot be read.
var (
	errXFCC      = errors.New("it is malformed")
	errXFCCShort = errors.New("it has fewer elements than request.xfcc")
	errXFCCHash  = errors.New("its element has not exactly one Hash, before URI and DNS")
	errXFCCComma = errors.New("a comma after a URI or DNS name, which proxies do not quote, may be part of the name")
)

// certificate fills in the SHA-256 digest of the client's certificate, in base64url, as the
// hop-th proxy from the right added it to X-Forwarded-Client-Cert; hop 1 is the last. The
// digest stays empty if no hop is configured (0), or if that hop's element is missing or
// could be misread. A token that is bound to a certificate is then refused.
func (r *Request) certificate(hop int) {
	lines := r.Headers["x-forwarded-client-cert"]
	if hop < 1 || len(lines) == 0 {
		return
	}
	digest, err := clientCertificate(strings.Join(lines, ","), hop)
	if err != nil {
		r.Doubts = append(r.Doubts, "no client certificate: X-Forwarded-Client-Cert cannot be believed, as "+
			err.Error())
		return
	}
	r.ClientCertificate = base64.RawURLEncoding.EncodeToString(digest)
}

// clientCertificate returns the digest in the hop-th element from the right.
//
// Envoy puts quotes around what may hold a comma, but not around URI and DNS names, which
// the owner of a certificate chooses: `Hash=a;URI=x,Hash=b` is one element or two. So the
// owner may have written everything from such a name to the end of the header. An element
// counts only if no such name precedes it, and its Hash counts only if no such name
// precedes the Hash. Extra commas can therefore lose the digest, but never replace it by
// another.
func clientCertificate(header string, hop int) ([]byte, error) {
	elements, err := splitXFCC(header)
	if err != nil {
		return nil, err
	}
	if len(elements) < hop {
		return nil, errXFCCShort
	}
	for _, before := range elements[:len(elements)-hop] {
		if before.named {
			return nil, errXFCCComma
		}
	}
	e := elements[len(elements)-hop]
	digest, err := hex.DecodeString(e.hash)
	if e.hashes != 1 || err != nil || len(digest) != 32 {
		return nil, errXFCCHash
	}
	return digest, nil
}

// xfccElement holds the relevant part of what one proxy added.
type xfccElement struct {
	hash   string // the first, if no name from the certificate precedes it
	hashes int
	named  bool // it has an unquoted name that the certificate's owner chose
}

// splitXFCC splits a header into the elements that proxies added. Each is a list of
// key-value pairs. Inside a quoted value a backslash escapes the next byte.
func splitXFCC(s string) ([]xfccElement, error) {
	elements := make([]xfccElement, 0, strings.Count(s, ",")+1)
	e := xfccElement{}
	for {
		key, rest, ok := strings.Cut(s, "=")
		if !ok || key == "" || len(key) > 16 || strings.ContainsAny(key, `,;" `) {
			return nil, errXFCC
		}
		value, rest, quoted, err := valueXFCC(rest)
		if err != nil {
			return nil, err
		}
		e.add(strings.ToLower(key), value, quoted)
		if rest == "" || rest[0] == ',' {
			elements = append(elements, e)
			e = xfccElement{}
		}
		if rest == "" {
			return elements, nil
		}
		s = rest[1:]
	}
}

func (e *xfccElement) add(key, value string, quoted bool) {
	switch key {
	case "hash":
		e.hashes++
		if !e.named && e.hashes == 1 {
			e.hash = value
		}
	case "uri", "dns":
		e.named = e.named || !quoted
	}
}

// valueXFCC reads a value up to the semicolon or comma that ends it.
func valueXFCC(s string) (value, rest string, quoted bool, err error) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, `;,`)
		if end < 0 {
			end = len(s)
		}
		if strings.Contains(s[:end], `"`) {
			return "", "", false, errXFCC
		}
		return s[:end], s[end:], false, nil
	}
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			i++
		case s[i] == '"':
			value, rest = s[1:i], s[i+1:]
			if rest != "" && rest[0] != ';' && rest[0] != ',' || holdsHash(value) {
				return "", "", true, errXFCC
			}
			return value, rest, true, nil
		}
	}
	return "", "", true, errXFCC
}

// holdsHash reports whether a quoted value contains a Hash like that of an element. If so,
// someone earlier in the header opened the quote to swallow that element.
func holdsHash(quoted string) bool {
	const key, digits = "hash=", 64
	quoted = strings.ToLower(quoted)
	for {
		i := strings.Index(quoted, key)
		if i < 0 {
			return false
		}
		begins := i > 0 && (quoted[i-1] == ',' || quoted[i-1] == ';')
		if quoted = quoted[i+len(key):]; begins && hexDigits(quoted, digits) && len(quoted) > digits &&
			(quoted[digits] == ',' || quoted[digits] == ';') {
			return true
		}
	}
}
