package server_test

import (
	"encoding/base64"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	sdktest "github.com/open-policy-agent/opa/v1/sdk/test"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/internal/testbundles"
	"github.com/stepward/stepward/pkg/run/server"
)

// compatBundle returns a bundle of opa-envoy-plugin: data in folders, helpers, a token that the
// policy reads itself, the clock.
func compatBundle(name string) map[string]string {
	return map[string]string{
		".manifest":             `{"revision": "rev-` + name + `", "roots": ["envoy", "lib", "app", "system/log"]}`,
		"app/methods/data.json": `{"read": ["GET", "HEAD"]}`,
		"app/users/data.json":   `{"names": ["alice"], "large": 12345678901234567890}`,
		"lib/bearer.rego": `package lib.bearer

token := io.jwt.decode(substring(input.attributes.request.http.headers.authorization, 7, -1))[1]
`,
		"authz.rego": `package envoy.authz

import data.lib.bearer

default allow := {"allowed": false, "http_status": 451, "dynamic_metadata": {"variant": "` + name + `"}}

allow := {"allowed": true, "headers": {"x-variant": "` + name + `"}, "dynamic_metadata": {"variant": "` + name + `"}} if {
	input.attributes.request.http.method in data.app.methods.read
	permitted
	time.now_ns() > 0
}

permitted if input.parsed_path == ["public"]

permitted if {
	input.parsed_path == ["me"]
	bearer.token.sub in data.app.users.names
}
`,
		"authz_test.rego": "package envoy.authz_test\n\ntest_nothing if true\n",
	}
}

// compatFrom returns a configuration beside the opa.yaml of an opa-envoy-plugin.
func compatFrom(opa, more string) map[string]string {
	return map[string]string{
		"opa.yaml": opa + "plugins: { envoy_ext_authz_grpc: { addr: \":9191\", path: envoy/authz/allow } }\n",
		"stepward.yaml": `issuers: []
policy: { compat: opa-envoy, path: envoy/authz/allow, timeout: 10s }
bundles: { config_file: opa.yaml }
limits: { deadline: 10s }
drain: { delay: 10ms }
` + more,
	}
}

// servesCompat returns the variant in force.
func (f folder) servesCompat(t testing.TB) string {
	t.Helper()
	return f.check(t, "/public", nil).GetDynamicMetadata().GetFields()["variant"].GetStringValue()
}

func unsignedToken(subject string) map[string]string {
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	return map[string]string{"authorization": "Bearer " + part(`{"alg":"HS256"}`) + "." + part(
		`{"sub":"`+subject+`"}`) + "." + part("SECRET")}
}

// OPA's own mock bundle server hands a bundle of opa-envoy-plugin to Stepward as it is.
func TestCompatFromMockBundleServer(t *testing.T) {
	t.Parallel()
	mock := sdktest.MustNewServer(sdktest.RawBundles(true), sdktest.MockBundle("/bundles/authz.tar.gz",
		compatBundle("a")))
	defer mock.Stop()
	f := serveFolder(t, compatFrom(`services: { opa: { url: "`+mock.URL()+`" } }
bundles: { authz: { service: opa, resource: /bundles/authz.tar.gz, `+polled+` } }
`, ""), server.Options{})
	if f.Revision() != "rev-a" {
		t.Errorf("revision %s", f.Revision())
	}
	for _, v := range []struct {
		path    string
		headers map[string]string
		code    int32
	}{
		{"/public", nil, 0}, {"/other", nil, 7}, {"/me", nil, 7}, {"/me", unsignedToken("alice"), 0},
		{"/me", unsignedToken("mallory"), 7},
	} {
		res := f.check(t, v.path, v.headers)
		if res.GetStatus().GetCode() != v.code {
			t.Errorf("%s %v: %v", v.path, v.headers, res)
		}
		if status := res.GetDeniedResponse().GetStatus().GetCode(); v.code != 0 && status != 451 {
			t.Errorf("%s is answered with %d", v.path, status)
		}
	}
	mock.WithTestBundle("/bundles/authz.tar.gz", compatBundle("b"))
	eventually(t, "b", func() bool { return f.servesCompat(t) == "b" && f.Revision() == "rev-b" })
	changed := compatBundle("b") // under the same name
	changed["app/methods/data.json"] = `{"read": ["HEAD"]}`
	mock.WithTestBundle("/bundles/authz.tar.gz", changed)
	eventually(t, "other data", func() bool { return f.check(t, "/public", nil).GetStatus().GetCode() == 7 })
	if !strings.HasPrefix(f.Revision(), "rev-b@") {
		t.Errorf("one name for two policies: %s", f.Revision())
	}
	plain := compatBundle("c") // it owns everything, and has no name
	delete(plain, ".manifest")
	mock.WithTestBundle("/bundles/authz.tar.gz", plain)
	eventually(t, "c", func() bool { return f.servesCompat(t) == "c" })
	if f.check(t, "/other", nil).GetStatus().GetCode() != 7 || len(f.Revision()) != 12 {
		t.Errorf("revision %s", f.Revision())
	}
}

