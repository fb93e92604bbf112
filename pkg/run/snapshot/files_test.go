package snapshot

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/config/files"
)

// put writes a file into dir, and returns its name.
func put(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// pair makes a certificate for itself that ends at until, and its key, in PEM.
func pair(t testing.TB, until time.Time) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: until.Add(-2 * time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}))
}

// The listener has TLS where it is configured, asks for certificates where it names their
// authority, and every file that is of no use is an error that names it.
func TestListenerTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := pair(t, time.Now().Add(time.Hour))
	good := config.TLS{CertFile: put(t, dir, "cert.pem", cert), KeyFile: put(t, dir, "key.pem", key)}
	overCert, overKey := pair(t, time.Now().Add(-time.Minute))
	over := config.TLS{CertFile: put(t, dir, "over.pem", overCert), KeyFile: put(t, dir, "over-key.pem", overKey)}
	text := put(t, dir, "text", "no PEM")
	with := func(change func(*config.TLS)) config.TLS {
		c := good
		change(&c)
		return c
	}
	for name, v := range map[string]struct {
		c      config.TLS
		says   string // of the error; empty for none
		client tls.ClientAuthType
	}{
		"plain":               {c: config.TLS{}},
		"its own certificate": {c: good},
		"of callers, too": {c: with(func(c *config.TLS) { c.ClientCAFile = good.CertFile }),
			client: tls.RequireAndVerifyClientCert},
		"no certificate": {c: with(func(c *config.TLS) { c.CertFile = filepath.Join(dir, "nowhere") }),
			says: "tls: "},
		"no key": {c: with(func(c *config.TLS) { c.KeyFile = filepath.Join(dir, "nowhere") }),
			says: "nowhere"},
		"no PEM":      {c: with(func(c *config.TLS) { c.CertFile = text }), says: "tls: " + text},
		"another key": {c: with(func(c *config.TLS) { c.KeyFile = over.KeyFile }), says: good.CertFile},
		"expired":     {c: over, says: over.CertFile + " has expired at "},
		"no authority": {c: with(func(c *config.TLS) { c.ClientCAFile = text }),
			says: text + " holds no certificate in PEM"},
		"authority nowhere": {c: with(func(c *config.TLS) { c.ClientCAFile = filepath.Join(dir, "nowhere") }),
			says: "nowhere"},
	} {
		got, err := newTLS(v.c, files.NewLook())
		if (err == nil) != (v.says == "") || err != nil && !strings.Contains(err.Error(), v.says) {
			t.Errorf("%s: %v; want %q", name, err, v.says)
			continue
		}
		if err != nil && got != nil {
			t.Errorf("%s: an error, and a listener", name)
		}
		if v.c.CertFile == "" && got != nil || err == nil && got != nil &&
			(got.ClientAuth != v.client || got.MinVersion != tls.VersionTLS12) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// Only a certificate with exactly one SPIFFE ID, which is on the list, may call.
func TestCheckCaller(t *testing.T) {
	uris := func(all ...string) tls.ConnectionState {
		c := &x509.Certificate{}
		for _, s := range all {
			u, err := url.Parse(s)
			if err != nil {
				t.Fatal(err)
			}
			c.URIs = append(c.URIs, u)
		}
		return tls.ConnectionState{PeerCertificates: []*x509.Certificate{c}}
	}
	const envoy, other = "spiffe://example.com/envoy", "spiffe://example.com/other"
	for name, v := range map[string]struct {
		state tls.ConnectionState
		ids   []string
		may   bool
	}{
		"no list":             {uris(), nil, true},
		"on the list":         {uris(envoy), []string{other, envoy}, true},
		"not on the list":     {uris(other), []string{envoy}, false},
		"none":                {uris(), []string{envoy}, false},
		"two, one on it":      {uris(envoy, other), []string{envoy}, false},
		"the beginning of it": {uris(envoy + "/x"), []string{envoy}, false},
	} {
		if err := checkCaller(v.state, v.ids); (err == nil) != v.may {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A file of keys holds one or more, and an error names the file and none of its content.
func TestReadKeys(t *testing.T) {
	dir := t.TempDir()
	one, two := base64.RawURLEncoding.EncodeToString(make([]byte, 32)), base64.RawURLEncoding.EncodeToString(
		[]byte("0123456789abcdef0123456789abcdef"))
	for name, v := range map[string]struct {
		text string
		n    int
		says string
	}{
		"one":            {one + "\n", 1, ""},
		"two and a gap":  {one + "\n\n  " + two + "\n", 2, ""},
		"empty":          {"\n", 0, "holds no key"},
		"with padding":   {one + "\nc2VjcmV0cw==\n", 0, "key 2 is not base64url"},
		"not base64url":  {"a secret\n", 0, "key 1 is not base64url"},
		"other alphabet": {"+/+/\n", 0, "key 1 is not base64url"},
	} {
		file := put(t, dir, "keys", v.text)
		keys, err := readKeys(file, files.NewLook())
		if len(keys) != v.n || (err == nil) != (v.says == "") {
			t.Errorf("%s: %d keys, %v", name, len(keys), err)
		}
		if err != nil && (!strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), v.says) ||
			strings.Contains(err.Error(), "c2Vj")) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := readKeys(filepath.Join(dir, "nowhere"), files.NewLook()); err == nil {
		t.Error("keys of no file")
	}
}

// What is said to the login application is sealed by the first key, or written out.
func TestSealer(t *testing.T) {
	dir := t.TempDir()
	o := Options{}.withDefaults()
	if seal, err := newSealer(config.LoginRedirect{}, o); seal != nil || err != nil {
		t.Errorf("sealed without keys: %v", err)
	}
	for name, v := range map[string]struct{ text, says string }{
		"good":      {base64.RawURLEncoding.EncodeToString(make([]byte, 32)), ""},
		"too short": {base64.RawURLEncoding.EncodeToString(make([]byte, 16)), "login_redirect: "},
		"none":      {"", "holds no key"},
	} {
		seal, err := newSealer(config.LoginRedirect{SealingKeysFile: put(t, dir, name, v.text)}, o)
		if (err == nil) != (v.says == "") || (seal != nil) != (err == nil) || err != nil && !strings.Contains(
			err.Error(), v.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
