package keyset

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/stepward/stepward/pkg/internal/strictjson"
)

// ErrUnknownKey means that, as far as we know, the issuer has no such key.
var ErrUnknownKey = errors.New("keyset: no such key")

// ErrUnavailable means that the issuer's keys were not available in time. It says nothing
// about the requested key.
var ErrUnavailable = errors.New("keyset: keys are not available")

// Key is a public key that may verify signatures.
type Key struct {
	ID     string           // kid; may be empty
	Public crypto.PublicKey // *rsa.PublicKey, *ecdsa.PublicKey on a NIST curve, or ed25519.PublicKey

	algorithm string // the algorithm that the set pins, or empty
}

// Verifies reports whether the key has the type, curve and size that the algorithm needs,
// and is not pinned to another algorithm (RFC 7517 §4.4, RFC 8725 §3.1).
func (k Key) Verifies(algorithm string) bool {
	if k.algorithm != "" && k.algorithm != algorithm && !(k.algorithm == "Ed25519" && algorithm == "EdDSA") {
		return false
	}
	switch p := k.Public.(type) {
	case *rsa.PublicKey:
		switch algorithm {
		case "RS256", "RS384", "RS512", "PS256", "PS384", "PS512":
			return true
		}
	case *ecdsa.PublicKey:
		return algorithm != "" && algorithm == curves[p.Curve.Params().Name]
	case ed25519.PublicKey:
		return algorithm == "EdDSA"
	}
	return false
}

// Thumbprint returns the SHA-256 thumbprint of the key, in base64url (RFC 7638).
func (k Key) Thumbprint() (string, error) {
	j, err := jwk.FromRaw(k.Public)
	if err != nil {
		return "", errors.New("keyset: no thumbprint of such a key")
	}
	digest, err := j.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", errors.New("keyset: no thumbprint of such a key")
	}
	return base64.RawURLEncoding.EncodeToString(digest), nil
}

// curves maps each supported curve to its one algorithm (RFC 7518 §3.4).
var curves = map[string]string{"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}

// Pinned reports whether the set itself says which algorithm the key is for. If not, the
// verifier pins the key.
func (k Key) Pinned() bool { return k.algorithm != "" }

// Set holds an issuer's keys. It is immutable; the zero Set is empty.
type Set struct {
	keys  []Key          // by name
	named map[string]int // the index of each name in keys
}

// Len returns the number of keys.
func (s Set) Len() int { return len(s.keys) }

// Keys lists the keys by name.
func (s Set) Keys() []Key { return slices.Clone(s.keys) }

// Names lists the names of the keys, in order. Keys without a name are left out.
func (s Set) Names() []string {
	names := make([]string, 0, len(s.named))
	for _, k := range s.keys {
		if k.ID != "" {
			names = append(names, k.ID)
		}
	}
	return names
}

// Find returns the key named kid. Without a kid it returns the only key that fits the
// algorithm, or none if several do. The error is [ErrUnknownKey].
func (s Set) Find(kid, algorithm string) (Key, error) {
	if kid != "" {
		if i, ok := s.named[kid]; ok {
			return s.keys[i], nil
		}
		return Key{}, ErrUnknownKey
	}
	found := -1
	for i, k := range s.keys {
		switch {
		case !k.Verifies(algorithm):
		case found >= 0:
			return Key{}, ErrUnknownKey
		default:
			found = i
		}
	}
	if found < 0 {
		return Key{}, ErrUnknownKey
	}
	return s.keys[found], nil
}

// Skipped names a member of a set that is not used, and says why.
type Skipped struct {
	Index int
	Why   error
}

// Parse reads a JWK set (RFC 7517 §5).
//
// It skips a key that is unknown, private, symmetric, for encryption, weak or broken, and
// uses the others: issuers publish keys for many purposes. It skips both of two different
// keys with one name. It returns an error for a text that is not a JWK set, or that holds
// no usable key at all.
func Parse(text []byte) (Set, []Skipped, error) {
	members, err := keysOf(text)
	if err != nil {
		return Set{}, nil, err
	}
	var set Set
	var skipped []Skipped
	banned := map[string]bool{}
	for i, raw := range members {
		k, err := ParseKey(raw)
		if err == nil {
			err = set.clash(k, banned)
		}
		if err != nil {
			skipped = append(skipped, Skipped{Index: i, Why: err})
			continue
		}
		set.keys = append(set.keys, k)
	}
	if len(set.keys) == 0 {
		return Set{}, skipped, fmt.Errorf("keyset: no usable key in the set (%d keys skipped)", len(skipped))
	}
	slices.SortStableFunc(set.keys, func(a, b Key) int { return strings.Compare(a.ID, b.ID) })
	set.named = map[string]int{}
	for i, k := range set.keys {
		if k.ID != "" {
			set.named[k.ID] = i
		}
	}
	return set, skipped, nil
}

// maxKeys is how many members a set may have. No issuer needs that many, and each costs
// time.
const maxKeys = 1_000

// keysOf returns the members of a set, unchecked.
func keysOf(text []byte) ([]json.RawMessage, error) {
	broken := errors.New("keyset: not a JWK set")
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, broken
	}
	var keys []json.RawMessage
	found := false
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, broken
		}
		if name != "keys" { // by its exact name: the decoder would ignore case
			var skip json.RawMessage
			if d.Decode(&skip) != nil {
				return nil, broken
			}
			continue
		}
		if found || d.Decode(&keys) != nil || keys == nil {
			return nil, broken
		}
		found = true
	}
	if _, err := d.Token(); err != nil || !found {
		return nil, broken
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, broken
	}
	if len(keys) > maxKeys {
		return nil, fmt.Errorf("keyset: a set of more than %d keys", maxKeys)
	}
	return keys, nil
}

