package server_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"go.uber.org/goleak"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/internal/testidp"
	"github.com/stepward/stepward/pkg/run/server"
)

// folder is a configuration on disk, served and followed.
type folder struct {
	dir string
	running
}

// variant returns a configuration and policy whose name is in every answer.
func variant(name string) map[string]string {
	return map[string]string{
		"stepward.yaml": `issuers: [{ name: corp, issuer: "https://idp.example.com", audiences: ["` + testidp.Audience + `"], jwks_file: keys.json }]
levels: [{ name: mfa, acr: ["acr-` + name + `"] }]
policy: { paths: [policy], timeout: 10s }
limits: { deadline: 10s }
challenge: { realm: "realm-` + name + `" }
login_redirect: { url: "https://login-` + name + `.example.com/", hosts: [app.example.com] }
drain: { delay: 10ms }
`,
		"policy/policy.rego": `package stepward.policy

import rego.v2

require contains {"level": "anonymous"} if input.request.path == "/public"

require contains {"level": "mfa", "reason": "` + name + `"} if input.request.path != "/public"

headers["x-variant"] := "` + name + `"

response_headers["x-variant"] := "` + name + `"

metadata["variant"] := "` + name + `"
`,
	}
}

func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
}

func serveFolder(t testing.TB, files map[string]string, o server.Options) folder {
	t.Helper()
	idp, err := testidp.New(testidp.Options{Issuer: "https://idp.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, dir, files)
	write(t, dir, map[string]string{"keys.json": string(idp.JWKS())})
	return serveDir(t, dir, o)
}

func serveDir(t testing.TB, dir string, o server.Options) folder {
	t.Helper()
	o.Reload = func(l *files.Look) (config.Config, error) {
		return config.Load(filepath.Join(dir, "stepward.yaml"), config.Options{Look: l})
	}
	c, err := o.Reload(files.NewLook())
	if err != nil {
		t.Fatal(err)
	}
	f := folder{dir: dir, running: run(t, c, o)}
	eventually(t, "ready", f.Ready)
	return f
}

// variantOf returns the variant whose marks an answer bears, which must all agree.
func variantOf(res *authv3.CheckResponse) (string, error) {
	marks := map[string]bool{
		res.GetDynamicMetadata().GetFields()["policy"].GetStructValue().GetFields()["variant"].GetStringValue(): true}
	text := ""
	for _, h := range res.GetOkResponse().GetHeaders() {
		if h.GetHeader().GetKey() == "x-variant" {
			marks[h.GetHeader().GetValue()] = true
		}
	}
	for _, h := range res.GetOkResponse().GetResponseHeadersToAdd() {
		marks[h.GetHeader().GetValue()] = true
	}
	for _, h := range res.GetDeniedResponse().GetHeaders() {
		text += h.GetHeader().GetValue() + " "
	}
	for _, name := range []string{"a", "b"} {
		for _, mark := range []string{"realm-" + name, "acr-" + name, "login-" + name} {
			if strings.Contains(text, mark) {
				marks[name] = true
			}
		}
	}
	if len(marks) != 1 {
		return "", fmt.Errorf("marks of %v in %v", marks, res)
	}
	for name := range marks {
		return name, nil
	}
	return "", nil
}

// Of two configurations that differ in every answer, each decision is wholly of the
// one whose revision it names, however often they change places.
func TestReloadIsWhole(t *testing.T) {
	reloads := soak(1000)
	if testing.Short() {
		reloads = 100
	}
	dir, link := linked(t)
	f := serveDir(t, dir, server.Options{Terms: files.Terms{Rest: 5 * time.Millisecond}})
	revisions := sync.Map{}
	var decisions atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for i := range 3 {
		clients.Go(func() {
			headers := []map[string]string{{"accept": "application/json"},
				{"accept": "text/html", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}}[i%2]
			for n := 0; ctx.Err() == nil; n++ {
				res, err := f.auth.Check(t.Context(), get([]string{"/public", "/x"}[n%2], headers))
				if err != nil {
					t.Error(err)
					return
				}
				name, err := variantOf(res)
				if err != nil {
					t.Error(err)
					return
				}
				revision := res.GetDynamicMetadata().GetFields()["policy_revision"].GetStringValue()
				if was, known := revisions.LoadOrStore(revision, name); known && was != name {
					t.Errorf("revision %s is %s and %s", revision, was, name)
					return
				}
				decisions.Add(1)
			}
		})
	}
	for i := range reloads {
		was := f.Revision()
		link([]string{"b", "a"}[i%2])
		f.Reload()
		eventually(t, "the other revision", func() bool { return f.Revision() != was || t.Failed() })
	}
	stop()
	clients.Wait()
	seen := 0
	revisions.Range(func(any, any) bool { seen++; return true })
	if seen != 2 || decisions.Load() == 0 {
		t.Errorf("%d revisions in %d decisions", seen, decisions.Load())
	}
	t.Logf("%d decisions over %d reloads", decisions.Load(), reloads)
}

func get(path string, headers map[string]string) *authv3.CheckRequest {
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{
		Http: &authv3.AttributeContext_HttpRequest{Method: "GET", Path: path, Host: "app.example.com", Scheme: "https",
			Headers: headers},
	}}}
}

