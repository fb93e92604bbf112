package playground_test

import (
	"os"

	"github.com/chromedp/chromedp"
)

// accessible holds the page, as it stands, against the rules of axe-core.
func (b *tab) accessible() {
	b.t.Helper()
	rules, err := os.ReadFile("../../../.tools/axe/node_modules/axe-core/axe.min.js")
	switch {
	case err != nil && os.Getenv("CI") == "true":
		b.t.Fatal("axe-core is not installed: make browser")
	case err != nil:
		b.t.Log("axe-core is not installed: make browser")
		return
	}
	b.run(script(string(rules) + ";0"))
	found, err := chromedp.Run(b.ctx, chromedp.Evaluate[[]string](
		`axe.run().then((r) => r.violations.flatMap((v) => v.nodes.map((n) => v.id + ' at ' + n.target + ': ' + n.failureSummary)))`, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range found {
		b.t.Error(f)
	}
}
