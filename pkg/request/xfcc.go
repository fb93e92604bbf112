package request

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
)

// errXFCC means that a header could be read in more than one way.
var errXFCC = errors.New("request: x-forwarded-client-cert is malformed")

// clientCertificate is the SHA-256 digest of the client's certificate, in base64url, as
// the hop-th proxy from the right has added it to X-Forwarded-Client-Cert; hop 1 is the
// last. It is empty where that hop is not configured (0), has said nothing, or could be
// misread: a token that is bound to a certificate is then refused.
func clientCertificate(h Headers, hop int) string {
	if hop < 1 {
		return ""
	}
	elements, err := splitXFCC(strings.Join(h["x-forwarded-client-cert"], ","))
	if err != nil || len(elements) < hop {
		return ""
	}
	digest, err := hashOf(elements[len(elements)-hop])
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(digest)
}

// splitXFCC splits a header into the elements that proxies have added, each of pairs of
// key and value. A value may be in quotes, in which a backslash escapes.
func splitXFCC(s string) ([][][2]string, error) {
	var elements [][][2]string
	for s != "" {
		var element [][2]string
		for {
			key, rest, ok := strings.Cut(s, "=")
			if !ok || key == "" || strings.ContainsAny(key, `,;" `) {
				return nil, errXFCC
			}
			value, rest, err := valueXFCC(rest)
			if err != nil {
				return nil, err
			}
			element = append(element, [2]string{strings.ToLower(key), value})
			if s = rest; s == "" || s[0] == ',' {
				break
			}
			s = s[1:] // the semicolon
		}
		elements = append(elements, element)
		if s != "" {
			if s = s[1:]; s == "" {
				return nil, errXFCC
			}
		}
	}
	return elements, nil
}

// valueXFCC reads a value up to the semicolon or comma that ends it.
func valueXFCC(s string) (value, rest string, err error) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, `;,"`)
		switch {
		case end < 0:
			return s, "", nil
		case s[end] == '"':
			return "", "", errXFCC
		}
		return s[:end], s[end:], nil
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case s[i] == '"':
			if rest = s[i+1:]; rest != "" && rest[0] != ';' && rest[0] != ',' {
				return "", "", errXFCC
			}
			return b.String(), rest, nil
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", errXFCC
}

// hashOf is the one Hash of an element.
func hashOf(element [][2]string) ([]byte, error) {
	var digest []byte
	for _, pair := range element {
		if pair[0] != "hash" {
			continue
		}
		b, err := hex.DecodeString(pair[1])
		if err != nil || len(b) != 32 || digest != nil {
			return nil, errXFCC
		}
		digest = b
	}
	if digest == nil {
		return nil, errXFCC
	}
	return digest, nil
}
