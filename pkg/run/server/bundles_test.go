package server_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc/codes"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	sdktest "github.com/open-policy-agent/opa/v1/sdk/test"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/internal/testbundles"
	"github.com/stepward/stepward/pkg/internal/testidp"
	"github.com/stepward/stepward/pkg/run/control"
	"github.com/stepward/stepward/pkg/run/server"
)

// polled makes OPA ask again soon.
const polled = `polling: { min_delay_seconds: 1, max_delay_seconds: 1 }`

// bundled is variant with its policy in a bundle.
func bundled(name string) map[string]string {
	return map[string]string{
		".manifest":   `{"revision": "rev-` + name + `", "roots": ["stepward/policy", "lists", "system/log"]}`,
		"policy.rego": variant(name)["policy/policy.rego"],
	}
}

// fromBundles is a configuration whose policy comes from where opa says.
func fromBundles(opa string) map[string]string {
	files := map[string]string{"opa.yaml": opa}
	files["stepward.yaml"] = strings.Replace(variant("a")["stepward.yaml"], "policy: { paths: [policy], timeout: 10s }", "policy: { timeout: 10s }\nbundles: { config_file: opa.yaml }", 1)
	return files
}

func opaConfig(s *testbundles.Server, more string) string {
	return `services: { control: { url: "` + s.URL + `", response_header_timeout_seconds: 2 } }
bundles: { authz: { service: control, resource: bundles/authz.tar.gz, ` + polled + ` } }
` + more
}

// serves is the variant in force, as an answer shows it; allow headers tell all of it.
func (f folder) serves(t testing.TB) string {
	t.Helper()
	res := f.check(t, "/public", nil)
	return res.GetDynamicMetadata().GetFields()["policy"].GetStructValue().GetFields()["variant"].GetStringValue()
}

// OPA's own mock bundle server.
func TestMockBundleServer(t *testing.T) {
	t.Parallel()
	mock := sdktest.MustNewServer(sdktest.RawBundles(true), sdktest.MockBundle("/bundles/authz.tar.gz", bundled("a")))
	defer mock.Stop()
	f := serveFolder(t, fromBundles(`services: { opa: { url: "`+mock.URL()+`" } }
bundles: { authz: { service: opa, resource: /bundles/authz.tar.gz, `+polled+` } }
`), server.Options{})
	if f.serves(t) != "a" || f.Revision() != "rev-a" {
		t.Fatalf("%s of %s", f.serves(t), f.Revision())
	}
	mock.WithTestBundle("/bundles/authz.tar.gz", bundled("b"))
	eventually(t, "b", func() bool { return f.serves(t) == "b" && f.Revision() == "rev-b" })
	same := bundled("a")
	same[".manifest"] = bundled("b")[".manifest"]
	mock.WithTestBundle("/bundles/authz.tar.gz", same) // a under the name of b
	eventually(t, "another name for another policy", func() bool { return f.serves(t) == "a" && strings.HasPrefix(f.Revision(), "rev-b@") })
	if _, body := page(t, f.running, "/metrics"); !strings.Contains(body, `stepward_data_age_seconds{kind="bundle",source="authz"}`) || !strings.Contains(body, "bundle_loaded_counter") {
		t.Error("no metrics of the bundle")
	}
}

// Before the first bundle nothing is let in, and the service says what it waits for.
func TestNoBundleYet(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Run("", func(t *testing.T) {
		s := testbundles.New()
		defer s.Close()
		dir := t.TempDir()
		write(t, dir, fromBundles(opaConfig(s, "")))
		write(t, dir, map[string]string{"keys.json": publicKeys(t)})
		c, err := config.Load(filepath.Join(dir, "stepward.yaml"), config.Options{})
		if err != nil {
			t.Fatal(err)
		}
		f := folder{dir: dir, running: run(t, c, server.Options{})}
		eventually(t, "a failure is told of", func() bool {
			status, body := page(t, f.running, "/readyz?verbose")
			return status == 503 && strings.Contains(body, "bundle authz") && strings.Contains(body, "the last attempt failed")
		})
		if res := f.check(t, "/public", nil); res.GetStatus().GetCode() == 0 {
			t.Error("allowed without a policy")
		}
		s.Put("authz.tar.gz", testbundles.Pack(bundled("a")))
		eventually(t, "ready", f.Ready)
		if f.serves(t) != "a" {
			t.Error("not a")
		}
		f.stop()
	})
}

