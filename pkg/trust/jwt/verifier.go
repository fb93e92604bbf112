package jwt

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes below
	_ "crypto/sha512"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/internal/strictjson"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/token"
	"github.com/stepward/stepward/pkg/trust/keyset"
	"github.com/stepward/stepward/pkg/trust/statuslist"
)

// DefaultMaxSize is the limit on a token, in bytes.
const DefaultMaxSize = 16 << 10

// Algorithms lists the algorithms that an issuer may use by default (RFC 7518 §3.1, RFC
// 8037 §3.1).
var Algorithms = []string{"ES256", "RS256", "PS256", "EdDSA"}

// hashes maps each algorithm that can be configured for an issuer, all asymmetric, to its
// hash; EdDSA has its own.
var hashes = map[string]crypto.Hash{
	"ES256": crypto.SHA256, "ES384": crypto.SHA384, "ES512": crypto.SHA512, "EdDSA": 0,
	"RS256": crypto.SHA256, "RS384": crypto.SHA384, "RS512": crypto.SHA512,
	"PS256": crypto.SHA256, "PS384": crypto.SHA384, "PS512": crypto.SHA512,
}

// canonical returns the one name of an algorithm. RFC 9864 gives the name Ed25519 to the
// only EdDSA supported here, so both names mean the same.
func canonical(alg string) string {
	if alg == "Ed25519" {
		return "EdDSA"
	}
	return alg
}

// algorithms lists an issuer's algorithms, each by its one name, or the default.
func algorithms(names []string) []string {
	if len(names) == 0 {
		names = Algorithms
	}
	out := make([]string, len(names))
	for n, a := range names {
		out[n] = canonical(a)
	}
	return out
}

// KeySource finds the keys of one issuer.
//
// Key returns a key that [keyset.Key.Verifies] may still refuse, or an error that
// wraps [keyset.ErrUnknownKey] or [keyset.ErrUnavailable]. It must return soon
// after ctx ends.
type KeySource interface {
	Key(ctx context.Context, kid, algorithm string) (keyset.Key, error)
	// Generation changes soon after a key is added or removed. A token that was verified
	// under another generation is verified again, and a token that is verified while it is
	// 0 is not remembered.
	Generation() uint64
	// Doubt says that a signature did not fit the key of that name: another key may have
	// replaced it. It returns at once.
	Doubt(kid string)
}

// Issuer says whose tokens are accepted, and on what terms.
type Issuer struct {
	Name       string   // short, for logs
	URL        string   // iss, compared byte for byte
	Audiences  []string // one of these must be in aud
	Algorithms []string // empty means Algorithms
	Profile    Profile  // empty means RFC9068
	Leeway     time.Duration
	// AssuranceClaim is read into token.Proof.Assurance; empty reads none.
	AssuranceClaim string
	Keys           KeySource
	DPoP           *DPoP          // nil refuses tokens bound by DPoP
	Introspection  *Introspection // nil accepts only JWTs
	Lists          StatusLists    // nil refuses tokens that name a status list
}

// issuer is an Issuer with every default in place.
type issuer struct{ Issuer }

// Options are the limits of a verifier. The zero Options are sensible.
type Options struct {
	MaxSize   int // of a token, in bytes; 0 means DefaultMaxSize
	CacheSize int // verified tokens to remember; 0 means DefaultCacheSize, less than 0 none
	// Revoked reports whether a token has been revoked before it expired. It is asked on
	// every call, and must return at once; nil means that nothing is revoked.
	Revoked func(token.Token) bool
	// Rand makes the serials of this verifier's tokens unique; nil means [rand.Reader].
	Rand io.Reader
}

// Verifier verifies tokens of some issuers. It serves many goroutines.
type Verifier struct {
	issuers map[string]*issuer
	opaque  []*issuer // those that are asked about opaque tokens
	maxSize int
	now     func() time.Time
	cache   *cache
	revoked func(token.Token) bool
}

// NewVerifier makes a verifier for tokens of the issuers. No two issuers may have the same
// URL.
func NewVerifier(issuers []Issuer, o Options, now func() time.Time) (*Verifier, error) {
	v := &Verifier{issuers: map[string]*issuer{}, maxSize: o.MaxSize, now: now, revoked: o.Revoked}
	if v.revoked == nil {
		v.revoked = func(token.Token) bool { return false }
	}
	if v.maxSize == 0 {
		v.maxSize = DefaultMaxSize
	}
	if o.CacheSize == 0 {
		o.CacheSize = DefaultCacheSize
	}
	v.cache = newCache(o.CacheSize, cmp.Or(o.Rand, rand.Reader))
	for _, i := range issuers {
		i.Algorithms = algorithms(i.Algorithms)
		if i.Profile == "" {
			i.Profile = RFC9068
		}
		switch {
		case i.URL == "" || len(i.Audiences) == 0 || i.Keys == nil:
			return nil, fmt.Errorf("jwt: issuer %q has no URL, audience or keys", i.Name)
		case v.issuers[i.URL] != nil:
			return nil, fmt.Errorf("jwt: two issuers are %q", i.URL)
		case profiles[i.Profile] == nil:
			return nil, fmt.Errorf("jwt: no profile %q", i.Profile)
		}
		for _, a := range i.Algorithms {
			if _, supported := hashes[a]; !supported {
				return nil, fmt.Errorf("jwt: algorithm %q is not supported", a)
			}
		}
		v.issuers[i.URL] = &issuer{i}
		if i.Introspection != nil {
			v.opaque = append(v.opaque, v.issuers[i.URL])
		}
	}
	return v, nil
}