// clash removes a key with the same name as k but other content, and bars the name from any
// use.
func (s *Set) clash(k Key, banned map[string]bool) error {
	if banned[k.ID] {
		return errors.New("keyset: a name that stands for several keys")
	}
	for i, other := range s.keys {
		if k.ID == "" || other.ID != k.ID {
			continue
		}
		if reflect.DeepEqual(k, other) {
			return errors.New("keyset: the same key twice")
		}
		banned[k.ID] = true
		s.keys = append(s.keys[:i:i], s.keys[i+1:]...)
		return errors.New("keyset: a name that stands for several keys")
	}
	return nil
}

// private lists the members that only private and symmetric keys have.
var private = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

// ParseKey reads one public key (RFC 7517 §4), by the rules of [Parse].
func ParseKey(raw []byte) (Key, error) {
	o, err := strictjson.Object(raw)
	if err != nil {
		return Key{}, err
	}
	for _, name := range private {
		if _, there := o[name]; there {
			return Key{}, errors.New("keyset: a private or symmetric key")
		}
	}
	if use, there := o["use"]; there && use != "sig" {
		return Key{}, errors.New("keyset: not for signatures")
	}
	if ops, there := o["key_ops"]; there && !holds(ops, "verify") {
		return Key{}, errors.New("keyset: not for verifying")
	}
	parsed, err := jwk.ParseKey(bytes.Clone(raw))
	if err != nil {
		return Key{}, errors.New("keyset: not a key that is understood")
	}
	k := Key{}
	if err := parsed.Raw(&k.Public); err != nil {
		return Key{}, errors.New("keyset: broken key material")
	}
	if err := checkPublic(k.Public); err != nil {
		return Key{}, err
	}
	for name, into := range map[string]*string{"kid": &k.ID, "alg": &k.algorithm} {
		if v, there := o[name]; there {
			s, ok := v.(string)
			if !ok || s == "" {
				return Key{}, fmt.Errorf("keyset: %s is not a string", name)
			}
			*into = s
		}
	}
	return k, nil
}

func holds(list any, want string) bool {
	values, _ := list.([]any)
	for _, v := range values {
		if v == want {
			return true
		}
	}
	return false
}

// checkPublic refuses weak and broken keys (RFC 7518 §3.3, §3.4; RFC 8037 §2).
func checkPublic(public crypto.PublicKey) error {
	switch p := public.(type) {
	case *rsa.PublicKey:
		switch {
		case p.N.BitLen() < 2048 || p.N.BitLen() > 8192:
			return errors.New("keyset: an RSA key of fewer than 2048 or more than 8192 bits")
		case p.E < 65537 || p.E%2 == 0 || p.N.Bit(0) == 0:
			return errors.New("keyset: an RSA key with a weak exponent or an even modulus")
		case isROCA(p.N):
			return errors.New("keyset: an RSA key with the fingerprint of ROCA (CVE-2017-15361)")
		}
		return nil
	case *ecdsa.PublicKey:
		if curves[p.Curve.Params().Name] == "" {
			return errors.New("keyset: a curve that no supported algorithm uses")
		}
		if _, err := p.ECDH(); err != nil {
			return errors.New("keyset: a point that is not on its curve")
		}
		return nil
	case ed25519.PublicKey:
		if len(p) != ed25519.PublicKeySize {
			return errors.New("keyset: an Ed25519 key of the wrong length")
		}
		return nil
	}
	return errors.New("keyset: a key type that no supported algorithm uses")
}