func publicKeys(t testing.TB) string {
	t.Helper()
	idp, err := testidp.New(testidp.Options{Issuer: "https://idp.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	return string(idp.JWKS())
}

// badBundles are bundles that must not come into force, by what is wrong with them, in
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
		"data outside of its roots":  put("other/data.json", `{"a": 1}`),
		"data over a rule":           edit(func(f map[string]string) { f["stepward/policy/data.json"] = `{"require": 1}` }),
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
		"a delta":                    testbundles.Pack(map[string]string{"patch.json": `{"data": [{"op": "upsert", "path": "/lists/a", "value": 1}]}`, ".manifest": bundled("b")[".manifest"]}),
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
		f := serveFolder(t, fromBundles(strings.Replace(opaConfig(s, ""), polled, `polling: { min_delay_seconds: 0, max_delay_seconds: 1, long_polling_timeout_seconds: 1 }`, 1)), server.Options{})
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
			again["lists/data.json"] = fmt.Sprintf(`{"after": %q}`, name) // else it is the one that it has
			s.Put("authz.tar.gz", testbundles.Pack(again))
			eventually(t, "good again after "+name, func() bool { return failing("0") && f.serves(t) == "a" })
		}
		s.Put("authz.tar.gz", testbundles.Pack(bundled("b")))
		eventually(t, "b", func() bool { return f.serves(t) == "b" })
		f.stop()
	})
}