// Verify returns the token in c if it was properly presented with r and passes every check
// of its issuer's configuration. Any error is a *[token.Error].
//
// Results that do not change with time are remembered by the token's exact bytes, under the
// keys that its issuer had. The token's times are checked on every call.
func (v *Verifier) Verify(ctx context.Context, r request.Request, c credential.Credential) (*token.Token, error) {
	t, err := v.verify(ctx, r, c)
	if err != nil {
		return nil, v.located(err)
	}
	return t, nil
}

// located adds to an error the URL of the issuer that it names. It copies the error,
// because remembered refusals are shared.
func (v *Verifier) located(err *token.Error) *token.Error {
	for url, i := range v.issuers {
		if err.IssuerName == i.Name && err.IssuerName != "" {
			named := *err
			named.Issuer = url
			return &named
		}
	}
	return err
}

func (v *Verifier) verify(ctx context.Context, r request.Request, c credential.Credential) (*token.Token,
	*token.Error) {
	if c.Scheme != credential.Bearer && c.Scheme != credential.DPoP {
		return nil, fail(token.BadBinding, "", "a scheme that cannot be checked")
	}
	if len(c.Raw) > v.maxSize {
		return nil, fail(token.Malformed, "", "larger than %d bytes", v.maxSize)
	}
	now := v.now()
	x, err := v.find(ctx, c.Raw, now)
	if err != nil {
		return nil, err
	}
	if err := x.issuer.checkTime(x.token, x.notBefore, now); err != nil {
		return nil, err
	}
	if err := v.checkRevoked(ctx, x); err != nil {
		return nil, err
	}
	return x.bind(ctx, r, c, now)
}

// find returns what the credential says. It reads a JWT itself and, if so configured, also
// asks how its issuer sees it now. For an opaque token it asks the issuer.
func (v *Verifier) find(ctx context.Context, raw string, now time.Time) (*verified, *token.Error) {
	if i := v.issuerOfOpaque(raw); i != nil {
		return i.introspect(ctx, raw)
	}
	name := v.cache.name(raw)
	x, refused := v.cache.find(name, now)
	if refused != nil {
		return nil, refused
	}
	if x == nil {
		if x, refused = v.read(ctx, name, raw, now); refused != nil {
			return nil, refused
		}
	}
	if in := x.issuer.Introspection; in != nil && in.All {
		return x.weakened(ctx, raw, now)
	}
	return x, nil
}

// checkRevoked refuses a token that has been revoked, here or in the list that it names.
func (v *Verifier) checkRevoked(ctx context.Context, x *verified) *token.Error {
	if v.revoked(x.token) {
		return fail(token.Revoked, x.issuer.Name, "by id, session or subject")
	}
	if x.list == nil {
		return nil
	}
	good, err := x.issuer.Lists.Valid(ctx, *x.list)
	switch {
	case errors.Is(err, statuslist.ErrReference):
		return fail(token.BadClaims, x.issuer.Name, "%v", err)
	case err != nil:
		return fail(token.IntrospectionOut, x.issuer.Name, "%v", err)
	case !good:
		return fail(token.Revoked, x.issuer.Name, "its status list says so")
	}
	return nil
}

// read verifies a token that is not remembered, and remembers the result.
func (v *Verifier) read(ctx context.Context, name digest, raw string, now time.Time) (*verified, *token.Error) {
	parts, h, claims, err := parse(raw)
	if err != nil {
		v.cache.refuse(name, err, nil, 0, now)
		return nil, err
	}
	// Used only to choose whose rules and keys apply.
	iss, _ := claims["iss"].(string)
	i, known := v.issuers[iss]
	if !known {
		err = fail(token.UntrustedIssuer, "", "iss is not a configured issuer")
		v.cache.refuse(name, err, nil, 0, now)
		return nil, err
	}
	generation := i.Keys.Generation() // before looking up the key, not after
	x, err := i.verify(ctx, parts, h, claims)
	if err == nil {
		if early := i.checkTime(x.token, x.notBefore, now); early != nil {
			return nil, early // the answer may change in a second
		}
		err = i.judge(h, x.token)
	}
	if err == nil {
		err = x.further(claims)
	}
	if err != nil {
		v.cache.refuse(name, err, i, generation, now)
		return nil, err
	}
	x.generation = generation
	v.cache.keep(name, x)
	return x, nil
}

