package playground_test

import (
	"context"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/stepward/stepward/examples"
	"github.com/stepward/stepward/pkg/author/playground"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/internal/wait"
)

// chromium is a browser that runs without a window, once for all tests of a page.
func chromium(t *testing.T) context.Context {
	t.Helper()
	if testing.Short() {
		t.Skip("Chromium: make test-all")
	}
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("no Chromium is installed: make browser")
		}
		t.Skip("no Chromium is installed: make browser")
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.Headless, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.NoDefaultBrowserCheck, chromedp.WindowSize(1280, 800), chromedp.WSURLReadTimeout(time.Minute),
	}
	for _, flag := range []string{"disable-quic", "disable-background-networking", "disable-component-update",
		"disable-sync", "disable-extensions", "disable-dev-shm-usage", "hide-scrollbars"} {
		options = append(options, chromedp.Flag(flag, true))
	}
	allocated, free := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, stop := chromedp.NewContext(allocated)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Error(err)
		}
		stop()
		free()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// serve serves a page and says where.
func serve(t *testing.T, o playground.Options) (root string) {
	t.Helper()
	l, err := playground.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.Host, o.Token, o.Stage = l.Addr().String(), secret, stage
	ctx, cancel := context.WithCancel(context.Background())
	server := &http.Server{Handler: playground.Handler(o), ReadHeaderTimeout: time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx }}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		cancel()
		server.Close()
		<-done
	})
	return "http://" + o.Host + "/" + secret + "/"
}

// TestBrowser drives the page by a real browser.
func TestBrowser(t *testing.T) {
	chrome := chromium(t)
	for name, test := range map[string]func(*testing.T, context.Context){
		"answers": answersFollow, "errors": errorsHavePlaces, "clients": clientsSwitch, "save": savesAndLoads,
		"matrix": matrixFollows, "text": dataIsText, "keyboard": keyboardWorks, "live": liveDecisions,
		"pictures": pictures, "demo": demoLive, "terminal": demoTerminal,
	} {
		t.Run(name, func(t *testing.T) { test(t, chrome) })
	}
}

// A rule that is typed changes the answer, from an allow to a challenge.
func answersFollow(t *testing.T, chrome context.Context) {
	w := workspace()
	w.Scenario = []byte(`{"path":"/orders/7","token":{"level":"password","auth_age":"10s"}}`)
	b := open(t, chrome, serve(t, playground.Options{Workspace: w}))
	b.says("answers", "200 ok")
	b.append("\nrequire contains {\"level\": \"mfa\"} if input.request.segments[0] == \"orders\"\n")
	b.says("answers", "401 insufficient_level")
	b.says("answers", `acr_values="2"`)
	b.says("answers", "policy.rego:12")
	b.is("document.getElementById('stale').hidden && document.getElementById('message').hidden")
	b.run(choose("level", "mfa"))
	b.says("answers", "200 ok")
	b.is(`JSON.parse(document.getElementById('token').value).level === "mfa"`)
	b.write("path", "/payments/7")
	b.write("age", "400s")
	b.click("#answer-h")
	b.says("answers", "401 stale_authentication")
	b.write("token", "")
	b.says("answers", "401 no_credentials")
	b.write("token", `{"level": `)
	b.says("scenario-error", "not JSON")
	b.is("!document.getElementById('stale').hidden")
	b.write("token", `{"level": "nothing"}`)
	b.says("scenario-error", "not on the ladder")
	b.write("token", `{"level": "password", "auth_age": "10s"}`)
	b.says("answers", "401 insufficient_level")
}

// What does not compile is shown at its line, and the last good answer stays, marked.
func errorsHavePlaces(t *testing.T, chrome context.Context) {
	b := open(t, chrome, serve(t, playground.Options{Workspace: workspace()}))
	b.says("answers", "401 insufficient_level")
	b.append("\nrequire contains {\"level\": \"mfa\" if input.request.path\n")
	b.says("findings", "policy.rego:12:")
	b.is(
		"document.querySelectorAll('#shown .refused').length === 1 && document.querySelector('#shown .refused') === document.getElementById('shown').children[11]")
	b.is(
		"document.querySelector('#gutter .refused').textContent === '12' && document.querySelector('#shown .refused .note').textContent")
	b.is("!document.getElementById('stale').hidden && document.getElementById('answer').classList.contains('stale')")
	b.says("answers", "401 insufficient_level")
	b.click("#findings button")
	b.is(
		"document.activeElement.id === 'text' && document.activeElement.value.slice(0, document.activeElement.selectionStart).split('\\n').length === 12")
	b.write("text", policyText+"\ndeny contains {\"code\": \"x\"} if input.token.claims.age < 18\n")
	b.says("findings", "policy.rego:12:")
	b.is("document.querySelector('#shown .warned') === document.getElementById('shown').children[11]")
	b.is("document.getElementById('stale').hidden")
	b.write("text", policyText)
	b.is("!document.getElementById('findings').children.length && !document.querySelector('#shown .warned')")
	b.click("#files button:nth-child(3)")
	b.append("levls: []\n")
	b.says("findings", "stepward.yaml:")
	b.says("findings", `did you mean "levels"`)
	b.is("document.querySelector('#files .refused').textContent === 'stepward.yaml'")
}

