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

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc/codes"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	sdktest "github.com/open-policy-agent/opa/v1/sdk/test"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/internal/testbundles"
	"github.com/stepward/stepward/pkg/run/server"
)

// polled makes OPA ask again soon.
const polled = `polling: { min_delay_seconds: 1, max_delay_seconds: 1 }`

// bundled returns variant with its policy in a bundle.
func bundled(name string) map[string]string {
	return map[string]string{
		".manifest":   `{"revision": "rev-` + name + `", "roots": ["stepward/policy", "lists", "system/log"]}`,
		"policy.rego": variant(name)["policy/policy.rego"],
	}
}

// fromBundles returns a configuration whose policy comes from where opa says.
func fromBundles(opa string) map[string]string {
	files := map[string]string{"opa.yaml": opa}
	files["stepward.yaml"] = strings.Replace(variant("a")["stepward.yaml"], "policy: { paths: [policy], timeout: 10s }",
		"policy: { timeout: 10s }\nbundles: { config_file: opa.yaml }", 1)
	return files
}

func opaConfig(s *testbundles.Server, more string) string {
	return `services: { control: { url: "` + s.URL + `", response_header_timeout_seconds: 2 } }
bundles: { authz: { service: control, resource: bundles/authz.tar.gz, ` + polled + ` } }
` + more
}

// serves returns the variant in force, as an answer shows it; allow headers tell all of it.
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
	eventually(t, "another name for another policy", func() bool {
		return f.serves(t) == "a" && strings.HasPrefix(
			f.Revision(), "rev-b@")
	})
	if _, body := page(t, f.running, "/metrics"); !strings.Contains(
		body, `stepward_data_age_seconds{kind="bundle",source="authz"}`) || !strings.Contains(
		body, "bundle_loaded_counter") {
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
			return status == 503 && strings.Contains(body, "bundle authz") && strings.Contains(
				body, "the last attempt failed")
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

// A bundle that was kept serves when the server is away at the next start.
func TestPersistence(t *testing.T) {
	t.Parallel()
	s := testbundles.New()
	s.Put("authz.tar.gz", testbundles.Pack(bundled("a")))
	files := fromBundles(strings.Replace(opaConfig(s, "persistence_directory: kept\n"), polled,
		polled+", persist: true", 1))
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
		files["policy.rego"] = strings.Replace(files["policy.rego"], "require contains {\"level\": \"anonymous\"}",
			"# METADATA\n# scope: rule\n# labels:\n#   team: web\nrequire contains {\"level\": \"anonymous\"}", 1)
		files["mask.rego"] = "package system.log\n\nmask contains \"/input/request/headers/x-mine\"\n\ndrop if input.input.request.path == \"/dropped\"\n"
		s.Put("authz.tar.gz", testbundles.Pack(files))
		f := serveFolder(t, fromBundles(opaConfig(s, `labels: { app: gateway }
decision_logs: { service: control, reporting: { min_delay_seconds: 1, max_delay_seconds: 1 } }
status: { service: control }
`)), server.Options{})
		secret := map[string]string{"authorization": "Bearer SECRET.SECRET.SECRET", "cookie": "s=SECRET",
			"x-api-key": "SECRET", "x-mine": "SECRET", "referer": "https://x/?q=SECRET", "dpop": "SECRET",
			"x-kept": "kept"}
		f.check(t, "/public?code=SECRET", secret)
		f.check(t, "/dropped", nil)
		f.check(t, "/x", map[string]string{"accept": "application/json"})
		eventually(t, "two events", func() bool { return len(s.Events()) >= 2 })
		e := s.Events()[0]
		text, _ := json.Marshal(s.Events())
		if strings.Contains(string(text), "SECRET") || strings.Contains(string(text), "/dropped") {
			t.Errorf("logged: %s", text)
		}
		for _, want := range []string{`"rev-a"`, `"app":"gateway"`, `"rule_labels":[{"team":"web"}]`,
			`"erased":["/input/request/headers/x-mine"]`, `/input/request/query`, `"x-kept":"kept"`, `"reason":"ok"`,
			`"custom":{`, `"path":"stepward/policy"`, `"policy_revision":"rev-a"`} {
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
			if i := strings.LastIndex(line, " "); strings.Contains(
				line, "decision_logs_dropped_buffer_size_limit_exceeded") && !strings.HasPrefix(line, "#") {
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
		return testbundles.Pack(map[string]string{
			"data.json": `{"discovery": {"bundles": {"authz": {"service": "control", "resource": "bundles/` + bundle +
				`", "polling": {"min_delay_seconds": 1, "max_delay_seconds": 1}}}, "plugins": {}}}`})
	}
	s.Put("discovery.tar.gz", discovered("authz.tar.gz"))
	core, lines := observer.New(zap.InfoLevel)
	f := serveFolder(t, fromBundles(`services: { control: { url: "`+s.URL+`" } }
discovery: { resource: bundles/discovery.tar.gz, decision: discovery, `+polled+` }
`), server.Options{Log: zap.New(core)})
	if f.serves(t) != "a" {
		t.Fatal("not a")
	}
	s.Put("discovery.tar.gz", testbundles.Pack(
		map[string]string{
			"data.json": `{"discovery": {"bundles": {"authz": {"service": "control", "resource": "bundles/plain.tar.gz"}}, "plugins": {"mine": {}}}}`}))
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
	f := serveFolder(t, fromBundles(strings.Replace(opaConfig(s, ""), polled,
		`polling: { min_delay_seconds: 0, max_delay_seconds: 1, long_polling_timeout_seconds: 1 }`, 1)),
		server.Options{})
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

// A bundle takes effect while a file next to it is broken, with the files that are in
// force.
func TestBundleWhileFilesAreBroken(t *testing.T) {
	t.Parallel()
	s := testbundles.New()
	defer s.Close()
	s.Put("authz.tar.gz", testbundles.Pack(bundled("a")))
	files := fromBundles(opaConfig(s, ""))
	files["stepward.yaml"] = strings.Replace(files["stepward.yaml"], "policy: { timeout: 10s }",
		"policy: { paths: [more], timeout: 10s }", 1)
	files["more/more.rego"] = "package stepward.route.more\n\nimport rego.v2\n\nrequire contains {\"level\": \"mfa\"}\n"
	f := serveFolder(t, files, server.Options{})
	more := func() int32 {
		res, err := f.auth.Check(t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
			ContextExtensions: map[string]string{"stepward.policy": "more"}, Request: &authv3.AttributeContext_Request{
				Http: &authv3.AttributeContext_HttpRequest{Method: "GET", Path: "/public", Host: "app.example.com",
					Scheme: "https"},
			}}})
		if err != nil {
			t.Fatal(err)
		}
		return res.GetStatus().GetCode()
	}
	if f.serves(t) != "a" || f.check(t, "/public", nil).GetStatus().GetCode() != 0 || more() != int32(
		codes.Unauthenticated) {
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