// verify checks the signature, and only then looks at the claims.
func (i *issuer) verify(ctx context.Context, parts compact, h header, claims map[string]any) (*verified, *token.Error) {
	if err := i.checkSignature(ctx, h, parts); err != nil {
		return nil, err
	}
	return i.read(claims, profiles[i.Profile])
}

// parse splits a token without believing any of it.
func parse(raw string) (parts compact, h header, claims map[string]any, failed *token.Error) {
	parts, err := split(raw)
	if err != nil {
		return parts, h, nil, &token.Error{Code: token.Malformed, Detail: err.Error()}
	}
	head, err := strictjson.Object(parts.header)
	if err != nil {
		return parts, h, nil, fail(token.Malformed, "", "header: %v", err)
	}
	if h, err = parseHeader(head); err != nil {
		return parts, h, nil, fail(token.Malformed, "", "%v", err)
	}
	h.alg = canonical(h.alg)
	if claims, err = strictjson.Object(parts.payload); errors.Is(err, strictjson.ErrNumber) {
		return parts, h, nil, fail(token.BadClaims, "", "claims: %v", err)
	} else if err != nil {
		return parts, h, nil, fail(token.Malformed, "", "claims: %v", err)
	}
	return parts, h, claims, nil
}

func fail(code token.Code, issuerName, format string, args ...any) *token.Error {
	return &token.Error{Code: code, IssuerName: issuerName, Detail: fmt.Sprintf(format, args...)}
}

// checkSignature chooses the algorithm and the key by the issuer's rules, not by
// the token's (RFC 8725 §3.1), and verifies.
func (i *issuer) checkSignature(ctx context.Context, h header, parts compact) *token.Error {
	if !slices.Contains(i.Algorithms, h.alg) {
		return fail(token.BadAlgorithm, i.Name, "the algorithm is not one of the issuer's")
	}
	key, err := i.Keys.Key(ctx, h.kid, h.alg)
	switch {
	case ctx.Err() != nil:
		return fail(token.DeadlinePassed, i.Name, "while looking for the key")
	case errors.Is(err, keyset.ErrUnknownKey):
		return fail(token.UnknownKey, i.Name, "the issuer has no such key")
	case err != nil:
		return fail(token.KeysUnavailable, i.Name, "%v", err)
	case !key.Verifies(h.alg) || !key.Pinned() && h.alg != i.first(key):
		return fail(token.BadAlgorithm, i.Name, "the key is not for this algorithm")
	}
	if !verifies(h.alg, key.Public, parts) {
		i.Keys.Doubt(h.kid)
		return fail(token.BadSignature, i.Name, "")
	}
	return nil
}

// first chooses the algorithm for a key if its set names none: the first of the issuer's
// algorithms that fits the key. No key is ever used with two algorithms (RFC 8725 §3.1).
func (i *issuer) first(k keyset.Key) string {
	n := slices.IndexFunc(i.Algorithms, k.Verifies)
	if n < 0 {
		return ""
	}
	return i.Algorithms[n]
}

// verifies checks one signature with one key and one algorithm. jwx accepts any salt length
// of RSASSA-PSS, but RFC 7518 §3.5 requires the length of the hash, so the salt is checked
// again here. A signature can have only one length.
func verifies(alg string, public crypto.PublicKey, parts compact) bool {
	verifier, err := jws.NewVerifier(jwa.SignatureAlgorithm(alg))
	if err != nil || len(parts.signature) != signatureLength(public) {
		return false
	}
	if strings.HasPrefix(alg, "PS") {
		key, ok := public.(*rsa.PublicKey)
		h := hashes[alg].New()
		h.Write(view(parts.signed))
		return ok && rsa.VerifyPSS(key, hashes[alg], h.Sum(nil), parts.signature, &rsa.PSSOptions{
			SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
	}
	return verifier.Verify(view(parts.signed), parts.signature, public) == nil
}

// signatureLength returns the length in bytes of a signature by the key (RFC 7518 §3.3,
// §3.4; RFC 8037 §3.1), or -1 for a key of no supported type.
func signatureLength(public crypto.PublicKey) int {
	switch p := public.(type) {
	case *rsa.PublicKey:
		return p.Size()
	case *ecdsa.PublicKey:
		return 2 * ((p.Curve.Params().BitSize + 7) / 8)
	case ed25519.PublicKey:
		return ed25519.SignatureSize
	}
	return -1
}