// Each kind of client has its own answer.
func clientsSwitch(t *testing.T, chrome context.Context) {
	w := workspace()
	w.Scenario = []byte(`{"path":"/orders"}`)
	b := open(t, chrome, serve(t, playground.Options{Workspace: w}))
	b.says("answers", "401 no_credentials")
	b.is("!document.getElementById('answers').innerText.includes('https://login.example.com')")
	b.click("#by-client tr[data-as=browser]")
	b.says("answers", "302 no_credentials")
	b.says("answers", "https://login.example.com/?")
	b.click("#clients label:nth-of-type(4)")
	b.is("document.querySelector('#by-client tr[aria-current]').dataset.as === 'grpc'")
	b.says("answers", "kind grpc")
}

// A saved workspace opens again, in this page and in another; a broken one is refused, and
// nothing is lost.
func savesAndLoads(t *testing.T, chrome context.Context) {
	dir := t.TempDir()
	b := open(t, chrome, serve(t, playground.Options{Workspace: workspace()}))
	b.says("answers", "401 insufficient_level")
	b.append("\n# ours, </script> & more\n")
	b.write("path", "/orders?a=1")
	b.says("answers", "200 ok")
	downloaded := make(chan struct{})
	var once sync.Once
	err := chromedp.ListenBrowser(b.ctx, func(e any) {
		if p, ok := e.(*browser.EventDownloadProgress); ok && p.State == browser.DownloadProgressStateCompleted {
			once.Do(func() { close(downloaded) })
		}
	})
	if err == nil {
		_, err = chromedp.CallBrowser(b.ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
			Behavior: browser.SetDownloadBehaviorBehaviorAllow, DownloadPath: dir, EventsEnabled: new(true)})
	}
	if err != nil {
		t.Fatal(err)
	}
	b.click("#save")
	wait.For(t, "a download", downloaded)
	file := filepath.Join(dir, "playground.json")
	saved, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	w, err := playground.Parse(saved)
	if err != nil || !strings.HasSuffix(w.Policy[0].Text, "# ours, </script> & more\n") || !strings.Contains(
		string(w.Scenario), "/orders?a=1") || w.Settings != settingsText {
		t.Errorf("%v\n%s", err, saved)
	}
	other := workspace()
	other.Policy[0].Text = "package stepward.policy\nimport rego.v2\nrequire contains {\"level\": \"anonymous\"}\n"
	another := open(t, chrome, serve(t, playground.Options{Workspace: other}))
	another.says("answers", "200 ok")
	another.run(chromedp.SetUploadFiles(chromedp.ID("file"), []string{file}))
	another.is("document.getElementById('text').value.includes('# ours, </script> & more')")
	another.is("document.getElementById('path').value === '/orders?a=1'")
	another.says("answers", "200 ok")
	broken := filepath.Join(dir, "broken.json")
	if err := os.WriteFile(broken, []byte(strings.Replace(string(saved), playground.Format, "stepward-playground/9",
		1)), 0o600); err != nil {
		t.Fatal(err)
	}
	another.expected = 1 // the browser notes the status
	another.run(chromedp.SetUploadFiles(chromedp.ID("file"), []string{broken}))
	another.says("message", `broken.json: not a saved playground: format is "stepward-playground/9"`)
	another.is("document.getElementById('text').value.includes('# ours')")
}

// The matrix follows the policy and the routes.
func matrixFollows(t *testing.T, chrome context.Context) {
	b := open(t, chrome, serve(t, playground.Options{Workspace: workspace()}))
	b.says("rows", "mfa, max_age 300s")
	b.says("public", "0 public")
	b.write("routes", "GET /\nPOST /payments/**\n")
	b.append("\nrequire contains {\"level\": \"phr\"} if false\n")
	b.is("!document.getElementById('matrix-stale').hidden")
	b.says("rows", "mfa, max_age 300s")
	b.write("text", strings.Replace(policyText, "\"authenticated\"}", "\"anonymous\"}", 1))
	b.is("document.querySelectorAll('#rows tr.public').length === 1")
	b.says("public", "1 public")
	b.write("routes", "nonsense")
	b.says("rows", "is not a route")
}