// Before its bundle has come, and where the bundle is not what it should be, such a policy
// lets nobody in, and changes no answer.
func TestCompatBrokenBundles(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Run("", func(t *testing.T) {
		s := testbundles.New()
		defer s.Close()
		dir := t.TempDir()
		write(t, dir, compatFrom(opaConfig(s, ""), ""))
		c, err := config.Load(filepath.Join(dir, "stepward.yaml"), config.Options{})
		if err != nil {
			t.Fatal(err)
		}
		f := folder{dir: dir, running: run(t, c, server.Options{})}
		failing := func(want string) bool {
			_, body := page(t, f.running, "/metrics")
			return strings.Contains(body, `stepward_source_failing{kind="bundle",source="authz"} `+want)
		}
		eventually(t, "a failure is told of", func() bool { return failing("1") })
		if res := f.check(t, "/public", nil); res.GetStatus().GetCode() == 0 || f.Ready() {
			t.Error("allowed without a policy")
		}
		s.Put("authz.tar.gz", testbundles.Pack(compatBundle("a")))
		eventually(t, "ready", func() bool { return f.Ready() && failing("0") })
		edit := func(name, from, to string) []byte {
			files := compatBundle("b")
			if files[name] = strings.Replace(files[name], from, to, 1); files[name] == compatBundle("b")[name] {
				t.Fatalf("%s has no %q", name, from)
			}
			return testbundles.Pack(files)
		}
		with := func(name, text string) []byte {
			files := compatBundle("b")
			files[name] = text
			return testbundles.Pack(files)
		}
		for name, b := range map[string][]byte{
			"syntax": edit("authz.rego", "import data", "import import"),
			"the network": edit("authz.rego", "time.now_ns() > 0",
				`http.send({"method": "GET", "url": "https://a.test"}).status_code == 200`),
			"the environment":      edit("authz.rego", "time.now_ns() > 0", "opa.runtime().env.X"),
			"v0":                   with("authz.rego", "package envoy.authz\nallow { input.x }"),
			"another decision":     edit("authz.rego", "package envoy.authz", "package envoy.authz.v2"),
			"outside of its roots": edit("authz.rego", "package envoy.authz", "package istio.authz"),
			"data that is cut":     with("app/users/data.json", `{"names": [`),
			"data outside":         with("other/data.json", `{"a": 1}`),
			"a delta": testbundles.Pack(
				map[string]string{"patch.json": `{"data": [{"op": "upsert", "path": "/app/users", "value": {}}]}`,
					".manifest": compatBundle("b")[".manifest"]}),
			"HTML": []byte("<html></html>"),
		} {
			s.Put("authz.tar.gz", b)
			eventually(t, name+" is told of", func() bool { return failing("1") || f.servesCompat(t) != "a" })
			if got := f.servesCompat(t); got != "a" || f.Revision() != "rev-a" {
				t.Errorf("%s: %q of %s is in force", name, got, f.Revision())
			}
			if f.check(t, "/other", nil).GetStatus().GetCode() == 0 {
				t.Errorf("%s: it lets in", name)
			}
			s.Put("authz.tar.gz", testbundles.Pack(compatBundle("a")))
			eventually(t, "good again after "+name, func() bool { return failing("0") })
		}
		s.Put("authz.tar.gz", testbundles.Pack(compatBundle("b")))
		eventually(t, "b", func() bool { return f.servesCompat(t) == "b" })
		f.stop()
	})
}