func (f folder) variant(t testing.TB) string {
	t.Helper()
	name, err := variantOf(f.check(t, "/public", nil))
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// A changed file is noticed without a signal, through symbolic links too; a broken one is
// reported, and the last good policy stays in force.
func TestFollowsFiles(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Run("", func(t *testing.T) {
		f := serveFolder(t, variant("a"), server.Options{})
		if f.variant(t) != "a" {
			t.Fatal("not the first")
		}
		write(t, f.dir, map[string]string{"policy/policy.rego": variant("b")["policy/policy.rego"]})
		eventually(t, "the policy of b", func() bool {
			return f.check(t, "/public",
				nil).GetDynamicMetadata().GetFields()["policy"].GetStructValue().GetFields()["variant"].GetStringValue() == "b"
		})
		revision := f.Revision()
		write(t, f.dir, map[string]string{
			"policy/more.rego": "package stepward.policy\nimport rego.v2\ndeny if true\n"})
		eventually(t, "the failure is told of", func() bool {
			_, body := page(t, f.running, "/readyz?verbose")
			return strings.Contains(body, "more.rego:3:1: deny must be a set of objects")
		})
		if status, _ := page(t, f.running, "/readyz"); status != 200 || f.Revision() != revision {
			t.Errorf("a broken reload changed readiness (%d) or policy", status)
		}
		if _, body := page(t, f.running, "/metrics"); !strings.Contains(body, "stepward_config_last_reload_success 0") {
			t.Error("the metric does not tell")
		}
		if err := os.Remove(filepath.Join(f.dir, "policy/more.rego")); err != nil {
			t.Fatal(err)
		}
		eventually(t, "mended", func() bool {
			_, body := page(t, f.running, "/metrics")
			return strings.Contains(body, "stepward_config_last_reload_success 1")
		})
		if err := f.stop(); err != nil {
			t.Error(err)
		}
	})
}

// linked returns a folder with two variants. One link chooses between them, as
// Kubernetes mounts files: they change all at once.
func linked(t testing.TB) (dir string, link func(name string)) {
	t.Helper()
	dir = t.TempDir()
	idp, err := testidp.New(testidp.Options{Issuer: "https://idp.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b"} {
		write(t, filepath.Join(dir, "..data_"+name), variant(name))
		write(t, filepath.Join(dir, "..data_"+name), map[string]string{"keys.json": string(idp.JWKS())})
	}
	link = func(name string) {
		if err := os.Symlink("..data_"+name, filepath.Join(dir, "..new")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..new"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	link("a")
	for _, name := range []string{"stepward.yaml", "keys.json", "policy"} {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir, link
}

// The swap of a link is noticed without being told of.
func TestFollowsSwappedLinks(t *testing.T) {
	t.Parallel()
	dir, link := linked(t)
	f := serveDir(t, dir, server.Options{})
	if f.variant(t) != "a" {
		t.Fatal("not the first")
	}
	link("b")
	eventually(t, "b", func() bool { return strings.Contains(fmt.Sprint(f.check(t, "/x", nil)), "realm-b") })
	if f.variant(t) != "b" {
		t.Error("a blend")
	}
}

// A swap in the middle of reading is no snapshot of both: the load is done again.
func TestSwapWhileReading(t *testing.T) {
	t.Parallel()
	dir, link := linked(t)
	var swap atomic.Pointer[func()]
	var loads atomic.Int64
	o := server.Options{Reload: func(l *files.Look) (config.Config, error) {
		loads.Add(1)
		c, err := config.Load(filepath.Join(dir, "stepward.yaml"), config.Options{Look: l})
		if f := swap.Swap(nil); f != nil {
			(*f)() // the configuration is read, the policy is not
		}
		return c, err
	}}
	c, err := o.Reload(files.NewLook())
	if err != nil {
		t.Fatal(err)
	}
	f := folder{dir: dir, running: run(t, c, o)}
	eventually(t, "ready", f.Ready)
	var swapped atomic.Int64 // after how many loads
	back := func() { link("a"); swapped.Store(loads.Load()) }
	swap.Store(&back)
	link("b")
	f.Reload()
	eventually(t, "it is read again", func() bool {
		for _, path := range []string{"/public", "/x"} {
			if _, err := variantOf(f.check(t, path, nil)); err != nil {
				t.Fatal(err)
			}
		}
		return swapped.Load() > 0 && loads.Load() > swapped.Load()
	})
	if f.variant(t) != "a" {
		t.Error("the last swap is not in force")
	}
}

// A new issuer whose keys are not there yet does not come into force without them.
func TestReloadWaitsForKeys(t *testing.T) {
	t.Parallel()
	idp, err := testidp.Start(testidp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer idp.Close()
	idp.Fail(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
	f := serveFolder(t, variant("a"), server.Options{})
	next := variant("b")
	next["stepward.yaml"] = strings.Replace(next["stepward.yaml"], "issuers: [", `issuers: [{ name: new, issuer: "`+
		idp.URL+`", audiences: [x] }, `, 1)
	write(t, f.dir, next)
	eventually(t, "it says what it waits for", func() bool {
		_, body := page(t, f.running, "/readyz?verbose")
		return strings.Contains(body, "waits for keys of new")
	})
	if f.variant(t) != "a" {
		t.Error("in force without its keys")
	}
	idp.Fail(nil)
	eventually(t, "b once the keys are there", func() bool {
		return strings.Contains(fmt.Sprint(f.check(t, "/x", nil)),
			"realm-b")
	})
}

// What cannot change while it runs is refused, not half done.
func TestReloadRefusesWhatIsFixed(t *testing.T) {
	for key, line := range map[string]string{
		"listen": "listen: 127.0.0.1:1\n", "admin": "admin: 127.0.0.1:1\n", "control": "control: unix:///tmp/x.sock\n",
		"limits.message": "limits: { deadline: 10s, message: 1MiB }\n", "log": "log: { decisions: off }\n",
	} {
		t.Run(key, func(t *testing.T) {
			f := serveFolder(t, variant("a"), server.Options{})
			next := variant("b")
			if key == "limits.message" {
				next["stepward.yaml"] = strings.Replace(next["stepward.yaml"], "limits: { deadline: 10s }\n", "", 1)
			}
			next["stepward.yaml"] += line
			write(t, f.dir, next)
			eventually(t, "it is refused", func() bool {
				_, body := page(t, f.running, "/readyz?verbose")
				return strings.Contains(body, key+" cannot change while the service runs")
			})
			if f.variant(t) != "a" {
				t.Error("a blend")
			}
		})
	}
}

// A reload that is asked for without a configuration to read is told of.
func TestReloadOfNothing(t *testing.T) {
	idp, err := testidp.Start(testidp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer idp.Close()
	r := run(t, settings(t, idp, ""), server.Options{})
	eventually(t, "ready", r.Ready)
	r.Reload()
	eventually(t, "told of", func() bool {
		_, body := page(t, r, "/readyz?verbose")
		return strings.Contains(body, "nothing to reload from")
	})
}

// soak says how often a test does what it does: n, or as often as `make soak` says.
func soak(n int) int {
	if times, err := strconv.Atoi(os.Getenv("STEPWARD_SOAK")); err == nil {
		return n * times
	}
	return n
}
