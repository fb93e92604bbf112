package jwt

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/internal/strictjson"
)

// The compact examples of RFC 7515 and RFC 8037 verify by their keys, and by no other.
func TestExamplesOfTheRFCs(t *testing.T) {
	keys := map[string]string{
		"RFC 7515 A.3": `{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`,
		"RFC 8037 A.4": `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
	}
	tokens := map[string]string{
		"RFC 7515 A.3": "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
		"RFC 8037 A.4": "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
	}
	for name, raw := range tokens {
		for of, key := range keys {
			if got := signed(raw, []byte(`{"keys":[`+key+`]}`)); got != (name == of) {
				t.Errorf("%s with the key of %s: %t", name, of, got)
			}
		}
		if signed(raw[:len(raw)-2]+"AA", []byte(`{"keys":[`+keys[name]+`]}`)) {
			t.Errorf("%s with another signature", name)
		}
	}
}

// What is split is spelled in one way: its parts give the same text again.
func FuzzSplit(f *testing.F) {
	f.Add("YQ.Yg.Yw")
	f.Add("YQ.Yg.Yx")
	f.Add("a.b")
	f.Fuzz(func(t *testing.T, raw string) {
		c, err := split(raw)
		if err != nil {
			return
		}
		var parts []string
		for _, b := range [][]byte{c.header, c.payload, c.signature} {
			parts = append(parts, base64.RawURLEncoding.EncodeToString(b))
		}
		if again := strings.Join(parts, "."); again != raw || !strings.HasPrefix(raw, c.signed+".") {
			t.Fatalf("%q is split like %q", raw, again)
		}
	})
}

// A header that is taken has nothing but alg, kid and typ, each a string.
func FuzzHeader(f *testing.F) {
	f.Add([]byte(`{"alg":"ES256","kid":"a","typ":"at+jwt"}`))
	f.Add([]byte(`{"alg":"ES256","crit":[]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		o, err := strictjson.Object(text)
		if err != nil {
			return
		}
		h, err := parseHeader(o)
		if err != nil {
			return
		}
		for name, v := range o {
			if s, ok := v.(string); !ok || name != "alg" && name != "kid" && name != "typ" || name == "alg" &&
				s != h.alg || bytes.Contains(text, []byte("crit")) && name == "crit" {
				t.Fatalf("%s: %+v", text, h)
			}
		}
	})
}
