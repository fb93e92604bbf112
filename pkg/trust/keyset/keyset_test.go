package keyset_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/config/address"
	"github.com/stepward/stepward/pkg/internal/testidp"
	"github.com/stepward/stepward/pkg/trust/keyset"
)

func start(t *testing.T, tls bool) *testidp.IDP {
	t.Helper()
	idp, err := testidp.Start(testidp.Options{TLS: tls})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(idp.Close)
	return idp
}

// JW-09: one bad key in a set is skipped, and the good ones next to it are used.
func TestParseSkips(t *testing.T) {
	var set struct{ Keys []map[string]any }
	idp := start(t, false)
	if err := idp.AddKey("es2"); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(idp.JWKS(), &set); err != nil {
		t.Fatal(err)
	}
	pick := func(kid string, changes ...any) map[string]any {
		for _, k := range set.Keys {
			if k["kid"] == kid {
				out := map[string]any{}
				for n, v := range k {
					out[n] = v
				}
				for i := 0; i < len(changes); i += 2 {
					out[changes[i].(string)] = changes[i+1]
				}
				return out
			}
		}
		t.Fatalf("no %s", kid)
		return nil
	}
	for name, bad := range map[string]any{
		"private":       pick("es", "kid", "x", "d", "AAAA"),
		"symmetric":     map[string]any{"kty": "oct", "k": "AAAA", "kid": "x"},
		"encryption":    pick("rs", "kid", "x", "use", "enc"),
		"operations":    pick("rs", "kid", "x", "key_ops", []string{"encrypt"}),
		"post-quantum":  map[string]any{"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA", "kid": "x"},
		"short RSA":     map[string]any{"kty": "RSA", "n": strings.Repeat("q", 339) + "9", "e": "AQAB", "kid": "x"},
		"exponent 1":    pick("rs", "kid", "x", "e", "AQ"),
		"exponent 3":    pick("rs", "kid", "x", "e", "Aw"),
		"off the curve": pick("es", "kid", "x", "x", strings.Repeat("A", 42)+"E"),
		"another curve": map[string]any{"kty": "EC", "crv": "secp256k1", "x": strings.Repeat("A", 43),
			"y": strings.Repeat("A", 43), "kid": "x"},
		"Ed448":           map[string]any{"kty": "OKP", "crv": "Ed448", "x": strings.Repeat("A", 76), "kid": "x"},
		"kid is a number": pick("es", "kid", 1),
		"not an object":   "x",
		"empty":           map[string]any{},
		"empty kid":       pick("es", "kid", ""),
	} {
		t.Run(name, func(t *testing.T) {
			text, err := json.Marshal(map[string]any{"keys": []any{bad, pick("ed")}})
			if err != nil {
				t.Fatal(err)
			}
			parsed, skipped, err := keyset.Parse(text)
			if err != nil || parsed.Len() != 1 || len(skipped) != 1 {
				t.Fatalf("%d keys, %v, %v", parsed.Len(), skipped, err)
			}
			if _, err := parsed.Find("x", "RS256"); !errors.Is(err, keyset.ErrUnknownKey) {
				t.Error("the bad key is used")
			}
			if k, err := parsed.Find("ed", "EdDSA"); err != nil || !k.Verifies("EdDSA") || k.Verifies("ES256") {
				t.Errorf("the good key is not: %v", err)
			}
		})
	}
	text, _ := json.Marshal(map[string]any{"keys": []any{pick("es"), pick("rs", "kid", "es"), pick("ed"), pick("ed")}})
	if parsed, skipped, err := keyset.Parse(text); err != nil || parsed.Len() != 1 || len(skipped) != 2 {
		t.Errorf("one name for two keys: %d keys, %v, %v", parsed.Len(), skipped, err)
	}
	// Without names a key is found only where it is the only one that fits.
	es := pick("es")
	delete(es, "kid")
	for n, fits := range map[int]bool{1: true, 2: false} {
		keys := []any{es, pick("rs")}
		if n == 2 {
			keys = append(keys, pick("es2"))
		}
		text, _ := json.Marshal(map[string]any{"keys": keys})
		parsed, _, err := keyset.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parsed.Find("", "ES256"); (err == nil) != fits {
			t.Errorf("%d keys for ES256: %v", n, err)
		}
		if _, err := parsed.Find("es", "ES256"); !errors.Is(err, keyset.ErrUnknownKey) {
			t.Errorf("a key without a name answers to one: %v", err)
		}
	}
	for _, bad := range []string{"", "{}", `{"keys":[]}`, `{"keys":null}`, "<html>", `{"keys":{}}`, "[]",
		`{"Keys":[{}]}`, `{"keys":[],"keys":[]}`, "\ufeff" + string(idp.JWKS()), string(idp.JWKS()) + "{}"} {
		if _, _, err := keyset.Parse([]byte(bad)); err == nil {
			t.Errorf("%q is a key set", bad)
		}
	}
}

// FuzzParse: anything read as a set holds keys that verify one kind of algorithm, each
// under its own name, and no private key.
func FuzzParse(f *testing.F) {
	idp, err := testidp.New(testidp.Options{Issuer: "https://idp.example.com"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(idp.JWKS())
	for _, s := range []string{`{"keys":[]}`, `{"keys":[{"kty":"oct","k":"AAAA"}]}`, `{"Keys":[{}]}`, `[]`, "",
		`{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		set, _, err := keyset.Parse(text)
		if err != nil {
			if set.Len() != 0 {
				t.Fatal("keys beside an error")
			}
			return
		}
		names := map[string]bool{}
		for _, k := range set.Keys() {
			kinds := 0
			for _, kind := range [][]string{{"RS256", "PS256"}, {"ES256"}, {"ES384"}, {"ES512"}, {"EdDSA"}} {
				for _, a := range kind {
					if k.Verifies(a) {
						kinds++
						break
					}
				}
			}
			if kinds > 1 || k.Verifies("HS256") || k.Verifies("none") || k.Verifies("") || k.ID != "" && names[k.ID] {
				t.Fatalf("%q is of %d kinds", k.ID, kinds)
			}
			names[k.ID] = true
		}
	})
}

// FuzzMetadata: metadata that are believed name the issuer byte for byte, and lead
// nowhere but to https or loopback.
func FuzzMetadata(f *testing.F) {
	const issuer = "https://idp.example.com"
	for _, s := range []string{
		`{"issuer":"https://idp.example.com","jwks_uri":"https://idp.example.com/jwks","acr_values_supported":["1",2],"claims_parameter_supported":true}`,
		`{"issuer":"https://idp.example.com/","jwks_uri":"https://a"}`,
		`{"issuer":"https://idp.example.com","jwks_uri":"http://idp.example.com/jwks"}`,
		`{"issuer":"https://idp.example.com","jwks_uri":"https://a","token_endpoint":"file:///etc/passwd"}`,
		`{"Issuer":"https://idp.example.com"}`, `{}`, ``, `[]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := keyset.ParseMetadata(text, issuer)
		if err != nil {
			return
		}
		for _, u := range []string{m.JWKSURI, m.TokenEndpoint, m.IntrospectionEndpoint, m.AuthorizationEndpoint,
			m.PushedRequestEndpoint} {
			if u != "" && address.CheckURL(u) != nil {
				t.Fatalf("leads to %q", u)
			}
		}
		if m.Issuer != issuer || m.JWKSURI == "" {
			t.Fatalf("%+v", m)
		}
	})
}
