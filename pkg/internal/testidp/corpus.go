package testidp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"fmt"
	"math/big"
	"strings"
)

// Bad is a token that must be refused, and the reason code.
type Bad struct {
	Class string // of attack: J1 to J22
	Name  string
	Raw   string
	Code  string
}

// corpus collects bad tokens.
type corpus struct {
	p   *IDP
	all []Bad
	err error
}

func (c *corpus) add(class, name, raw, code string) {
	c.all = append(c.all, Bad{class, name, raw, code})
}

// mint adds a token that differs from a good one as t says.
func (c *corpus) mint(class, name string, t Token, code string) {
	raw, err := c.p.Mint(t)
	if err != nil && c.err == nil {
		c.err = fmt.Errorf("%s %s: %w", class, name, err)
	}
	c.add(class, name, raw, code)
}

// Corpus makes the good token and thousands of bad ones, each with one defect. They are for
// an issuer with profile RFC 9068 and audience [Audience].
func (p *IDP) Corpus() (good string, bad []Bad, err error) {
	good, err = p.Mint(Token{})
	if err != nil {
		return "", nil, err
	}
	c := &corpus{p: p}
	c.spelling(good)
	c.algorithms()
	c.headers()
	c.times()
	c.types()
	c.kinds()
	c.structure()
	c.flips(good)
	return good, c.all, c.err
}

const malformed = "token_malformed"

// spelling: J1, J3, J4, J5, J19, J21.
func (c *corpus) spelling(good string) {
	parts := strings.Split(good, ".")
	for b := range 256 {
		if x := byte(b); strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", x) < 0 {
			for _, at := range []int{0, len(parts[0]) / 2, len(parts[0]) + 1 + len(parts[1])/2, len(good) - 4,
				len(good)} {
				c.add("J1", fmt.Sprintf("byte %#02x at %d", b, at), good[:at]+string([]byte{x})+good[at:], malformed)
			}
		}
	}
	for name, raw := range map[string]string{
		"empty": "", "a dot": ".", "two dots": "..", "three dots": "...", "one part": parts[0], "two parts": parts[0] +
			"." + parts[1],
		"no header": "." + parts[1] + "." + parts[2], "no payload": parts[0] + ".." + parts[2],
		"no signature": parts[0] + "." + parts[1] + ".",
		"four parts":   good + ".x", "JSON": `{"protected":"` + parts[0] + `","payload":"` + parts[1] +
			`","signature":"` + parts[2] + `"}`,
		"JSON of many": `{"payload":"` + parts[1] + `","signatures":[{"protected":"` + parts[0] + `","signature":"` +
			parts[2] + `"}]}`, "JSON without protected": `{"payload":"` + parts[1] + `","signature":"` + parts[2] +
			`"}`,
		"an object": "{}", "null": "null", "claims alone": `{"sub":"alice"}`,
	} {
		c.add("J3", name, raw, malformed)
	}
	for name, header := range map[string]string{
		"dir": `{"alg":"dir","enc":"A256GCM"}`, "zip": `{"alg":"dir","enc":"A256GCM","zip":"DEF"}`,
		"PBES2":  `{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2c":2147483648,"p2s":"AAAA"}`,
		"RSA1_5": `{"alg":"RSA1_5","enc":"A128CBC-HS256"}`, "ECDH": `{"alg":"ECDH-ES","enc":"A128GCM","epk":{}}`,
	} {
		c.add("J4", "encrypted by "+name, b64([]byte(header))+".AAAA.AAAA.AAAA.AAAA", malformed)
	}
	for _, n := range []int{17 << 10, 64 << 10, 1 << 20} {
		c.add("J5", fmt.Sprintf("%d letters", n), strings.Repeat("a", n), malformed)
		c.add("J5", fmt.Sprintf("%d dots", n), strings.Repeat(".", n), malformed)
		c.mint("J5", fmt.Sprintf("a kid of %d", n), Token{Header: map[string]any{"kid": strings.Repeat("k", n)}},
			malformed)
		c.mint("J5", fmt.Sprintf("a claim of %d", n), Token{Claims: map[string]any{"x": strings.Repeat("x", n)}},
			malformed)
	}
	for i, part := range parts {
		with := func(s string) string {
			all := append([]string{}, parts...)
			all[i] = s
			return strings.Join(all, ".")
		}
		for n := 1; n < 4; n++ {
			c.add("J19", fmt.Sprintf("part %d with %d =", i, n), with(part+strings.Repeat("=", n)), malformed)
		}
		for name, s := range map[string]string{"a line break": part[:4] + "\n" + part[4:], "CRLF": part[:4] + "\r\n" +
			part[4:], "a space": part + " ", "a tab": "\t" + part, "plus": "+" + part[1:], "slash": "/" + part[1:],
			"a letter more": part + "A", "a letter less": part[:len(part)-1]} {
			code := malformed
			if i == 1 && (name == "a letter more" || name == "a letter less") || i == 2 && strings.HasPrefix(
				name, "a letter") {
				code = "" // whichever is found first
			}
			c.add("J19", fmt.Sprintf("part %d with %s", i, name), with(s), code)
		}
	}
	c.add("J21", "a token in a token", b64([]byte(`{"alg":"ES256","typ":"at+jwt","kid":"es"}`))+"."+b64([]byte(good))+
		"."+parts[2], malformed)
	c.mint("J21", "a token as claims", Token{Payload: []byte(`"` + good + `"`)}, malformed)
}

