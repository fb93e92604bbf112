package credential

import (
	"errors"
	"strings"

	"github.com/stepward/stepward/pkg/request"
)

// ErrMalformed is returned for an Authorization header that is not a scheme, spaces and
// visible ASCII (RFC 9110 §11.4), or that has one of our schemes but not exactly one
// b64token after it (RFC 6750 §2.1). The answer is 400, whatever the policy says.
var ErrMalformed = errors.New("credential: the Authorization header is not a scheme, spaces and visible ASCII, " +
	"with one token where the scheme is ours")

// Extract finds the credential of r.
//
// The scheme is compared without regard to case and followed by one or more spaces (RFC
// 9110 §11.1). A scheme other than Bearer or DPoP is no credential, and neither is one of
// our schemes with nothing after it. A header of any other form is refused under every
// scheme: with a tab, a leading space or a byte of Latin-1, "Bearer x" has another scheme
// here, while many applications skip that byte.
//
// [request.New] has already checked that nothing is presented twice.
func Extract(r request.Request) (Credential, error) {
	header := r.Headers.Get("authorization")
	if header == "" {
		return Credential{}, nil
	}
	name, rest, ok := split(header)
	scheme, isOurs := ours[strings.ToLower(name)]
	switch {
	case isOurs && len(header) == len(name):
		return Credential{}, nil
	case !ok:
		return Credential{}, ErrMalformed
	case !isOurs:
		return Credential{}, nil
	case !isB64Token(rest):
		return Credential{}, ErrMalformed
	}
	return Credential{Scheme: scheme, Raw: rest, Proof: r.Headers.Get("dpop")}, nil
}

var ours = map[string]Scheme{"bearer": Bearer, "dpop": DPoP}

// split splits a header into the scheme and the rest after the spaces. It returns ok only
// if both are there and the rest is visible ASCII, with spaces allowed in between.
//
// An exclamation mark is refused, too. When Envoy sends headers as a map, it writes one for
// each byte that is not UTF-8, so it may stand for any byte. A header must mean the same in
// both of Envoy's encodings.
func split(header string) (scheme, rest string, ok bool) {
	end := 0
	for end < len(header) && request.IsToken(header[end:end+1]) {
		end++
	}
	scheme, after := header[:end], header[end:]
	rest = strings.TrimLeft(after, " ")
	if scheme == "" || len(rest) == len(after) || rest == "" || rest[len(rest)-1] == ' ' {
		return scheme, rest, false
	}
	for i := range len(header) {
		if c := header[i]; c < ' ' || c > '~' || c == '!' {
			return scheme, rest, false
		}
	}
	return scheme, rest, true
}

// isB64Token checks 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"=".
func isB64Token(s string) bool {
	s = strings.TrimRight(s, "=")
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("-._~+/", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}