// Signatures hold for such bundles as for ours.
func TestCompatSignedBundle(t *testing.T) {
	t.Parallel()
	s := testbundles.New()
	defer s.Close()
	sign := func(name, key string) []byte {
		b, err := testbundles.Sign(compatBundle(name), key, "HS256", "main")
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	s.Put("authz.tar.gz", sign("a", hmac))
	opa := strings.Replace(opaConfig(s, `keys: { main: { algorithm: HS256, key: `+hmac+" } }\n"), polled,
		polled+", signing: { keyid: main }", 1)
	f := serveFolder(t, compatFrom(opa, ""), server.Options{})
	for name, b := range map[string][]byte{"unsigned": testbundles.Pack(compatBundle("b")), "of another key": sign(
		"b", strings.ToUpper(hmac))} {
		s.Put("authz.tar.gz", b)
		told := func() bool {
			_, body := page(t, f.running, "/readyz?verbose")
			return strings.Contains(body, "the last attempt failed")
		}
		eventually(t, name+" is told of", func() bool { return told() || f.servesCompat(t) != "a" })
		if f.servesCompat(t) != "a" {
			t.Errorf("%s is in force", name)
		}
		s.Put("authz.tar.gz", sign("a", hmac))
		eventually(t, "good again", func() bool { return !told() })
	}
	s.Put("authz.tar.gz", sign("b", hmac))
	eventually(t, "b", func() bool { return f.servesCompat(t) == "b" })
}

// Discovery provides the bundle; other files may accompany it, but not in its packages.
func TestCompatDiscoveryAndFiles(t *testing.T) {
	t.Parallel()
	s := testbundles.New()
	defer s.Close()
	bundle := compatBundle("a")
	delete(bundle, "app/methods/data.json")
	bundle[".manifest"] = `{"revision": "rev-a", "roots": ["envoy", "lib", "app/users"]}`
	s.Put("authz.tar.gz", testbundles.Pack(bundle))
	s.Put("discovery.tar.gz", testbundles.Pack(map[string]string{"data.json": `{"discovery": {"default_decision": "/envoy/authz/allow", "plugins": {"envoy_ext_authz_grpc": {"addr": ":9191"}},
		"bundles": {"authz": {"service": "control", "resource": "bundles/authz.tar.gz", "polling": {"min_delay_seconds": 1, "max_delay_seconds": 1}}}}}`}))
	files := compatFrom(`services: { control: { url: "`+s.URL+`" } }
discovery: { resource: bundles/discovery.tar.gz, decision: discovery, `+polled+` }
`, "")
	files["stepward.yaml"] = strings.Replace(files["stepward.yaml"], "timeout", "paths: [more], timeout", 1)
	files["more/app/methods/data.json"] = `{"read": ["GET"]}`
	f := serveFolder(t, files, server.Options{})
	if f.servesCompat(t) != "a" || f.check(t, "/public", nil).GetStatus().GetCode() != 0 ||
		f.check(t, "/other", nil).GetStatus().GetCode() == 0 {
		t.Errorf("%v", f.check(t, "/public", nil))
	}
	if !strings.HasPrefix(f.Revision(), "rev-a,files=") {
		t.Errorf("revision %s", f.Revision())
	}
	was := f.Revision()
	write(t, f.dir, map[string]string{"more/open.rego": "package envoy.authz\n\npermitted if true\n"})
	f.Reload()
	eventually(t, "two masters are refused", func() bool {
		_, body := page(t, f.running, "/readyz?verbose")
		return strings.Contains(body, "a policy is in files or in bundles, not in both")
	})
	if f.check(t, "/other", nil).GetStatus().GetCode() == 0 || f.Revision() != was {
		t.Error("a file opens what the bundle shuts")
	}
}

// Decisions are logged as opa-envoy-plugin logs them, for masks that were written for it,
// and without what is nobody's to read.
func TestCompatDecisionLogs(t *testing.T) {
	t.Parallel()
	s := testbundles.New()
	defer s.Close()
	files := compatBundle("a")
	files["mask.rego"] = `package system.log

mask contains "/input/attributes/request/http/headers/x-mine"

drop if input.input.parsed_path[0] == "dropped"
`
	s.Put("authz.tar.gz", testbundles.Pack(files))
	f := serveFolder(t, compatFrom(opaConfig(s, `labels: { app: gateway }
decision_logs: { service: control, reporting: { min_delay_seconds: 1, max_delay_seconds: 1 } }
`), ""), server.Options{})
	headers := unsignedToken("alice")
	for name, value := range map[string]string{
		":path": "/me?code=SECRET", "cookie": "s=SECRET", "proxy-authorization": "SECRET", "dpop": "SECRET",
		"x-forwarded-client-cert": "SECRET", "set-cookie": "SECRET",
		"x-api-key": "SECRET", "x-mine": "SECRET", "referer": "https://x/?q=SECRET", "x-kept": "kept",
	} {
		headers[name] = value
	}
	f.check(t, "/me?code=SECRET", headers)
	f.check(t, "/dropped", nil)
	f.check(t, "/shut", nil)
	eventually(t, "two events", func() bool { return len(s.Events()) >= 2 })
	text, err := json.Marshal(s.Events())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "SECRET") || strings.Contains(string(text), headers["authorization"][7:]) ||
		strings.Contains(string(text), "dropped") {
		t.Errorf("logged: %s", text)
	}
	for _, want := range []string{
		`"path":"envoy/authz/allow"`, `"result":{"allowed":true}`, `"result":{"allowed":false,"http_status":451}`,
		`"parsed_path":["me"]`, `"path":"/me"`, `"x-kept":"kept"`,
		`"rev-a"`, `"app":"gateway"`, `"erased":["/input/attributes/request/http/headers/x-mine"]`,
		`"/input/parsed_query"`, `"/input/attributes/request/http/headers/x-api-key"`, `"reason":"policy_denied"`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
}