// algorithms: J8, J10.
func (c *corpus) algorithms() {
	for _, alg := range []string{"none", "None", "NONE", "nOnE", "", "HS256", "HS384", "HS512", "RS1", "ES256K",
		"ES384", "ES512", "RS384", "RS512", "PS384", "PS512", "es256", "rs256", "ES256 ", " ES256", "ES256\x00",
		"RSA-OAEP", "dir", "EdDSA448", "Ed448", "A128KW"} {
		for _, key := range []string{"es", "rs", "ps", "ed"} {
			code := "token_algorithm"
			if alg == "" {
				code = malformed
			}
			c.mint("J8", fmt.Sprintf("alg %q by %s", alg, key), Token{Key: key, Header: map[string]any{"alg": alg},
				Sign: func(string) []byte { return make([]byte, 64) }}, code)
		}
	}
	for _, pair := range [][2]string{{"es", "RS256"}, {"es", "PS256"}, {"es", "EdDSA"}, {"rs", "ES256"},
		{"rs", "EdDSA"}, {"rs", "PS256"}, {"ps", "RS256"}, {"ps", "ES256"}, {"ed", "ES256"}, {"ed", "RS256"}} {
		c.mint("J8", pair[1]+" with the key "+pair[0], Token{Key: pair[0], Header: map[string]any{"alg": pair[1]},
			Sign: func(string) []byte { return make([]byte, 64) }}, "token_algorithm")
	}
	c.p.mu.Lock()
	public := c.p.keys["rs"].Public().(*rsa.PublicKey)
	key := c.p.keys["es"].(*ecdsa.PrivateKey)
	c.p.mu.Unlock()
	for name, secret := range map[string][]byte{"modulus": public.N.Bytes(), "JWKS": c.p.JWKS(), "nothing": {}} {
		c.mint("J8", "HMAC with the public "+name, Token{Key: "rs", Header: map[string]any{"alg": "HS256"},
			Sign: func(s string) []byte {
				h := hmac.New(sha256.New, secret)
				h.Write([]byte(s))
				return h.Sum(nil)
			}}, "token_algorithm")
	}
	order := elliptic.P256().Params().N
	pair := func(r, s *big.Int) []byte {
		out := make([]byte, 64)
		new(big.Int).Mod(r, new(big.Int).Lsh(big.NewInt(1), 256)).FillBytes(out[:32])
		new(big.Int).Mod(s, new(big.Int).Lsh(big.NewInt(1), 256)).FillBytes(out[32:])
		return out
	}
	zero, one := big.NewInt(0), big.NewInt(1)
	for name, signature := range map[string][]byte{
		"r=s=0": pair(zero, zero), "r=0": pair(zero, one), "s=0": pair(one, zero), "r=s=n": pair(order, order),
		"r=n": pair(order, one), "r=s=1": pair(one, one), "r=n+1": pair(new(big.Int).Add(order, one), one),
		"all ones": []byte(strings.Repeat("\xff", 64)), "63 bytes": make([]byte, 63), "65 bytes": make([]byte, 65),
		"one byte": {0}, "132 bytes": make([]byte, 132),
	} {
		c.mint("J10", name, Token{Sign: func(string) []byte { return signature }}, "token_bad_signature")
	}
	c.mint("J10", "DER", Token{Sign: func(s string) []byte {
		digest := sha256.Sum256([]byte(s))
		der, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
		if err != nil {
			panic(err) // a key of our own making
		}
		return der
	}}, "token_bad_signature")
	for n := range 4 {
		c.mint("J10", fmt.Sprintf("%d zeros before", n+1), Token{Sign: func(s string) []byte {
			digest := sha256.Sum256([]byte(s))
			der, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
			var v struct{ R, S *big.Int }
			if _, again := asn1.Unmarshal(der, &v); err != nil || again != nil {
				panic("a signature of our own making")
			}
			return append(make([]byte, n+1), pair(v.R, v.S)...)
		}}, "token_bad_signature")
	}
	for _, kid := range []string{"es", "rs", "ps", "ed"} {
		c.mint("J8", "another's key under the name "+kid, Token{Key: "rogue", Header: map[string]any{"kid": kid}},
			map[string]string{"es": "token_bad_signature"}[kid]+map[bool]string{true: "token_algorithm"}[kid != "es"])
	}
}