// A server that fails in its own ways costs nothing but what is new.
func TestBundleServerFails(t *testing.T) {
	t.Parallel()
	s := testbundles.New()
	s.Put("authz.tar.gz", testbundles.Pack(bundled("a")))
	f := serveFolder(t, fromBundles(opaConfig(s, "")), server.Options{})
	for _, mode := range []string{testbundles.HTML, testbundles.Loop, testbundles.Failing, testbundles.Cut, testbundles.Gone, testbundles.Hang} {
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
	f := serveFolder(t, fromBundles(strings.Replace(opa, polled, polled+", signing: { keyid: main }", 1)), server.Options{})
	if f.serves(t) != "a" {
		t.Fatal("a good signature is refused")
	}
	tampered := sign("b", hmac, "main")
	swapped := testbundles.Pack(map[string]string{"policy.rego": bundled("b")["policy.rego"], ".manifest": bundled("b")[".manifest"], ".signatures.json": `{"signatures":["a.b.c"]}`})
	for name, b := range map[string][]byte{
		"unsigned": testbundles.Pack(bundled("b")), "of another key": sign("b", strings.ToUpper(hmac), "main"), "of no key": swapped, "cut": tampered[:len(tampered)-20],
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

// A bundle that was kept serves when the server is away at the next start.
func TestPersistence(t *testing.T) {
	t.Parallel()
	s := testbundles.New()
	s.Put("authz.tar.gz", testbundles.Pack(bundled("a")))
	files := fromBundles(strings.Replace(opaConfig(s, "persistence_directory: kept\n"), polled, polled+", persist: true", 1))
	f := serveFolder(t, files, server.Options{})
	kept := filepath.Join(f.dir, "kept", "bundles", "authz", "bundle.tar.gz")
	eventually(t, "it is on disk", func() bool { _, err := os.Stat(kept); return err == nil })

	// What Stepward refuses is not kept either.
	s.Put("authz.tar.gz", badBundles(t)["an unknown level"])
	eventually(t, "refused", func() bool {
		_, body := page(t, f.running, "/readyz?verbose")
		return strings.Contains(body, "the last attempt failed")
	})
	f.stop()
	s.Close()
	again := serveDir(t, f.dir, server.Options{})
	if again.serves(t) != "a" || again.Revision() != "rev-a" {
		t.Errorf("%s", again.Revision())
	}
}

// Decisions reach a log sink as OPA writes them, without what must not be logged, and
// whatever the sink does, decisions are made.
func TestDecisionLogs(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Run("", func(t *testing.T) {
		s := testbundles.New()
		defer s.Close()
		files := bundled("a")
		files["policy.rego"] = strings.Replace(files["policy.rego"], "require contains {\"level\": \"anonymous\"}", "# METADATA\n# scope: rule\n# labels:\n#   team: web\nrequire contains {\"level\": \"anonymous\"}", 1)
		files["mask.rego"] = "package system.log\n\nmask contains \"/input/request/headers/x-mine\"\n\ndrop if input.input.request.path == \"/dropped\"\n"
		s.Put("authz.tar.gz", testbundles.Pack(files))
		f := serveFolder(t, fromBundles(opaConfig(s, `labels: { app: gateway }
decision_logs: { service: control, reporting: { min_delay_seconds: 1, max_delay_seconds: 1 } }
status: { service: control }
`)), server.Options{})
		secret := map[string]string{"authorization": "Bearer SECRET.SECRET.SECRET", "cookie": "s=SECRET", "x-api-key": "SECRET", "x-mine": "SECRET", "referer": "https://x/?q=SECRET", "dpop": "SECRET", "x-kept": "kept"}
		f.check(t, "/public?code=SECRET", secret)
		f.check(t, "/dropped", nil)
		f.check(t, "/x", map[string]string{"accept": "application/json"})
		eventually(t, "two events", func() bool { return len(s.Events()) >= 2 })
		e := s.Events()[0]
		text, _ := json.Marshal(s.Events())
		if strings.Contains(string(text), "SECRET") || strings.Contains(string(text), "/dropped") {
			t.Errorf("logged: %s", text)
		}
		for _, want := range []string{`"rev-a"`, `"app":"gateway"`, `"rule_labels":[{"team":"web"}]`, `"erased":["/input/request/headers/x-mine"]`, `/input/request/query`, `"x-kept":"kept"`, `"reason":"ok"`, `"custom":{`, `"path":"stepward/policy"`, `"policy_revision":"rev-a"`} {
			if !strings.Contains(string(text), want) {
				t.Errorf("no %s in %s", want, text)
			}
		}
		if e["decision_id"] == "" || e["timestamp"] == "" || s.LogHeaders().Get("Content-Encoding") != "gzip" {
			t.Errorf("%v, %v", e, s.LogHeaders())
		}
		eventually(t, "status", func() bool { return len(s.Statuses()) > 0 })
		for _, mode := range []string{testbundles.Hang, testbundles.Failing} {
			s.Logs(mode)
			for range 200 {
				if res := f.check(t, "/public", nil); res.GetStatus().GetCode() != 0 {
					t.Fatalf("%s: %v", mode, res)
				}
			}
		}
		s.Logs("")
		f.stop()
	})
}

// More decisions than a hanging sink leaves room for are dropped, counted, and made.
func TestLogSinkFull(t *testing.T) {
	t.Parallel()
	s := testbundles.New()
	defer s.Close()
	s.Logs(testbundles.Hang)
	s.Put("authz.tar.gz", testbundles.Pack(bundled("a")))
	f := serveFolder(t, fromBundles(opaConfig(s, `decision_logs: { service: control, reporting: { min_delay_seconds: 1, max_delay_seconds: 1, buffer_type: event, buffer_size_limit_events: 10 } }
`)), server.Options{})
	for range 300 {
		if res := f.check(t, "/public", nil); res.GetStatus().GetCode() != 0 {
			t.Fatal(res)
		}
	}
	eventually(t, "drops are counted", func() bool {
		_, body := page(t, f.running, "/metrics")
		for line := range strings.Lines(body) {
			var n float64
			if i := strings.LastIndex(line, " "); strings.Contains(line, "decision_logs_dropped_buffer_size_limit_exceeded") && !strings.HasPrefix(line, "#") {
				fmt.Sscan(line[i:], &n)
				return n > 0
			}
		}
		return false
	})
}

// Discovery hands out the rest of the configuration, which is checked like the file.
func TestDiscovery(t *testing.T) {
	t.Parallel()
	s := testbundles.New()
	defer s.Close()
	s.Put("authz.tar.gz", testbundles.Pack(bundled("a")))
	s.Put("plain.tar.gz", testbundles.Pack(bundled("b")))
	discovered := func(bundle string) []byte {
		return testbundles.Pack(map[string]string{"data.json": `{"discovery": {"bundles": {"authz": {"service": "control", "resource": "bundles/` + bundle + `", "polling": {"min_delay_seconds": 1, "max_delay_seconds": 1}}}, "plugins": {}}}`})
	}
	s.Put("discovery.tar.gz", discovered("authz.tar.gz"))
	core, lines := observer.New(zap.InfoLevel)
	f := serveFolder(t, fromBundles(`services: { control: { url: "`+s.URL+`" } }
discovery: { resource: bundles/discovery.tar.gz, decision: discovery, `+polled+` }
`), server.Options{Log: zap.New(core)})
	if f.serves(t) != "a" {
		t.Fatal("not a")
	}
	s.Put("discovery.tar.gz", testbundles.Pack(map[string]string{"data.json": `{"discovery": {"bundles": {"authz": {"service": "control", "resource": "bundles/plain.tar.gz"}}, "plugins": {"mine": {}}}}`}))
	eventually(t, "a discovered configuration is refused", func() bool {
		for _, l := range lines.All() {
			if strings.Contains(l.Message, "plugins.mine") {
				return true
			}
		}
		return false
	})
	if f.serves(t) != "a" {
		t.Error("it is in force")
	}
	s.Put("discovery.tar.gz", discovered("plain.tar.gz"))
	eventually(t, "b", func() bool { return f.serves(t) == "b" })
}

// Of two policies that change places, each decision is wholly of the one that it names.
func TestBundleActivationIsWhole(t *testing.T) {
	t.Parallel()
	activations := 60
	switch {
	case soak(1) > 1:
		activations = 1000
	case testing.Short():
		activations = 20
	}
	s := testbundles.New()
	defer s.Close()
	s.Bundles(testbundles.LongPoll)
	s.Put("authz.tar.gz", testbundles.Pack(bundled("a")))
	f := serveFolder(t, fromBundles(strings.Replace(opaConfig(s, ""), polled, `polling: { min_delay_seconds: 0, max_delay_seconds: 1, long_polling_timeout_seconds: 1 }`, 1)), server.Options{})
	var decisions atomic.Int64
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range 3 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				res, err := f.auth.Check(t.Context(), get("/public", nil))
				if err != nil {
					t.Error(err)
					return
				}
				name, err := variantOf(res)
				if err != nil {
					t.Error(err)
					return
				}
				if revision := res.GetDynamicMetadata().GetFields()["policy_revision"].GetStringValue(); revision != "rev-"+name {
					t.Errorf("%s says %s", name, revision)
					return
				}
				decisions.Add(1)
			}
		})
	}
	for i := range activations {
		name := []string{"b", "a"}[i%2]
		s.Put("authz.tar.gz", testbundles.Pack(bundled(name)))
		eventually(t, name, func() bool { return f.Revision() == "rev-"+name || t.Failed() })
	}
	close(stop)
	clients.Wait()
	t.Logf("%d decisions over %d activations", decisions.Load(), activations)
	if decisions.Load() == 0 {
		t.Error("there was no load")
	}
}

