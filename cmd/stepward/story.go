package main

import (
	"context"
	"fmt"

	"github.com/stepward/stepward/cmd/stepward/internal/output"
	"github.com/stepward/stepward/pkg/run/demo"
)

// tellStory prints each step as a line to copy.
func tellStory(p *output.Painter, d *demo.Demo) {
	p.Printf("\n%s\n%s\n\n", p.Paint(output.Bold, "Stepward is running behind Envoy at "+d.Ingress),
		p.Paint(output.Dim, "Copy a line into another terminal, and watch here what is decided and why."))
	for i, s := range demo.Story() {
		p.Printf("%s\n   %s\n   %s\n   → %s\n\n", p.Paint(output.Bold, fmt.Sprintf("%d. %s", i+1, s.Title)),
			p.Paint(output.Dim, s.Why), p.Paint(output.Blue, s.Curl(d)),
			p.Paint(output.StatusColour(s.Status), fmt.Sprint(s.Status)))
	}
	p.Printf("%s\n\n", p.Paint(output.Dim, "Envoy's own pages are at http://"+d.Admin+". Ctrl-C stops everything."))
}

// invite prints a line to copy for a caller of each level.
func invite(p *output.Painter, d *demo.Demo) {
	p.Printf("\n%s\n%s\n\n", p.Paint(output.Bold, "Your policy decides behind Envoy at "+d.Ingress),
		p.Paint(output.Dim, "Copy a line into another terminal, change method and path, "+
			"and watch here what is decided and why."))
	p.Printf("%s\n   %s\n\n", p.Paint(output.Bold, "nobody"), p.Paint(output.Blue, "curl -si "+d.Ingress+"/"))
	for _, l := range d.Levels {
		p.Printf("%s\n   %s\n\n", p.Paint(output.Bold, "with level "+l),
			p.Paint(output.Blue, fmt.Sprintf(
				"curl -si %s/ -H \"Authorization: Bearer $(curl -s '%s/token?level=%s&age=10')\"",
				d.Ingress, d.Provider, l)))
	}
	p.Printf("%s\n\n", p.Paint(output.Dim, "age is that of the authentication, in seconds; "+
		"-G --data-urlencode 'claims={\"roles\":[\"payroll\"]}' adds claims. Ctrl-C stops everything."))
}

// once sends every request of the story. An unexpected answer is a finding.
func once(ctx context.Context, p *output.Painter, d *demo.Demo) error {
	failed := 0
	for i, s := range demo.Story() {
		if err := s.Do(ctx, d); err != nil {
			failed++
			p.Printf("%s %d. %s: %v\n", p.Paint(output.Red, "✗"), i+1, s.Title, err)
			continue
		}
		p.Printf("%s %d. %s %s\n", p.Paint(output.Green, "✓"), i+1, s.Title,
			p.Paint(output.Dim, fmt.Sprintf("(%s %s → %d)", s.Method, s.Path, s.Status)))
	}
	p.Printf("%d of %d answers as expected\n", len(demo.Story())-failed, len(demo.Story()))
	if failed > 0 {
		return found()
	}
	return nil
}
