package snapshot

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/internal/testidp"
	"github.com/stepward/stepward/pkg/trust/keyset"
)

// asked returns a configuration whose issuer is asked about opaque tokens.
func asked(t *testing.T, idp *testidp.IDP) config.Config {
	t.Helper()
	dir := t.TempDir()
	put(t, dir, "secret", testidp.ClientSecret+"\n")
	return parse(t, dir, `issuers: [{ name: corp, issuer: "`+idp.URL+`", audiences: [x],
  introspection: { endpoint: "`+idp.URL+`/introspect", client_id: gateway, client_secret_file: secret } }]
policy: { default: true }
`)
}

// What the doctor finds at a real provider, and what it finds where one is broken.
func TestExamine(t *testing.T) {
	idp, err := testidp.Start(testidp.Options{TLS: true})
	if err != nil {
		t.Fatal(err)
	}
	defer idp.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, idp.Authority(), 0o600); err != nil {
		t.Fatal(err)
	}
	grade := func(c config.Config, point string) (grade, detail string) {
		for _, p := range Examine(t.Context(), c, c.Issuers[0]) {
			if p.Name == point && (grade == "" || p.Grade != "ok") {
				grade, detail = p.Grade, p.Detail+" "+p.Hint
			}
		}
		return grade, detail
	}
	good := asked(t, idp)
	good.Outbound.CAFile = file
	expect := func(what string, c config.Config, point, want, says string) {
		t.Helper()
		if got, detail := grade(c, point); got != want || !strings.Contains(detail, says) {
			t.Errorf("%s: %s is %q, %q; want %q, %q", what, point, got, detail, want, says)
		}
	}
	for _, point := range []string{"discovery", "keys", "algorithms", "clock", "introspection", "levels", "dpop",
		"pushed requests"} {
		expect("all well", good, point, "ok", "")
	}
	change := func(f func(*config.Config)) config.Config {
		c := good
		c.Issuers = []config.Issuer{good.Issuers[0]}
		f(&c)
		return c
	}
	expect("an unknown authority", change(func(c *config.Config) { c.Outbound.CAFile = "" }), "discovery", "fail",
		"outbound.ca_file")
	expect("a slash too many", change(func(c *config.Config) { c.Issuers[0].Issuer += "/" }), "discovery", "fail",
		"byte for byte")
	expect("another algorithm", change(func(c *config.Config) { c.Issuers[0].Algorithms = []string{"ES384"} }),
		"algorithms", "fail", "no key is for")
	expect("fewer algorithms", change(func(c *config.Config) { c.Issuers[0].Algorithms = []string{"ES256"} }),
		"algorithms", "warn", "are refused")
	expect("a wrong client", change(func(c *config.Config) { c.Issuers[0].Introspection.ClientID = "web" }),
		"introspection", "fail", "client_id")
	expect("dpop that is not there", change(func(c *config.Config) {
		c.Issuers[0].DPoP.Origins = []string{
			"https://api.example.com"}
	}), "dpop", "warn", "not name it")
	idp.Metadata(map[string]any{"acr_values_supported": []string{"loa:1", "loa:2"},
		"pushed_authorization_request_endpoint": idp.URL + "/par", "dpop_signing_alg_values_supported": []string{
			"ES256"}})
	expect("a level that is not there", good, "levels", "warn", "phishing-resistant")
	expect("what it supports", good, "pushed requests", "ok", "RFC 9126")
	idp.Fail(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>")) })
	expect("a page", good, "discovery", "fail", "not JSON")
	idp.Close()
	expect("nobody there", good, "discovery", "fail", "connection refused")
}