// pictures are of the shipped example, with which the command begins.
func pictures(t *testing.T, chrome context.Context) {
	example := examples.Quickstart()
	settings, err := fs.ReadFile(example, "stepward.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text, err := fs.ReadFile(example, "policies/policy.rego")
	if err != nil {
		t.Fatal(err)
	}
	w, err := playground.New([]rego.Source{{Name: "policy.rego", Text: text}}, settings, os.Getenv,
		"GET /\nGET /orders/{id}\nPOST /payments/**\nGET /payroll/**\n",
		`{"method":"POST","path":"/payments/7","token":{"level":"password","auth_age":"10s"}}`)
	if err != nil {
		t.Fatal(err)
	}
	b := open(t, chrome, serve(t, playground.Options{Workspace: w}))
	b.says("answers", "401 insufficient_level")
	b.says("rows", "mfa, max_age 300s")
	b.picture("playground.png", 1280, 800, "light")
	b.picture("", 1280, 800, "dark")
	b.picture("", 390, 1600, "light")
	b.picture("", 820, 1180, "light")
	b.run(choose("level", "mfa"))
	b.says("answers", "200 ok")
	b.run(choose("level", "password"))
	b.says("answers", "401 insufficient_level")
	b.write("text", strings.Replace(string(text), "not input.request.method", "not input.request.metod", 1))
	b.says("findings", "policy.rego:22:")
	b.is("document.querySelector('#shown .refused .note') && !document.getElementById('matrix-stale').hidden")
	b.picture("playground-finding.png", 1280, 800, "dark")
}

// What is written in policies, paths and claims is shown, and never run.
func dataIsText(t *testing.T, chrome context.Context) {
	const attack = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`
	w := workspace()
	w.Policy = []playground.File{{Name: "<b>p.rego", Text: policyText +
		"\ndeny contains {\"code\": \"x\", \"always\": true, \"reason\": who} if { who := input.token.claims.role; who != \"\" }\n# " + attack + "\nheaders[\"x-role\"] := input.token.claims.role\n"}}
	w.Scenario = []byte(text(t, map[string]any{"path": "/%3Cimg%20src=x%3E", "headers": map[string]string{
		"x-a": attack}, "token": map[string]any{"sub": attack, "role": attack}}))
	w.Routes = "GET /<img>\n"
	b := open(t, chrome, serve(t, playground.Options{Workspace: w}))
	b.says("answers", "403 policy_denied")
	b.says("answers", `user "`+attack)
	b.says("answers", "who = ")
	b.says("rows", "/<img>")
	b.says("shown", "# "+attack)
	b.write("text", w.Policy[0].Text+"\nx := \"<script>alert(1)</script>")
	b.says("findings", "<b>p.rego:")
	b.is(
		"document.querySelectorAll('main img, main script, main b').length === 0 && document.title === 'Stepward playground'")
	b.expected = 1 // the browser notes what is tried next
	if !value[bool](b, "(() => { try { document.body.innerHTML = '<p>'; return false } catch { return true } })()") {
		t.Error("markup can be made of text")
	}
}

// Everything can be reached and done without a mouse, and each field has a name.
func keyboardWorks(t *testing.T, chrome context.Context) {
	b := open(t, chrome, serve(t, playground.Options{Workspace: workspace()}))
	b.says("answers", "401 insufficient_level")
	nameless := value[[]string](
		b,
		`[...document.querySelectorAll('input, textarea, select, button')].filter((e) => !(e.getAttribute('aria-label') || e.labels?.length || e.innerText?.trim())).map((e) => e.outerHTML)`)
	if len(nameless) > 0 {
		t.Errorf("without a name: %q", nameless)
	}
	b.run(chromedp.Focus(chromedp.ID("text")), chromedp.KeyEvent("\t"))
	b.is("document.activeElement.id === 'text' && document.activeElement.value.includes('\\t')")
	b.run(chromedp.KeyEvent("\x1b"), chromedp.KeyEvent("\t"))
	b.is("document.activeElement.id !== 'text'")
	reached := map[string]bool{}
	for range 60 {
		b.run(chromedp.KeyEvent("\t"))
		id := value[string](
			b, "document.activeElement.id || document.activeElement.name || document.activeElement.textContent")
		if id == "text" {
			b.run(chromedp.KeyEvent("\x1b"))
		}
		reached[id] = true
		if !value[bool](
			b,
			"document.activeElement === document.body || getComputedStyle(document.activeElement.closest('.segmented label:has(:focus-visible)') ?? document.activeElement).outlineStyle !== 'none'") {
			t.Errorf("the focus on %q is not seen", id)
		}
	}
	for _, id := range []string{"open", "save", "add-file", "text", "as", "method", "path", "level", "age", "token",
		"browser", "routes", "rows"} {
		if !reached[id] {
			t.Errorf("%s is not reached by Tab: %v", id, reached)
		}
	}
	b.run(chromedp.Focus(chromedp.CSS("#files [aria-selected=true]")), chromedp.KeyEvent(kb.ArrowRight))
	b.is("document.activeElement.textContent === 'data.json' && document.getElementById('text').value.includes('open')")
	b.run(chromedp.Focus(chromedp.CSS("#by-client tr[data-as=grpc] button")), chromedp.KeyEvent(kb.Enter))
	b.says("spoken", "grpc: 401 insufficient_level")
	b.says("answers", "kind grpc")
	b.is("document.activeElement.closest('tr')?.dataset.as === 'grpc'")
}
