package jwt

import (
	"encoding/json"
	"io/fs"
	"testing"

	"github.com/c2sp/wycheproof"
	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/stepward/stepward/pkg/internal/strictjson"
	"github.com/stepward/stepward/pkg/trust/keyset"
)

// disagreements are comments of vectors that are labelled valid and refused here, and
// why. Those by a symmetric key are refused as a class: an access token signed by what
// verifies it proves nothing to anyone who holds that.
var disagreements = map[string]string{
	"emptyPayload": "a token without claims says nothing; no part may be empty",
	"Figure20":     "the key is pinned to PS256 and the token is PS384 (RFC 7517 §4.4)",
	"Figure27":     "the key is pinned to ES521, which is no algorithm (RFC 7518 §3.1)",
}

type group struct {
	Comment         string
	Type            string
	Public, Private json.RawMessage
	Tests           []struct {
		TcID    int `json:"tcId"`
		Comment string
		JWS     json.RawMessage
		Result  string
		Flags   []string
	}
}

// signed reports whether a compact token is signed by a key of the set, by the rules
// of the verifier before it comes to claims: the vectors have none.
func signed(raw string, keys []byte) bool {
	set, _, err := keyset.Parse(keys)
	if err != nil {
		return false
	}
	parts, err := split(raw)
	if err != nil {
		return false
	}
	head, err := strictjson.Object(parts.header)
	if err != nil {
		return false
	}
	h, err := parseHeader(head)
	if err != nil {
		return false
	}
	if _, supported := hashes[canonical(h.alg)]; !supported {
		return false
	}
	key, err := set.Find(h.kid, canonical(h.alg))
	return err == nil && key.Verifies(canonical(h.alg)) && verifies(canonical(h.alg), key.Public, parts)
}

// Of Wycheproof's vectors for JSON Web Signatures and Keys no invalid one is accepted,
// and each valid one that is refused has its reason.
func TestWycheproof(t *testing.T) {
	total, refused, accepted, controls := 0, 0, 0, 0
	for _, file := range []string{"json_web_signature", "json_web_key", "json_web_crypto"} {
		text, err := fs.ReadFile(wycheproof.TestVectors, file+"_test.json")
		if err != nil {
			t.Fatal(err)
		}
		var vectors struct{ TestGroups []group }
		if err := json.Unmarshal(text, &vectors); err != nil {
			t.Fatal(err)
		}
		for _, g := range vectors.TestGroups {
			key := g.Public
			if len(key) == 0 {
				key = g.Private
			}
			var set struct{ Keys []json.RawMessage }
			if json.Unmarshal(key, &set) != nil || set.Keys == nil {
				key = append(append([]byte(`{"keys":[`), key...), "]}"...)
			}
			if raw, ok := control(t, g.Private, key); ok {
				controls++
				if !signed(raw, key) {
					t.Errorf("%s %s: a token signed with the group's own key is refused", file, g.Comment)
				}
				if signed(raw[:len(raw)-6]+"AAAAAA", key) {
					t.Errorf("%s %s: and with another signature it is not", file, g.Comment)
				}
			}
			for _, v := range g.Tests {
				var raw string
				if json.Unmarshal(v.JWS, &raw) != nil || raw == "" {
					raw = string(v.JWS) // JSON serialization, or an encryption without one
				}
				if raw == "" {
					continue
				}
				total++
				switch got := signed(raw, key); {
				case got && v.Result != "valid":
					t.Errorf("%s %d (%s, %s): an invalid token is accepted: %v", file, v.TcID, g.Comment, v.Comment,
						v.Flags)
				case got:
					accepted++
				case v.Result == "valid" && !symmetric(key):
					if refused++; disagreements[v.Comment] == "" {
						t.Errorf("%s %d (%s, %s): a valid token is refused", file, v.TcID, g.Comment, v.Comment)
					}
				}
			}
		}
	}
	t.Logf("%d vectors: %d accepted, %d that are labelled valid refused; %d controls", total, accepted, refused,
		controls)
	if controls < 10 || total < 450 || accepted < 25 || refused > 12 {
		t.Errorf("%d vectors, %d accepted, %d valid ones refused", total, accepted, refused)
	}
}

// control returns a token signed with a group's private key, where the public one is of use:
// if it is not accepted, a refusal of the others proves nothing.
func control(t *testing.T, private, public []byte) (string, bool) {
	t.Helper()
	set, _, err := keyset.Parse(public)
	if err != nil || set.Len() != 1 || len(private) == 0 {
		return "", false
	}
	key, err := jwk.ParseKey(private)
	if err != nil {
		return "", false
	}
	alg := key.Algorithm().String()
	if alg == "" {
		alg = map[jwa.KeyType]string{jwa.RSA: "RS256", jwa.EC: "ES256"}[key.KeyType()]
	}
	k, err := set.Find(key.KeyID(), alg)
	if err != nil || !k.Verifies(alg) {
		return "", false // pinned to what is no algorithm
	}
	headers := jws.NewHeaders()
	if err := headers.Set("kid", key.KeyID()); err != nil {
		t.Fatal(err)
	}
	raw, err := jws.Sign([]byte(`{"sub":"control"}`), jws.WithKey(jwa.SignatureAlgorithm(alg), key,
		jws.WithProtectedHeaders(headers)))
	if err != nil {
		t.Fatalf("%s: %v", alg, err)
	}
	return string(raw), true
}

// symmetric reports whether a set has none but symmetric keys.
func symmetric(keys []byte) bool {
	var set struct{ Keys []struct{ Kty string } }
	if json.Unmarshal(keys, &set) != nil {
		return false
	}
	for _, k := range set.Keys {
		if k.Kty != "oct" {
			return false
		}
	}
	return true
}