// Data that nobody writes any more becomes unknown, and what it decided becomes stricter.
func TestDataAges(t *testing.T) {
	t.Parallel()
	files := variant("a")
	files["stepward.yaml"] = strings.Replace(files["stepward.yaml"], "[policy]", "[policy, risk.json]", 1) + "data: { max_age: { risk: 10s } }\n"
	files["policy/policy.rego"] = `package stepward.policy

import rego.v2

import data.stepward.lib.risk

require contains {"level": "anonymous"} if not data.stepward.unknown.risk

require contains {"level": "mfa"} if risk.at_least(data.risk, "alice", 50)

require contains {"level": "mfa"} if data.stepward.unknown.risk

metadata["unknown"] := object.keys(data.stepward.unknown)
`
	files["risk.json"] = `{"risk": {"alice": {"score": 1}}}`
	f := serveFolder(t, files, server.Options{})
	allowed := func() bool { return f.check(t, "/x", nil).GetStatus().GetCode() == 0 }
	if !allowed() {
		t.Fatal("refused while the score is known")
	}
	revision := f.Revision()
	eventually(t, "it is too old", func() bool { return !allowed() })
	if f.Revision() != revision+"~risk" {
		t.Errorf("%s and %s", revision, f.Revision())
	}
	if _, body := page(t, f.running, "/readyz?verbose"); !strings.Contains(body, "unknown: too old") {
		t.Errorf("%s", body)
	}
	if _, body := page(t, f.running, "/metrics"); !strings.Contains(body, `stepward_source_failing{kind="data",source="risk"} 1`) {
		t.Error("no metric")
	}
	write(t, f.dir, map[string]string{"risk.json": files["risk.json"]})
	eventually(t, "it is fresh again", allowed)
}

