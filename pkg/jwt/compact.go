package jwt

import (
	"encoding/base64"
	"errors"
	"strings"
)

// compact is a token taken apart: RFC 7515 §7.1.
type compact struct {
	header, payload, signature []byte // decoded
	signed                     string // what the signature is over
}

// split takes a compact token apart, by bytes: three parts of base64url without
// padding, each in its one canonical spelling (RFC 7515 §2), none empty. Any
// other serialization is refused here, before a library sees it.
func split(raw string) (compact, error) {
	first := strings.IndexByte(raw, '.')
	last := strings.LastIndexByte(raw, '.')
	if first <= 0 || first == last || strings.IndexByte(raw[first+1:last], '.') >= 0 {
		return compact{}, errors.New("not three parts")
	}
	h, err := decodeSegment(raw[:first])
	if err != nil {
		return compact{}, err
	}
	p, err := decodeSegment(raw[first+1 : last])
	if err != nil {
		return compact{}, err
	}
	s, err := decodeSegment(raw[last+1:])
	if err != nil {
		return compact{}, err
	}
	return compact{header: h, payload: p, signature: s, signed: raw[:last]}, nil
}

// strict refuses non-zero trailing bits, of which else there would be several
// spellings of one token.
var strict = base64.RawURLEncoding.Strict()

func decodeSegment(s string) ([]byte, error) {
	if s == "" {
		return nil, errors.New("an empty part")
	}
	if strings.ContainsAny(s, "\r\n") { // which the decoder would skip
		return nil, errors.New("a part is not base64url")
	}
	b, err := strict.DecodeString(s)
	if err != nil {
		return nil, errors.New("a part is not canonical base64url")
	}
	return b, nil
}

// header is the JOSE header, of which only three members may be there.
type header struct {
	alg, kid, typ string
	hasTyp        bool
}

// parseHeader refuses every member but alg, kid and typ. Among the others are
// crit and b64, which change what is signed, and jwk, jku, x5c and x5u, by which
// a token would bring its own key (RFC 8725 §3.10).
func parseHeader(o map[string]any) (header, error) {
	var h header
	for name, value := range o {
		s, ok := value.(string)
		if !ok {
			return header{}, errors.New("a header member is not a string")
		}
		switch name {
		case "alg":
			h.alg = s
		case "kid":
			if s == "" || len(s) > 512 {
				return header{}, errors.New("kid is empty or too long")
			}
			h.kid = s
		case "typ":
			h.typ, h.hasTyp = s, true
		default:
			return header{}, errors.New("a header member other than alg, kid and typ")
		}
	}
	if h.alg == "" {
		return header{}, errors.New("no alg")
	}
	return h, nil
}
