package jwt

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/internal/strictjson"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/token"
	"github.com/stepward/stepward/pkg/trust/keyset"
)

// maxProof is the limit on a DPoP proof, in bytes.
const maxProof = 8 << 10

// DPoP sets the terms on which proofs of possession are accepted (RFC 9449).
type DPoP struct {
	// Origins are the public https origins under which clients know us. The htu of a proof
	// must be one of them, on the request's host, with the request's path. We do not guess
	// which scheme and port a client used.
	Origins    []string
	Algorithms []string      // of proofs; empty means ES256 and EdDSA
	Window     time.Duration // around iat; 0 means a minute
	Replays    Replays       // remembers proofs; required
	Nonces     *Nonces       // requires a nonce in every proof; nil requires none
	// Early makes nonces, if Nonces is nil, for proofs that may have been used before
	// Replays began to remember. If Early is nil, too, such proofs are refused.
	Early *Nonces
}

// Replays remembers proofs for as long as they could be used again. It serves many
// goroutines.
type Replays interface {
	// First reports whether key is new, and remembers it for at least keep. An error means
	// that it does not know; the proof is then refused.
	First(ctx context.Context, key [sha256.Size]byte, keep time.Duration) (bool, error)
	// Since returns the time from which every use is remembered: a restart forgets earlier
	// uses. It is zero if nothing was ever forgotten.
	Since() time.Time
}

// DefaultProofAlgorithms lists the algorithms that DPoP proofs may use by default.
var DefaultProofAlgorithms = []string{"ES256", "EdDSA"}

// DefaultProofWindow is how far the iat of a proof may be from now.
const DefaultProofWindow = time.Minute

func (d *DPoP) algorithms() []string {
	if len(d.Algorithms) == 0 {
		return DefaultProofAlgorithms
	}
	return d.Algorithms
}

func (d *DPoP) window() time.Duration {
	if d.Window == 0 {
		return DefaultProofWindow
	}
	return d.Window
}

// proof holds what a DPoP proof says.
type proof struct {
	jti, htm, htu, ath, nonce string
	iat                       time.Time
	key                       keyset.Key
}

// check takes the steps of RFC 9449 §4.3, numbered as there. Package request has already
// made sure that there is only one DPoP header (1).
func (d *DPoP) check(ctx context.Context, r request.Request, c credential.Credential, thumbprint string,
	leeway time.Duration, now time.Time) *token.Error {
	p, err := d.read(c.Proof)
	if err != nil {
		return err
	}
	digest := sha256.Sum256([]byte(c.Raw))
	own, failed := p.key.Thumbprint()
	switch {
	case p.htm != r.Method: // 8
		return bad("htm is another method")
	case !d.isTarget(p.htu, r.Host, r.RawPath): // 9
		return bad("htu is another URI than the configured origins have for this request")
	case p.iat.After(now.Add(leeway)) || now.Sub(p.iat) > d.window(): // 11
		return bad("iat is too far from now")
	case p.ath != base64.RawURLEncoding.EncodeToString(digest[:]): // 12
		return bad("ath is of another token")
	case failed != nil || subtle.ConstantTimeCompare([]byte(own), []byte(thumbprint)) != 1:
		return &token.Error{Code: token.BadBinding, Detail: "the token is bound to a different key than the proof's"}
	}
	if err := d.checkNonce(p, leeway, now); err != nil { // 10
		return err
	}
	name := sha256.Sum256([]byte(own + "\x00" + p.jti))
	first, unknown := d.Replays.First(ctx, name, d.window()+leeway)
	if unknown != nil {
		return &token.Error{Code: token.Overloaded, Detail: unknown.Error()}
	}
	if !first {
		return bad("jti was used before")
	}
	return nil
}

// checkNonce asks for a nonce if one is required, or if the proof may have been used before
// uses were remembered. If our nonce is younger than that memory, so is the proof. A
// client's clock may be fast by the leeway.
func (d *DPoP) checkNonce(p proof, leeway time.Duration, now time.Time) *token.Error {
	since := d.Replays.Since()
	if p.iat.After(since.Add(leeway)) {
		since = time.Time{} // it cannot have been used earlier
	}
	nonces, detail := d.Nonces, "no nonce, or one that is too old"
	if nonces == nil && !since.IsZero() {
		nonces, detail = d.Early, "the proof may have been used before this process began to remember proofs; "+
			"a nonce shows that it is younger"
	}
	switch {
	case nonces == nil && since.IsZero():
		return nil
	case nonces == nil:
		return bad("the proof may have been used before this process began to remember proofs")
	case !nonces.Valid(p.nonce, since, now):
		return &token.Error{Code: token.DPoPNonce, Detail: detail, Nonce: nonces.Issue(now)}
	}
	return nil
}