// The last five policies stay loaded, and a decision is explained by the one that made it.
func TestRevisions(t *testing.T) {
	t.Parallel()
	files := variant("a")
	socket := filepath.Join(t.TempDir(), "c.sock")
	files["stepward.yaml"] += "control: unix://" + socket + "\n"
	f := serveFolder(t, files, server.Options{})
	client, err := control.NewClient("unix://" + socket)
	if err != nil {
		t.Fatal(err)
	}
	first := f.Revision()
	id := f.check(t, "/public", nil).GetDynamicMetadata().GetFields()["decision_id"].GetStringValue()
	told := func() control.Told {
		x, err := client.Decision(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	if x := told(); x.Again.State != "in force" || x.Again.Reason != "ok" || len(x.Again.Rules) != 1 {
		t.Errorf("%+v", x.Again)
	}
	next := func(n int) {
		was := f.Revision()
		write(t, f.dir, map[string]string{"policy/policy.rego": files["policy/policy.rego"] + fmt.Sprintf("\n# %d\n", n)})
		f.Reload()
		eventually(t, "the next", func() bool { return f.Revision() != was })
	}
	for n := range 4 {
		next(n)
	}
	list, err := client.Revisions(t.Context())
	if err != nil || len(list) != 5 || !list[0].InForce || list[4].Revision != first || list[0].From != "files" {
		t.Errorf("%+v, %v", list, err)
	}
	if x := told(); x.Revision != first || x.Again.State != "loaded, and no longer in force" || x.Again.Reason != "ok" {
		t.Errorf("%+v", x.Again)
	}
	next(4)
	if x := told(); x.Again.State != "no longer loaded" || x.Again.Reason != "" {
		t.Errorf("%+v", x.Again)
	}
	write(t, f.dir, files) // back to the first
	f.Reload()
	eventually(t, "the first again", func() bool { return f.Revision() == first })
	if list, _ = client.Revisions(t.Context()); len(list) != 5 || list[0].Revision != first {
		t.Errorf("%+v", list)
	}
}

// aging is bundled("a") with data that is believed for a while, and a server of it.
func aging(t testing.TB, maxAge, more string) (*testbundles.Server, map[string]string) {
	t.Helper()
	pack := bundled("a")
	pack["lists/data.json"] = `{"blocked": ["alice"]}`
	s := testbundles.New()
	s.Put("authz.tar.gz", testbundles.Pack(pack))
	files := fromBundles(strings.Replace(opaConfig(s, "persistence_directory: kept\n"), polled, polled+more, 1))
	files["stepward.yaml"] += "data: { max_age: { lists: " + maxAge + " } }\n"
	return s, files
}

// Data becomes too old also while files are broken, or changed by half: what is taken away
// is taken from the policy in force.
func TestDataAgesWhileFilesAreBroken(t *testing.T) {
	t.Parallel()
	files := variant("a")
	files["stepward.yaml"] = strings.Replace(files["stepward.yaml"], "[policy]", "[policy, risk.json]", 1) + "data: { max_age: { risk: 10s } }\n"
	files["policy/policy.rego"] = "package stepward.policy\n\nimport rego.v2\n\nrequire contains {\"level\": \"anonymous\"} if not data.stepward.unknown.risk\n"
	files["risk.json"] = `{"risk": {"alice": {"score": 1}}}`
	f := serveFolder(t, files, server.Options{})
	allowed := func() bool { return f.check(t, "/x", nil).GetStatus().GetCode() == 0 }
	if !allowed() {
		t.Fatal("refused while the score is known")
	}
	write(t, f.dir, map[string]string{"policy/other.rego": "this is no policy"})
	eventually(t, "it is too old", func() bool { return !allowed() })
}

// Data that was kept on disk is not believed before its server has said that it is still
// the same, however often the service starts.
func TestKeptDataHasNoAge(t *testing.T) {
	t.Parallel()
	s, files := aging(t, "10m", ", persist: true")
	f := serveFolder(t, files, server.Options{})
	kept := filepath.Join(f.dir, "kept", "bundles", "authz", "bundle.tar.gz")
	eventually(t, "it is on disk", func() bool { _, err := os.Stat(kept); return err == nil })
	eventually(t, "believed", func() bool { return f.Revision() == "rev-a" })
	f.stop()
	s.Close()
	again := serveDir(t, f.dir, server.Options{})
	eventually(t, "the server was asked in vain", func() bool {
		_, body := page(t, again.running, "/readyz?verbose")
		return strings.Contains(body, "the last attempt failed")
	})
	time.Sleep(time.Second) // clock: several looks at the age, or fewer on a busy machine
	if again.serves(t) != "a" || again.Revision() != "rev-a~lists" {
		t.Errorf("%s", again.Revision())
	}
}

// A bundle that comes and is refused does not make the data of the one before it fresh.
func TestRefusedBundleConfirmsNothing(t *testing.T) {
	t.Parallel()
	s, files := aging(t, "3s", "")
	defer s.Close()
	f := serveFolder(t, files, server.Options{})
	eventually(t, "believed", func() bool { return f.Revision() == "rev-a" })
	time.Sleep(4 * time.Second) // clock: it would be too old by now
	eventually(t, "believed, since the server says that it is the same", func() bool { return f.Revision() == "rev-a" })
	s.Put("authz.tar.gz", badBundles(t)["an unknown level"])
	eventually(t, "it is too old", func() bool { return f.Revision() == "rev-a~lists" })
}

// A bundle comes into force while a file beside it is broken, with the files that are in
// force.
func TestBundleWhileFilesAreBroken(t *testing.T) {
	t.Parallel()
	s := testbundles.New()
	defer s.Close()
	s.Put("authz.tar.gz", testbundles.Pack(bundled("a")))
	files := fromBundles(opaConfig(s, ""))
	files["stepward.yaml"] = strings.Replace(files["stepward.yaml"], "policy: { timeout: 10s }", "policy: { paths: [more], timeout: 10s }", 1)
	files["more/more.rego"] = "package stepward.route.more\n\nimport rego.v2\n\nrequire contains {\"level\": \"mfa\"}\n"
	f := serveFolder(t, files, server.Options{})
	more := func() int32 {
		res, err := f.auth.Check(t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{ContextExtensions: map[string]string{"stepward.policy": "more"}, Request: &authv3.AttributeContext_Request{
			Http: &authv3.AttributeContext_HttpRequest{Method: "GET", Path: "/public", Host: "app.example.com", Scheme: "https"},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		return res.GetStatus().GetCode()
	}
	if f.serves(t) != "a" || f.check(t, "/public", nil).GetStatus().GetCode() != 0 || more() != int32(codes.Unauthenticated) {
		t.Fatal("the file beside the bundle does not count")
	}
	write(t, f.dir, map[string]string{"more/more.rego": "this is no policy"})
	failing := func() bool {
		_, body := page(t, f.running, "/metrics")
		return strings.Contains(body, "stepward_config_last_reload_success 0")
	}
	eventually(t, "the reload fails", failing)
	s.Put("authz.tar.gz", testbundles.Pack(bundled("b")))
	eventually(t, "b is in force", func() bool { return f.serves(t) == "b" })
	if more() != int32(codes.Unauthenticated) || !failing() {
		t.Error("the file in force is lost, or nobody is told that the one on disk is broken")
	}
}