// headers: J9, J11, J12, J13.
func (c *corpus) headers() {
	for name, value := range map[string]any{
		"crit": []string{"exp"}, "b64": false, "jwk": map[string]any{"kty": "oct", "k": "AAAA"},
		"jku": "https://evil.example.com/jwks", "x5u": "https://evil.example.com/cert", "x5c": []string{"AAAA"},
		"x5t": "AAAA", "x5t#S256": "AAAA",
		"cty": "JWT", "zip": "DEF", "enc": "A128GCM", "epk": map[string]any{}, "apu": "AAAA", "iv": "AAAA",
		"tag": "AAAA", "p2c": 1, "iss": "https://idp.example.com", "nonce": "x", "url": "https://x", "": "x",
		"ALG": "ES256", "Kid": "es",
	} {
		c.mint("J11", "header "+name, Token{Header: map[string]any{name: value}}, malformed)
	}
	for name, value := range map[string]any{"empty crit": []string{}, "crit of nothing known": []string{"zzz"},
		"crit is text": "exp", "crit is null": []any{nil}} {
		c.mint("J9", name, Token{Header: map[string]any{"crit": value}}, malformed)
	}
	for _, kid := range []string{"../../etc/passwd", "' OR 1=1 --", "|id", "es%00", "es\x00", "ES", "es ", " es", "еs",
		"es\n", "nobody", "0", "null", "rogue", "*", "es,rs", "$(id)", "es/", "%65s", "\u0065s "} {
		code := "token_unknown_key"
		c.mint("J12", fmt.Sprintf("kid %q", kid), Token{Header: map[string]any{"kid": kid}}, code)
	}
	for name, kid := range map[string]any{"a number": 1, "an array": []string{"es"}, "an object": map[string]any{},
		"true": true, "empty": "", "of 513 bytes": strings.Repeat("k", 513)} {
		c.mint("J12", "kid is "+name, Token{Header: map[string]any{"kid": kid}}, malformed)
	}
	for _, name := range []string{"iss", "sub", "aud", "exp", "iat", "jti", "acr", "auth_time", "client_id", "scope",
		"x"} {
		escaped := fmt.Sprintf("\\u%04x", name[0]) + name[1:]
		for how, again := range map[string]string{"": name, " escaped": escaped} {
			c.mint("J13", name+" twice"+how,
				Token{Payload: []byte(c.body(`"x":{"y":1},"` + name + `":"1","` + again + `":"2"`))}, malformed)
			c.mint("J13", name+" twice inside"+how,
				Token{Payload: []byte(c.body(`"deep":[{"` + name + `":1,"` + again + `":2}]`))}, malformed)
		}
	}
	for _, name := range []string{"alg", "kid", "typ"} {
		raw := b64([]byte(`{"alg":"ES256","typ":"at+jwt","kid":"es","`+name+`":"none"}`)) + "." + b64(
			[]byte(c.body(""))) + "." + b64(make([]byte, 64))
		c.add("J13", "header "+name+" twice", raw, malformed)
	}
}

// body returns a good claim set as JSON, and more.
func (c *corpus) body(more string) string {
	claims := c.p.claims()
	text := string(encode(claims))
	if more == "" {
		return text
	}
	return text[:len(text)-1] + "," + more + "}"
}

