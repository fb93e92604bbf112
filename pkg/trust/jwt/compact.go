package jwt

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"unsafe"
)

// compact holds the parts of a token: RFC 7515 §7.1.
type compact struct {
	header, payload, signature []byte // decoded
	signed                     string // the bytes that the signature covers
}

// split splits a compact token, byte by byte, into three parts of base64url without
// padding, each in its one canonical spelling (RFC 7515 §2) and none empty. It refuses any
// other serialization before a library sees it.
func split(raw string) (compact, error) {
	first := strings.IndexByte(raw, '.')
	last := strings.LastIndexByte(raw, '.')
	if first <= 0 || first == last || strings.IndexByte(raw[first+1:last], '.') >= 0 {
		return compact{}, errParts
	}
	text, out := view(raw), make([]byte, 0, len(raw)) // room for all parts
	c := compact{signed: raw[:last]}
	for _, part := range []struct {
		into       *[]byte
		begin, end int
	}{{&c.header, 0, first}, {&c.payload, first + 1, last}, {&c.signature, last + 1, len(raw)}} {
		if part.begin == part.end {
			return compact{}, errEmpty
		}
		at := text[part.begin:part.end]
		if bytes.IndexByte(at, '\n') >= 0 || bytes.IndexByte(at, '\r') >= 0 { // which the decoder would skip
			return compact{}, errBase64
		}
		begin := len(out)
		var err error
		if out, err = strict.AppendDecode(out, at); err != nil {
			return compact{}, errBase64
		}
		*part.into = out[begin:len(out):len(out)]
	}
	return c, nil
}

// view returns the bytes of s without a copy. Nobody may write to them.
func view(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// The errors in the parts of a token.
var (
	errParts  = errors.New("not three parts")
	errEmpty  = errors.New("an empty part")
	errBase64 = errors.New("a part is not canonical base64url")
)

// strict refuses non-zero trailing bits; otherwise one token would have several
// spellings.
var strict = base64.RawURLEncoding.Strict()

// header is the JOSE header. Only three members are allowed.
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