func bad(detail string) *token.Error { return &token.Error{Code: token.DPoPProof, Detail: detail} }

// read parses a proof and verifies its signature with the key in its header.
func (d *DPoP) read(raw string) (proof, *token.Error) {
	if raw == "" || len(raw) > maxProof {
		return proof{}, bad("no proof, or one that is too large")
	}
	parts, err := split(raw) // 2
	if err != nil {
		return proof{}, bad(err.Error())
	}
	head, err := strictjson.Object(parts.header)
	if err != nil {
		return proof{}, bad("header: " + err.Error())
	}
	alg, _ := head["alg"].(string)
	jwk, isObject := head["jwk"].(map[string]any)
	switch {
	case head["typ"] != "dpop+jwt": // 4
		return proof{}, bad("typ is not dpop+jwt")
	case len(head) != 3:
		return proof{}, bad("a header member other than alg, jwk and typ")
	case !slices.Contains(d.algorithms(), canonical(alg)): // 5
		return proof{}, bad("the algorithm is not one of the configured")
	case !isObject:
		return proof{}, bad("no jwk")
	}
	text, err := json.Marshal(jwk)
	if err != nil {
		return proof{}, bad("jwk is malformed")
	}
	key, err := keyset.ParseKey(text) // 7, and that it is strong enough
	if err != nil {
		return proof{}, bad("jwk: " + err.Error())
	}
	if !key.Verifies(canonical(alg)) || !verifies(canonical(alg), key.Public, parts) { // 6
		return proof{}, bad("the signature does not verify by jwk")
	}
	return readProof(parts.payload, key) // 3
}

// readProof reads the claims of a proof whose signature has been verified.
func readProof(payload []byte, key keyset.Key) (proof, *token.Error) {
	claims, err := strictjson.Object(payload)
	if err != nil {
		return proof{}, bad("claims: " + err.Error())
	}
	r := reader{claims: claims}
	p := proof{jti: r.text("jti"), htm: r.text("htm"), htu: r.text("htu"), ath: r.text("ath"), nonce: r.text("nonce"),
		iat: r.time("iat"), key: key}
	switch {
	case r.wrong != "":
		return proof{}, bad(r.wrong + " is of the wrong type")
	case p.jti == "" || len(p.jti) > 512 || p.htm == "" || p.htu == "" || p.ath == "" || p.iat.IsZero():
		return proof{}, bad("jti, htm, htu, iat or ath is missing")
	}
	return p, nil
}

// isTarget reports whether htu is the request's URI under one of our origins. Its query
// and fragment do not matter (RFC 9449 §4.3).
func (d *DPoP) isTarget(htu, host, path string) bool {
	got, ok := normalURI(htu)
	if !ok {
		return false
	}
	for _, origin := range d.Origins {
		want, ok := normalURI(origin + path)
		u, err := url.Parse(origin)
		if ok && err == nil && u.Host == host && got == want {
			return true
		}
	}
	return false
}

// normalURI normalizes s by syntax and scheme (RFC 3986 §6.2.2, §6.2.3), without query and
// fragment. It refuses dot segments, as the request's path has none.
func normalURI(s string) (string, bool) {
	s, _, _ = strings.Cut(s, "#")
	s, _, _ = strings.Cut(s, "?")
	scheme, rest, ok := strings.Cut(s, "://")
	if scheme = strings.ToLower(scheme); !ok || scheme != "https" && scheme != "http" {
		return "", false
	}
	host, path := rest, "/"
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		host, path = rest[:i], rest[i:]
	}
	if host = strings.ToLower(host); host == "" || strings.ContainsAny(host, "@\\ ") {
		return "", false
	}
	host = strings.TrimSuffix(host, map[string]string{"https": ":443", "http": ":80"}[scheme])
	path, ok = normalEscapes(path)
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return "", false
		}
	}
	return scheme + "://" + host + path, ok
}

// normalEscapes decodes escapes of unreserved characters and writes the others in
// upper case.
func normalEscapes(path string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] != '%' {
			b.WriteByte(path[i])
			continue
		}
		decoded, err := url.PathUnescape(path[i:min(i+3, len(path))])
		if err != nil || len(decoded) != 1 {
			return "", false
		}
		if c := decoded[0]; 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(
			"-._~", c) >= 0 {
			b.WriteByte(c)
		} else {
			b.WriteString(strings.ToUpper(path[i : i+3]))
		}
		i += 2
	}
	return b.String(), true
}