// times: J14.
func (c *corpus) times() {
	now := c.p.now().Unix()
	wrong := map[string]string{
		"text": `"1800000000"`, "a date": `"2099-01-01T00:00:00Z"`, "null": "null", "true": "true", "an array": "[1]",
		"an object": "{}", "negative": "-1", "minus zero": "-0", "too large": "1e400", "beyond 9999": "253402300800",
		"1e18": "1e18", "max": "9223372036854775807", "beyond int64": "92233720368547758070", "empty text": `""`,
		"a fraction below zero": "-0.5",
	}
	for _, name := range []string{"exp", "iat", "nbf", "auth_time"} {
		for how, value := range wrong {
			c.mint("J14", name+" is "+how, Token{Payload: []byte(c.with(name, value))}, "token_claims")
		}
		for _, grammar := range []string{"01", "+1", "1.", ".5", "1e", "0x1", "NaN", "Infinity", "1_000", "1,5"} {
			c.mint("J14", name+" is written "+grammar, Token{Payload: []byte(c.with(name, grammar))}, malformed)
		}
	}
	for _, ago := range []int64{30, 31, 60, 3600, 86400, 1_000_000} {
		c.mint("J14", fmt.Sprintf("expired %d s ago", ago), Token{Claims: map[string]any{"exp": now - ago}},
			"token_expired")
	}
	for _, ahead := range []int64{31, 60, 3600, 1_000_000} {
		c.mint("J14", fmt.Sprintf("nbf in %d s", ahead), Token{Claims: map[string]any{"nbf": now + ahead}},
			"token_not_yet_valid")
		c.mint("J14", fmt.Sprintf("iat in %d s", ahead), Token{Claims: map[string]any{"iat": now + ahead}},
			"token_not_yet_valid")
		c.mint("J14", fmt.Sprintf("auth_time in %d s", ahead), Token{Claims: map[string]any{"auth_time": now + ahead}},
			"token_claims")
	}
	c.mint("J7", "a bad signature, and expired", Token{Key: "rogue", Header: map[string]any{"kid": "es"},
		Claims: map[string]any{"exp": now - 1000}}, "token_bad_signature")
	c.mint("J14", "no exp", Token{Claims: map[string]any{"exp": nil}}, "token_claims")
	c.mint("J14", "EXP in place of exp", Token{Claims: map[string]any{"exp": nil, "EXP": now + 60}}, "token_claims")
}

// with returns a good claim set in which one claim has that text.
func (c *corpus) with(name, value string) string {
	claims := c.p.claims()
	delete(claims, name)
	text := string(encode(claims))
	return text[:len(text)-1] + `,"` + name + `":` + value + "}"
}

// types: J6, J17, J18.
func (c *corpus) types() {
	values := map[string]any{"a number": 1, "zero": 0, "true": true, "false": false, "an object": map[string]any{
		"a": "b"}, "an array of numbers": []any{1}, "a nested array": []any{[]any{"x"}}, "an array with null": []any{
		"x", nil}}
	for _, name := range []string{"sub", "acr", "client_id", "scope", "amr", "aud"} {
		for how, value := range values {
			c.mint("J18", name+" is "+how, Token{Claims: map[string]any{name: value}}, "token_claims")
		}
		c.mint("J18", name+" is null", Token{Payload: []byte(c.with(name, "null"))}, "token_claims")
	}
	for _, name := range []string{"sub", "acr", "client_id"} {
		c.mint("J18", name+" is empty", Token{Claims: map[string]any{name: ""}}, "token_claims")
		c.mint("J18", name+" is an array", Token{Claims: map[string]any{name: []string{"x"}}}, "token_claims")
	}
	c.mint("J18", "amr is text", Token{Claims: map[string]any{"amr": "pwd"}}, "token_claims")
	c.mint("J18", "amr holds an empty method", Token{Claims: map[string]any{"amr": []string{""}}}, "token_claims")
	for name, aud := range map[string]any{"missing": nil, "empty array": []string{},
		"of another": "https://other.example.com", "a prefix": Audience[:len(Audience)-1], "with a slash": Audience +
			"/", "in upper case": strings.ToUpper(Audience), "with a space": Audience + " ", "two others": []string{
			"a", "b"}, "a list as text": Audience + " x"} {
		c.mint("J6", "aud is "+name, Token{Claims: map[string]any{"aud": aud}}, "token_wrong_audience")
	}
	iss := c.p.URL
	for name, v := range map[string]any{
		"with a slash": iss + "/", "in upper case": strings.ToUpper(iss), "with a port": iss + ":443",
		"with a user": strings.Replace(iss, "://", "://x@", 1), "escaped": strings.Replace(iss, ".", "%2e", 1),
		"with a fragment": iss + "#", "with a query": iss + "?", "of another": "https://evil.example.com",
		"with a space": " " + iss, "an array": []string{iss}, "a number": 1, "empty": "",
		"a unicode dot": strings.Replace(iss, ".", "。", 1), "missing": nil, "with NUL": iss + "\x00",
		"without a scheme": strings.TrimPrefix(strings.TrimPrefix(iss, "https://"), "http://"),
	} {
		if v != iss {
			c.mint("J17", "iss is "+name, Token{Claims: map[string]any{"iss": v}}, "token_untrusted_issuer")
		}
	}
	for _, name := range []string{"sub", "client_id", "iat", "jti"} {
		c.mint("J18", "no "+name, Token{Claims: map[string]any{name: nil}}, "token_claims")
	}
}

