package credential

import (
	"errors"
	"strings"

	"github.com/stepward/stepward/pkg/request"
)

// ErrMalformed is returned for an Authorization header that is not a scheme, spaces and
// visible ASCII (RFC 9110 §11.4), or is of a scheme of ours and its rest is not one
// b64token (RFC 6750 §2.1). It is answered with 400, whatever the policy says.
var ErrMalformed = errors.New("credential: the Authorization header is not a scheme, spaces and visible ASCII, " +
	"with one token where the scheme is ours")

// Extract finds the credential of r.
//
// The scheme is compared without regard to case and followed by one or more
// spaces (RFC 9110 §11.1). Another scheme than Bearer or DPoP is no credential, and
// neither is a scheme of ours with nothing behind it. What is not of that form is refused
// under any scheme: a tab, a space in front or a byte of Latin-1 makes another scheme of
// "Bearer x" here, and is skipped by many an application.
//
// That nothing is presented twice has been seen to by [request.New].
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

// split takes a header apart into the scheme and what follows its spaces. It is not ok
// unless both are there, and the rest is visible ASCII with spaces between.
//
// An exclamation mark is refused, too. It is what Envoy writes for a byte that is not
// UTF-8 where it sends headers as a map, so it may be any byte; and what a client sent
// must mean the same in both of Envoy's encodings.
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
