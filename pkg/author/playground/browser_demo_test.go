package playground_test

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/author/explain"
	"github.com/stepward/stepward/pkg/author/playground"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/run/control"
	"github.com/stepward/stepward/pkg/run/demo"
)

// demoLive is the live page while the story of the demo happens behind a real Envoy.
func demoLive(t *testing.T, chrome context.Context) {
	socket := "unix://" + filepath.Join(t.TempDir(), "c.sock")
	c, err := config.Parse("stepward.yaml", []byte(`issuers: [{ name: demo, issuer: "https://idp.example.com", audiences: [x] }]
levels:
- { name: password, acr: ["urn:example:loa:1"] }
- { name: mfa, acr: ["urn:example:loa:2"] }
- { name: phishing-resistant, acr: [phr, phrh] }
policy: { default: true }
log: { decisions: "off" }
control: `+socket+"\n"), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := demo.Start(t.Context(), demo.Options{Load: func(*files.Look) (config.Config, error) { return c, nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	client, err := control.NewClient(socket)
	if err != nil {
		t.Fatal(err)
	}
	b := open(t, chrome, serve(t, playground.Options{Workspace: workspace(),
		Live: func(ctx context.Context, each func(explain.Explanation)) error {
			return client.Decisions(ctx, control.Filter{}, true, each)
		}}))
	for _, s := range demo.Story() {
		if err := s.Do(t.Context(), d); err != nil {
			t.Errorf("%s: %v", s.Title, err)
		}
	}
	b.is(fmt.Sprintf("document.getElementById('list').children.length === %d", len(demo.Story())))
	b.is(
		"document.getElementById('list').innerText.includes('challenge 401') && !/anonymous/.test(document.getElementById('list').innerText)")
	b.write("filter", "/payments alice")
	b.click("#list tr:nth-child(1) button")
	b.says("explained", "401 stale_authentication")
	b.write("filter", "")
	b.picture("demo-live.png", 1280, 620, "light")
}

// demoTerminal is the terminal of a demo that carries out its story: what the command
// prints, and nothing else.
func demoTerminal(t *testing.T, chrome context.Context) {
	binary := filepath.Join(t.TempDir(), "stepward")
	if out, err := exec.Command("go", "build", "-o", binary, "../../../cmd/stepward").CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
	out, err := exec.CommandContext(t.Context(), binary, "demo", "--once").Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text := html.EscapeString(strings.TrimSpace(string(out)))
	text = strings.ReplaceAll(text, "✓", "<b>✓</b>") // green, as on a terminal
	page := `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>stepward demo --once</title><link rel="icon" href="data:,"><style>
body { margin: 0; background: #11151c; color: #e6e9ef; font: 15px/1.55 "DejaVu Sans Mono", monospace }
h1 { margin: 0; padding: .6em 1.2em; background: #222936; color: #e6e9ef; font: inherit }
pre { margin: 0; padding: 1em 1.2em; font: inherit; white-space: pre-wrap }
b { color: #5fd38d }
</style></head><body><main><h1>$ stepward demo --once</h1><pre id="out">` + text + `</pre></main></body></html>`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("content-type", "text/html; charset=utf-8")
		fmt.Fprint(w, page)
	}))
	defer server.Close()
	b := open(t, chrome, server.URL+"/")
	b.says("out", fmt.Sprintf("%d of %d answers as expected", len(demo.Story()), len(demo.Story())))
	b.picture("demo-terminal.png", 900, 290, "light")
}