// kinds: J16, J20.
func (c *corpus) kinds() {
	for _, typ := range []any{nil, "", "JWT", "jwt", "id_token", "logout+jwt", "secevent+jwt", "dpop+jwt",
		"oauth-authz-req+jwt", "client-authentication+jwt", "token-introspection+jwt", "statuslist+jwt", "refresh+jwt",
		"at+jwt ", "at+jwt;x", "application/jwt", "text/at+jwt", "application/application/at+jwt", "at jwt", "kb+jwt",
		"vc+sd-jwt", "entity-statement+jwt"} {
		c.mint("J16", fmt.Sprintf("typ %v", typ), Token{Header: map[string]any{"typ": typ}}, "token_wrong_type")
	}
	for _, name := range []string{"nonce", "at_hash", "c_hash", "s_hash", "events"} {
		c.mint("J20", "with "+name, Token{Claims: map[string]any{name: "x"}}, "token_wrong_type")
	}
	for name, cnf := range map[string]any{"empty": map[string]any{}, "text": "x", "unknown": map[string]any{"kid": "x"},
		"jkt": map[string]any{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}, "a short jkt": map[string]any{
			"jkt": "AAAA"}, "a certificate": map[string]any{"x5t#S256": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"},
		"a key": map[string]any{"jwk": map[string]any{"kty": "oct"}}} {
		c.mint("J20", "cnf is "+name, Token{Claims: map[string]any{"cnf": cnf}}, "token_binding")
	}
}

// structure: J15.
func (c *corpus) structure() {
	for _, depth := range []int{32, 33, 100, 1_000, 4_000} {
		c.mint("J15", fmt.Sprintf("arrays %d deep", depth),
			Token{Payload: []byte(c.with("x", strings.Repeat("[", depth)+strings.Repeat("]", depth)))}, malformed)
		c.mint("J15", fmt.Sprintf("objects %d deep", depth),
			Token{Payload: []byte(c.with("x", strings.Repeat(`{"a":`, min(depth, 1_900))+"1"+strings.Repeat(
				"}", min(depth, 1_900))))}, malformed)
	}
	for name, payload := range map[string]string{"nothing": " ", "an array": "[]", "text": `"x"`, "a number": "1",
		"null": "null", "cut": c.body("")[:40], "two": c.body("") + c.body(""), "followed": c.body("") + "x",
		"a BOM": "\ufeff" + c.body(""), "UTF-16": "\xff\xfe{\x00}\x00", "not UTF-8": strings.Replace(
			c.body(""), "alice", "al\xffce", 1), "overlong": strings.Replace(c.body(""), "alice", "al\xc0\xafce", 1),
		"half a surrogate": strings.Replace(c.body(""), "alice", `\ud800`, 1), "a comma": strings.Replace(
			c.body(""), "}", ",}", 1), "single quotes": strings.ReplaceAll(c.body(""), `"`, "'"), "a comment": "/**/" +
			c.body(""), "a control byte": strings.Replace(c.body(""), "alice", "al\x01ice", 1),
		"a raw line break": strings.Replace(c.body(""), "alice", "al\nice", 1)} {
		c.mint("J15", "claims are "+name, Token{Payload: []byte(payload)}, malformed)
	}
}

// flips: J22, each bit of a good token.
func (c *corpus) flips(good string) {
	for i := range good {
		for bit := range 7 {
			b := []byte(good)
			b[i] ^= 1 << bit
			// what is found first depends on the bit
			c.add("J22", fmt.Sprintf("bit %d of byte %d", bit, i), string(b), "")
		}
	}
}
