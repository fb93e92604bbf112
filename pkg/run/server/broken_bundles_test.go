package server_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/internal/testbundles"
	"github.com/stepward/stepward/pkg/internal/testidp"
	"github.com/stepward/stepward/pkg/run/server"
)

func publicKeys(t testing.TB) string {
	t.Helper()
	idp, err := testidp.New(testidp.Options{Issuer: "https://idp.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	return string(idp.JWKS())
}

// badBundles returns bundles that must not come into force, by what is wrong with them, in
// place of the good one of variant b.
func badBundles(t testing.TB) map[string][]byte {
	t.Helper()
	edit := func(change func(map[string]string)) []byte {
		files := bundled("b")
		change(files)
		return testbundles.Pack(files)
	}
	policy := func(text string) []byte { return edit(func(f map[string]string) { f["policy.rego"] = text }) }
	more := func(text string) []byte { return policy(bundled("b")["policy.rego"] + "\n" + text) }
	put := func(name, text string) []byte { return edit(func(f map[string]string) { f[name] = text }) }
	good := testbundles.Pack(bundled("b"))
	large := strings.Repeat("x", 50<<20)
	return map[string][]byte{
		"syntax":                     policy("package stepward.policy\nimport rego.v2\nrequire contains {"),
		"a function that is unknown": more("x := nowhere(1)"),
		"a type error":               more(`x if "a" + 1 == 2`),
		"an input that is not there": more("x if input.reqest.path"),
		"the network":                more("x := http.send({})"),
		"the clock":                  more("x := time.now_ns()"),
		"chance":                     more(`x := uuid.rfc4122("a")`),
		"v0 syntax":                  policy("package stepward.policy\nrequire[x] { x := {\"level\": \"mfa\"} }"),
		"rego.v1":                    policy(strings.Replace(bundled("b")["policy.rego"], "rego.v2", "rego.v1", 1)),
		"another package": edit(func(f map[string]string) {
			f["policy.rego"] = strings.Replace(f["policy.rego"], "stepward.policy", "stepward.polices", 1)
			f[".manifest"] = `{"revision":"x","roots":["stepward"]}`
		}),
		"outside of its roots": edit(func(f map[string]string) {
			f["policy.rego"] = strings.Replace(f["policy.rego"], "stepward.policy", "app.policy", 1)
		}),
		"no rule":                policy("package stepward.policy\nimport rego.v2\n"),
		"recursion":              more("p if q\nq if p"),
		"an unknown level":       policy(strings.Replace(bundled("b")["policy.rego"], `"mfa"`, `"mfaa"`, 1)),
		"an unknown key":         more(`require contains {"levl": "mfa"}`),
		"a boolean deny":         more("deny if true"),
		"a slip of a name":       more(`requires contains {"level": "mfa"}`),
		"a header of ours":       more(`headers["x-stepward-level"] := "mfa"`),
		"a computed header":      more(`headers[name] := "x" if some name in ["x-a"]`),
		"anonymous by the token": more(`require contains {"level": "anonymous"} if input.token.subject == "root"`),
		"NUL":                    more("# \x00\nx := \"\x00\""),
		"BOM within":             more("\ufeffx := 1"),
		"not UTF-8":              more("x := \"\xff\""),
		"empty policy":           policy(""),
		"data that is cut":       put("lists/data.json", `{"a": `),
		"data twice": edit(func(f map[string]string) {
			f["lists/data.json"], f["lists/a/data.json"] = `{"a": {"x": 1}}`, `{"x": 2}`
		}),
		"data outside of its roots": put("other/data.json", `{"a": 1}`),
		"data over a rule": edit(func(f map[string]string) {
			f["stepward/policy/data.json"] = `{"require": 1}`
		}),
		"data of 50 MB":              put("lists/data.json", `{"a": "`+large+`"}`),
		"policy of 50 MB":            more("# " + large),
		"a manifest that is none":    put(".manifest", "revision: x"),
		"a manifest of another type": put(".manifest", `{"revision": 1}`),
		"a metadata block that lies": more("# METADATA\n# title: [\nx := 1"),
		"cut in half":                good[:len(good)/2],
		"cut by a third":             good[:len(good)*2/3],
		"empty":                      {},
		"no gzip":                    []byte("package stepward.policy"),
		"HTML":                       []byte("<html><body>404</body></html>"),
		"gzip of nothing":            testbundles.Pack(nil),
		"gzip of noise":              append([]byte{0x1f, 0x8b, 8, 0}, []byte(strings.Repeat("\x00\xff", 500))...),
		"a delta": testbundles.Pack(
			map[string]string{"patch.json": `{"data": [{"op": "upsert", "path": "/lists/a", "value": 1}]}`,
				".manifest": bundled("b")[".manifest"]}),
		"a file that breaks another": put("more.rego", "package stepward.policy\nimport rego.v2\nheaders := {}"),
	}
}

// What is wrong with a bundle keeps the last good one in force: no answer changes, it is
// told at once, and the next good bundle comes into force.
func TestBrokenBundles(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Run("", func(t *testing.T) {
		s := testbundles.New()
		defer s.Close()
		s.Bundles(testbundles.LongPoll)
		s.Put("authz.tar.gz", testbundles.Pack(bundled("a")))
		f := serveFolder(t, fromBundles(
			strings.Replace(opaConfig(s, ""), polled,
				`polling: { min_delay_seconds: 0, max_delay_seconds: 1, long_polling_timeout_seconds: 1 }`, 1)),
			server.Options{})
		all := badBundles(t)
		t.Logf("%d kinds", len(all))
		failing := func(want string) bool {
			_, body := page(t, f.running, "/metrics")
			return strings.Contains(body, `stepward_source_failing{kind="bundle",source="authz"} `+want)
		}
		tried := 0
		for name, b := range all {
			if tried++; tried > 12 && testing.Short() {
				break // some of them, others each time
			}
			was := f.Revision()
			s.Put("authz.tar.gz", b)
			eventually(t, name+" is told of", func() bool { return failing("1") || f.serves(t) != "a" })
			if got := f.serves(t); got != "a" || f.Revision() != was {
				t.Errorf("%s: %q of %s is in force", name, got, f.Revision())
			}
			again := bundled("a")
			again["lists/data.json"] = fmt.Sprintf(`{"after": %q}`, name) // otherwise it is the one that it has
			s.Put("authz.tar.gz", testbundles.Pack(again))
			eventually(t, "good again after "+name, func() bool { return failing("0") && f.serves(t) == "a" })
		}
		s.Put("authz.tar.gz", testbundles.Pack(bundled("b")))
		eventually(t, "b", func() bool { return f.serves(t) == "b" })
		f.stop()
	})
}

// A server that fails in its own ways costs only new bundles.
func TestBundleServerFails(t *testing.T) {
	t.Parallel()
	s := testbundles.New()
	s.Put("authz.tar.gz", testbundles.Pack(bundled("a")))
	f := serveFolder(t, fromBundles(opaConfig(s, "")), server.Options{})
	for _, mode := range []string{testbundles.HTML, testbundles.Loop, testbundles.Failing, testbundles.Cut,
		testbundles.Gone, testbundles.Hang} {
		s.Put("authz.tar.gz", testbundles.Pack(bundled("b")))
		s.Bundles(mode)
		eventually(t, mode+" is told of", func() bool {
			status, body := page(t, f.running, "/readyz?verbose")
			return status == 200 && strings.Contains(body, "the last attempt failed") || f.serves(t) != "a"
		})
		if f.serves(t) != "a" || f.Revision() != "rev-a" {
			t.Errorf("%s: %s is in force", mode, f.Revision())
		}
		s.Put("authz.tar.gz", testbundles.Pack(bundled("a")))
		s.Bundles("")
		eventually(t, "mended after "+mode, func() bool {
			_, body := page(t, f.running, "/readyz?verbose")
			return !strings.Contains(body, "the last attempt failed")
		})
	}
	asked, unmodified := s.Counts()
	eventually(t, "an ETag is honoured", func() bool { _, n := s.Counts(); return n > unmodified })
	t.Logf("%d asked, %d unmodified", asked, unmodified)
	s.Close()
	eventually(t, "a server that is away is told of", func() bool {
		_, body := page(t, f.running, "/readyz?verbose")
		return strings.Contains(body, "the last attempt failed")
	})
	if f.serves(t) != "a" {
		t.Error("the last good one is gone with its server")
	}
}

const hmac = "0123456789abcdef0123456789abcdef"

// Where a key is configured, nothing but a bundle that is signed by it comes into force.
func TestSignedBundles(t *testing.T) {
	t.Parallel()
	s := testbundles.New()
	defer s.Close()
	sign := func(name, key, id string) []byte {
		b, err := testbundles.Sign(bundled(name), key, "HS256", id)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	s.Put("authz.tar.gz", sign("a", hmac, "main"))
	keys := `keys: { main: { algorithm: HS256, key: ` + hmac + ` } }`
	opa := opaConfig(s, keys+"\n")
	f := serveFolder(t, fromBundles(strings.Replace(opa, polled, polled+", signing: { keyid: main }", 1)),
		server.Options{})
	if f.serves(t) != "a" {
		t.Fatal("a good signature is refused")
	}
	tampered := sign("b", hmac, "main")
	swapped := testbundles.Pack(map[string]string{"policy.rego": bundled("b")["policy.rego"],
		".manifest": bundled("b")[".manifest"], ".signatures.json": `{"signatures":["a.b.c"]}`})
	for name, b := range map[string][]byte{
		"unsigned": testbundles.Pack(bundled("b")), "of another key": sign("b", strings.ToUpper(hmac), "main"),
		"of no key": swapped, "cut": tampered[:len(tampered)-20],
	} {
		s.Put("authz.tar.gz", b)
		eventually(t, name+" is told of", func() bool {
			_, body := page(t, f.running, "/readyz?verbose")
			return strings.Contains(body, "the last attempt failed") || f.serves(t) != "a"
		})
		if f.serves(t) != "a" {
			t.Errorf("%s is in force", name)
		}
		s.Put("authz.tar.gz", sign("a", hmac, "main"))
		eventually(t, "good again", func() bool {
			_, body := page(t, f.running, "/readyz?verbose")
			return !strings.Contains(body, "the last attempt failed")
		})
	}
	s.Put("authz.tar.gz", sign("b", hmac, "main"))
	eventually(t, "b", func() bool { return f.serves(t) == "b" })

	// Keys without signing would be an open door, so such a configuration does not start.
	dir := t.TempDir()
	write(t, dir, fromBundles(opa))
	write(t, dir, map[string]string{"keys.json": publicKeys(t)})
	c, err := config.Load(filepath.Join(dir, "stepward.yaml"), config.Options{})
	if err == nil {
		_, err = server.New(t.Context(), c, server.Options{Listener: opened{t}, AdminListener: opened{t}})
	}
	if err == nil || !strings.Contains(err.Error(), "bundles.authz.signing") {
		t.Errorf("keys without signing: %v", err)
	}
}