// The configuration is compared with what the issuer says of itself, where it says anything.
func TestMetadataPoints(t *testing.T) {
	levels := []config.Level{{Name: "password", ACR: []string{"1"}}, {Name: "mfa", ACR: []string{"2", "3"}},
		{Name: "by methods", AMR: [][]string{{"mfa"}}}}
	issuer := config.Issuer{Assurance: config.Assurance{Claim: "acr"}, Introspection: config.Introspection{
		Endpoint: "https://a/introspect"}}
	const name = "https://idp.example.com"
	for what, v := range map[string]struct {
		m          keyset.Metadata
		change     func(*config.Issuer)
		point      string
		grade, say string // of the worst point of that name; empty for none
	}{
		"nothing said": {m: keyset.Metadata{}, point: "levels"},
		"no levels said": {m: keyset.Metadata{Issuer: name}, point: "levels", grade: "ok",
			say: "no acr_values_supported"},
		"some of the values": {m: keyset.Metadata{Issuer: name, ACRValues: []string{"1", "3"}}, point: "levels",
			grade: "ok", say: "level"},
		"a level out of reach": {m: keyset.Metadata{Issuer: name, ACRValues: []string{"1"}}, point: "levels",
			grade: "warn", say: "level mfa is proven by 2, 3"},
		"its own words": {m: keyset.Metadata{Issuer: name, ACRValues: []string{"1", "silver"}},
			change: func(i *config.Issuer) { i.Levels = map[string]config.Words{"mfa": {ACR: []string{"silver"}}} },
			point:  "levels", grade: "ok"},
		"its own words, unknown": {m: keyset.Metadata{Issuer: name, ACRValues: []string{"1", "2"}},
			change: func(i *config.Issuer) { i.Levels = map[string]config.Words{"mfa": {ACR: []string{"gold"}}} },
			point:  "levels", grade: "warn", say: "gold"},
		"levels by another claim": {m: keyset.Metadata{Issuer: name, ACRValues: []string{"9"}},
			change: func(i *config.Issuer) { i.Assurance.Claim = "amr" }, point: "levels"},
		"dpop not named": {m: keyset.Metadata{Issuer: name}, change: func(i *config.Issuer) {
			i.DPoP.Origins = []string{"https://api.example.com"}
		}, point: "dpop", grade: "warn"},
		"dpop named": {m: keyset.Metadata{Issuer: name, DPoPAlgorithms: []string{"ES256"}},
			change: func(i *config.Issuer) { i.DPoP.Origins = []string{"https://api.example.com"} }, point: "dpop",
			grade: "ok", say: "ES256"},
		"introspection elsewhere": {m: keyset.Metadata{Issuer: name, IntrospectionEndpoint: "https://b/introspect"},
			point: "introspection", grade: "warn", say: "https://b/introspect"},
		"introspection there": {m: keyset.Metadata{Issuer: name, IntrospectionEndpoint: "https://a/introspect"},
			point: "introspection", grade: "ok"},
		"claims parameter": {m: keyset.Metadata{Issuer: name, ClaimsParameter: true}, point: "claims parameter",
			grade: "ok", say: "essential"},
	} {
		i := issuer
		if v.change != nil {
			v.change(&i)
		}
		var worst Point
		for _, p := range MetadataPoints(levels, i, v.m) {
			if p.Name == v.point && (worst.Grade == "" || p.Grade != "ok") {
				worst = p
			}
		}
		if worst.Grade != v.grade || !strings.Contains(worst.Detail, v.say) {
			t.Errorf("%s: %+v; want %q, %q", what, worst, v.grade, v.say)
		}
	}
}

// What keeps keys from being had has a hint, except where the error has one.
func TestExamineKeys(t *testing.T) {
	idp, err := testidp.Start(testidp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer idp.Close()
	dir := t.TempDir()
	file := put(t, dir, "keys.json", string(idp.JWKS()))
	for name, v := range map[string]struct {
		issuer     config.Issuer
		grade, say string
	}{
		"from discovery": {config.Issuer{Issuer: idp.URL}, "ok", "usable from " + idp.URL},
		"from an address": {config.Issuer{Issuer: idp.URL, JWKSURI: idp.URL + "/jwks"}, "ok",
			"usable from " + idp.URL + "/jwks"},
		"from no address":    {config.Issuer{Issuer: idp.URL, JWKSURI: idp.URL + "/nowhere"}, "fail", "404"},
		"from a file":        {config.Issuer{Issuer: idp.URL, JWKSFile: file}, "ok", "usable from " + file},
		"from no file":       {config.Issuer{Issuer: idp.URL, JWKSFile: file + ".gone"}, "fail", file + ".gone"},
		"from a broken file": {config.Issuer{Issuer: idp.URL, JWKSFile: put(t, dir, "text", "no keys")}, "fail", ""},
	} {
		var got Point
		for _, p := range Examine(t.Context(), config.Config{Issuers: []config.Issuer{v.issuer}}, v.issuer) {
			if p.Name == "keys" && got.Grade == "" {
				got = p
			}
		}
		if got.Grade != v.grade || !strings.Contains(got.Detail, v.say) || v.issuer.JWKSFile != "" && got.Hint != "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	broken := config.Config{Outbound: config.Outbound{CAFile: filepath.Join(dir, "nowhere")}}
	if list := Examine(t.Context(), broken, config.Issuer{}); len(list) != 1 || list[0].Name != "outbound" ||
		list[0].Grade != "fail" {
		t.Errorf("%+v", list)
	}
	for off, want := range map[time.Duration]string{time.Second: "ok", -time.Minute: "fail", time.Minute: "fail"} {
		if got := clockPoint(off); got.Grade != want {
			t.Errorf("%s off: %+v", off, got)
		}
	}
}
