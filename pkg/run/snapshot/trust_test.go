package snapshot

import (
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/internal/testidp"
	"github.com/stepward/stepward/pkg/internal/wait"
	"github.com/stepward/stepward/pkg/stepup"
	"github.com/stepward/stepward/pkg/trust/jwt"
)

// parse returns the configuration of text in dir, beside levels and the shipped policy.
func parse(t testing.TB, dir, text string) config.Config {
	t.Helper()
	c, err := config.Parse(filepath.Join(dir, "stepward.yaml"), []byte(text+`
levels: [{ name: password, acr: ["loa:1"] }, { name: mfa, acr: ["loa:2"] }, { name: phishing-resistant, acr: [phr] }]
`), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// corp returns an issuer that is never asked, with more members.
func corp(more string) string {
	return `issuers: [{ name: corp, issuer: "https://idp.example.com", audiences: [x]` + more + ` }]` +
		"\npolicy: { default: true }\n"
}

// made returns the snapshot of c after previous, which may be nil.
func made(t testing.TB, c config.Config, previous *Snapshot) *Snapshot {
	t.Helper()
	x, err := New(t.Context(), c, Options{Observe: Unobserved, Previous: previous})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// A reload goes on with keys that it fetches from the same place in the same way, and
// fetches others anew.
func TestKeysGoOn(t *testing.T) {
	dir := t.TempDir()
	cert, key := pair(t, time.Now().Add(time.Hour))
	put(t, dir, "ca.pem", cert)
	put(t, dir, "cert.pem", cert)
	put(t, dir, "key.pem", key)
	if err := os.Mkdir(filepath.Join(dir, "kept"), 0o700); err != nil {
		t.Fatal(err)
	}
	base := corp("")
	first := made(t, parse(t, dir, base), nil)
	for name, v := range map[string]struct {
		text   string
		goesOn bool
	}{
		"nothing":          {base, true},
		"an audience":      {strings.Replace(base, "[x]", "[x, y]", 1), true},
		"a leeway":         {corp(", leeway: 10s"), true},
		"another name":     {strings.Replace(base, "corp", "acme", 1), false},
		"an address":       {corp(`, jwks_uri: "https://idp.example.com/keys"`), false},
		"the bounds":       {corp(", keys: { refresh_max: 5m }"), false},
		"a folder":         {corp(", keys: { cache_dir: kept }"), false},
		"the authorities":  {base + "outbound: { ca_file: ca.pem }\n", false},
		"a certificate":    {base + "outbound: { cert_file: cert.pem, key_file: key.pem }\n", false},
		"hosts":            {base + "outbound: { allow: [keys.example.com] }\n", false},
		"another issuer":   {strings.Replace(base, "idp.example.com", "login.example.com", 1), false},
		"it is not needed": {corp(", optional: true"), true},
	} {
		next := made(t, parse(t, dir, v.text), first)
		if goesOn := next.Keys[0].remote == first.Keys[0].remote; goesOn != v.goesOn {
			t.Errorf("%s changes: the same keys %v; want %v", name, goesOn, v.goesOn)
		}
		if changed := next.caller.print != first.caller.print; changed != strings.Contains(v.text, "outbound") {
			t.Errorf("%s changes: another client %v", name, changed)
		}
	}
	if next := made(t, parse(t, dir, corp(", optional: true")), first); !next.Keys[0].Optional ||
		len(next.Waiting()) != 0 || !slices.Equal(first.Waiting(), []string{"keys of corp"}) {
		t.Errorf("waits for %q, and %q", first.Waiting(), next.Waiting())
	}
}

// A keyring fetches what a snapshot needs, goes on with what two share, and ends what none
// needs.
func TestKeyring(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	idp, err := testidp.Start(testidp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer idp.Close()
	dir := t.TempDir()
	text := strings.Replace(corp(""), "https://idp.example.com", idp.URL, 1)
	first := made(t, parse(t, dir, text), nil)
	same := made(t, parse(t, dir, strings.Replace(text, "[x]", "[y]", 1)), first)
	other := made(t, parse(t, dir, strings.Replace(text, "corp", "acme", 1)), same)
	file := made(t, parse(t, dir, strings.Replace(corp(", jwks_file: "+put(t, dir, "keys.json", string(idp.JWKS()))),
		"https://idp.example.com", idp.URL, 1)), nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ring := NewKeyring(ctx)
	for _, x := range []*Snapshot{first, same, other, file} {
		ring.Start(x.Keys)
		wait.Until(t, "keys", func() bool { return len(x.Waiting()) == 0 })
	}
	if len(ring.running) != 2 {
		t.Errorf("%d fetch; want one for the two that are alike, one for the other, and none for the file",
			len(ring.running))
	}
	ring.Retain(nil, same)
	if len(ring.running) != 1 || ring.running[first.Keys[0].remote] == nil {
		t.Error("what is shared has ended, or what is not goes on")
	}
	ring.Retain(file)
	if len(ring.running) != 0 {
		t.Error("nobody needs what is fetched")
	}
	stop := other.Fetch(t.Context(), wait.Bound)
	if len(other.Waiting()) != 0 {
		t.Errorf("a snapshot by itself waits for %q", other.Waiting())
	}
	stop()
}

// Every file that an issuer names is read, and an error says for which issuer and what.
func TestBrokenIssuers(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"empty", "text"} {
		put(t, dir, name, map[string]string{"empty": "\n", "text": "no keys"}[name])
	}
	put(t, dir, "short", base64.RawURLEncoding.EncodeToString(make([]byte, 8)))
	introspected := func(more string) string {
		return corp(`, introspection: { endpoint: "https://idp.example.com/introspect", client_id: gateway, ` + more +
			` }`)
	}
	for name, v := range map[string]struct{ text, says string }{
		"no keys":           {corp(", jwks_file: nowhere"), "keys of issuer corp: "},
		"keys that are not": {corp(", jwks_file: text"), "keys of issuer corp: "},
		"no nonce keys": {
			corp(`, dpop: { origins: ["https://api.example.com"], nonce: required, nonce_keys_file: empty }`),
			"issuer corp: dpop: "},
		"short nonce keys": {
			corp(`, dpop: { origins: ["https://api.example.com"], nonce: required, nonce_keys_file: short }`),
			"issuer corp: dpop: "},
		"no secret":       {introspected("client_secret_file: nowhere"), "introspection of issuer corp: "},
		"an empty secret": {introspected("client_secret_file: empty"), "is empty; it must hold the client secret"},
		"no key": {introspected("auth_method: private_key_jwt, key_file: nowhere"),
			"introspection of issuer corp: "},
		"a key that is not": {introspected("auth_method: private_key_jwt, key_file: text"), filepath.Join(dir, "text")},
		"no certificate": {introspected("auth_method: tls_client_auth, cert_file: nowhere, key_file: nowhere"),
			"introspection of issuer corp: outbound: "},
		"no authority": {corp("") + "outbound: { ca_file: text }\n", "holds no certificate in PEM"},
		"no client": {corp("") + "outbound: { cert_file: text, key_file: text }\n",
			"outbound: " + filepath.Join(dir, "text")},
		"authority nowhere": {corp("") + "outbound: { ca_file: nowhere }\n", "outbound: "},
	} {
		gone := put(t, dir, "nowhere", "there when the configuration is checked")
		c := parse(t, dir, v.text)
		if err := os.Remove(gone); err != nil {
			t.Fatal(err)
		}
		x, err := New(t.Context(), c, Options{Observe: Unobserved})
		if err == nil || x != nil || !strings.Contains(err.Error(), v.says) {
			t.Errorf("%s: %v; want %q", name, err, v.says)
		}
	}
	tr := trust{options: Options{}.withDefaults()}
	if _, err := tr.introspection(config.Issuer{Introspection: config.Introspection{AuthMethod: "none"}}, jwt.Issuer{},
		stepup.Ladder{}); err == nil {
		t.Error("an issuer is asked without proof of who asks")
	}
}

// Proofs need a nonce where it is required, and where they may have been used before this
// process began; without origins there are no proofs.
func TestTermsForProofs(t *testing.T) {
	dir := t.TempDir()
	keys := put(t, dir, "nonces", base64.RawURLEncoding.EncodeToString(make([]byte, 32)))
	for name, v := range map[string]struct {
		c                config.DPoP
		is, early, asked bool
	}{
		"none":   {c: config.DPoP{}},
		"proofs": {c: config.DPoP{Origins: []string{"https://api.example.com"}}, is: true, early: true},
		"required": {c: config.DPoP{Origins: []string{"https://api.example.com"}, NonceKeysFile: keys}, is: true,
			asked: true},
	} {
		d, err := newDPoP(v.c, nil, files.NewLook())
		if err != nil || (d != nil) != v.is || d != nil &&
			((d.Early != nil) != v.early || (d.Nonces != nil) != v.asked) {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
}

// Addresses that the configuration itself writes out may be called; names that it does not
// list may not lead there.
func TestReachable(t *testing.T) {
	c := reachable(config.Outbound{Allow: []string{"keys.example.com"}}, []config.Issuer{
		{Issuer: "https://idp.example.com", JWKSURI: "https://10.0.0.7/keys"},
		{Issuer: "http://127.0.0.1:8080", Introspection: config.Introspection{Endpoint: "https://[::1]/introspect"}},
	})
	if want := []string{"keys.example.com", "10.0.0.7", "127.0.0.1", "::1"}; !slices.Equal(c.Allow, want) {
		t.Errorf("%q; want %q", c.Allow, want)
	}
}
