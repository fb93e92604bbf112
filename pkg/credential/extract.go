package credential

import (
	"errors"
	"strings"

	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/token"
)

// ErrMalformed is returned for an Authorization header of a scheme of ours whose
// rest is not one b64token (RFC 6750 §2.1, RFC 9110 §11.4). It is answered with
// 400, whatever the policy says.
var ErrMalformed = errors.New("credential: not a scheme, spaces and one token")

// Extract finds the credential of r.
//
// The scheme is compared without regard to case and followed by one or more
// spaces (RFC 9110 §11.1). Another scheme than Bearer or DPoP is no credential.
// That nothing is presented twice has been seen to by [request.New].
func Extract(r request.Request) (Credential, error) {
	header := r.Headers.Get("authorization")
	end := strings.IndexFunc(header, func(c rune) bool { return c >= 0x80 || !request.IsToken(string(c)) })
	if end < 0 {
		end = len(header)
	}
	scheme, ok := ours[strings.ToLower(header[:end])]
	if !ok {
		return Credential{}, nil
	}
	raw := strings.TrimLeft(header[end:], " ")
	if len(raw) == len(header[end:]) || !isB64Token(raw) {
		return Credential{}, ErrMalformed
	}
	return Credential{
		Scheme: scheme, Raw: raw, Proof: r.Headers.Get("dpop"), Certificate: r.Source.Certificate, CertificateDigest: r.ClientCertificate,
		Method: r.Method, Host: r.Host, Path: r.RawPath,
	}, nil
}

var ours = map[string]token.Scheme{"bearer": token.Bearer, "dpop": token.DPoP}

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
