package main

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/rollout/divergence"
	"github.com/stepward/stepward/pkg/rollout/replay"
	"github.com/stepward/stepward/pkg/run/snapshot"
)

// replayFlags are which decisions, which policy and what is too much.
type replayFlags struct {
	config configFlags
	logs   []string
	policy []string
	old    []string
	format string
	most   map[divergence.Kind]*share
}

// oneOf lists words that are permitted.
func oneOf(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// share is a part of the decisions, written as "2%" or "0.02".
type share struct {
	set  bool
	part float64
}

func (s *share) String() string {
	if s == nil || !s.set {
		return ""
	}
	return strconv.FormatFloat(100*s.part, 'f', -1, 64) + "%"
}

func (*share) Type() string { return "share" }

func (s *share) Set(text string) error {
	number, percent := strings.CutSuffix(text, "%")
	part, err := strconv.ParseFloat(number, 64)
	if percent {
		part /= 100
	}
	if err != nil || !(part >= 0 && part <= 1) {
		return errors.New("must be a share such as 2% or 0.02")
	}
	s.set, s.part = true, part
	return nil
}

// limited are the kinds of difference that have a flag.
var limited = []divergence.Kind{divergence.NewlyChallenged, divergence.NewlyRefused, divergence.NewlyFailing,
	divergence.NewlyAllowed, divergence.NoLongerChallenged}

func newReplayCommand() *cobra.Command {
	f := replayFlags{most: map[divergence.Kind]*share{}}
	cmd := &cobra.Command{
		Use:   "replay --log FILE --policy PATH [-c FILE]",
		Short: "Ask another policy about decisions that were made",
		Long: `Puts recorded decisions to another policy, each at the time at which it was made, and
tells who would newly be challenged, who no longer, and who would be refused: by route,
rule, kind of client and issuer.

The log is that of the service with log.input: true, or of OPA's decision logs; .gz is
read as it is, and - is standard input. Levels and issuers are those of -c FILE, else of a
stepward.yaml beside or above the policy, else password, mfa and phishing-resistant of one
issuer; they should be those of the service that wrote the log.

What is masked in the log, the new policy does not see. Where its rules read that, compare
it with the old policy under the same conditions: --old PATH.`,
		Example: `  stepward replay --log decisions.log --policy policies/ -c stepward.yaml
  stepward replay --log decisions.log.gz --policy new/ --old policies/ --max-newly-challenged 2%
  stepward replay --log - --policy new/ --format html > report.html`,
		Args: f.config.only,
		RunE: f.run,
	}
	f.config.add(cmd)
	flags := cmd.Flags()
	flags.StringArrayVar(&f.logs, "log", nil, "decisions, a JSON object a line; more than once for more")
	flags.StringArrayVar(&f.policy, "policy", nil,
		"file or folder of the policy that is asked; more than once for more")
	flags.StringArrayVar(&f.old, "old", nil, "file or folder of a policy to compare with in place of what was recorded")
	flags.StringVar(&f.format, "format", "text", oneOf(divergence.Formats))
	for _, k := range limited {
		f.most[k] = &share{}
		flags.Var(f.most[k], "max-"+strings.ReplaceAll(string(k), "_", "-"),
			"exit with 1 when a larger share of the decisions is "+k.String()+", such as 2%")
	}
	return cmd
}

func (f *replayFlags) run(cmd *cobra.Command, _ []string) error {
	switch {
	case !slices.Contains(divergence.Formats, f.format):
		return usage(fmt.Errorf("--format %s is not known: %s", f.format, oneOf(divergence.Formats)))
	case len(f.logs) == 0:
		return usage(errors.New("name the recorded decisions with --log FILE"))
	case len(f.policy) == 0:
		return usage(errors.New("name the policy to ask with --policy PATH"))
	}
	c, _, err := f.config.rehearsal(f.policy)
	if err != nil {
		return err
	}
	p, err := f.player(cmd, c)
	if err != nil {
		return err
	}
	for _, name := range f.logs {
		if err := play(cmd, p, name); err != nil {
			return err
		}
	}
	r := p.Tally.Report(p.New.Traits().Revision)
	if err := r.Print(cmd.OutOrStdout(), f.format); err != nil {
		return err
	}
	if r.Decisions == 0 {
		return usage(
			errors.New("no decision could be compared; the log is one of decisions, written with log.input: true"))
	}
	return f.judge(cmd, r)
}

// player loads the policies.
func (f *replayFlags) player(cmd *cobra.Command, c config.Config) (*replay.Player, error) {
	load := func(paths []string) (authz.Policy, error) {
		p, _, _, err := loadPolicy(cmd.Context(), c, paths)
		return p, err
	}
	p := &replay.Player{Tally: &divergence.Tally{}}
	var err error
	if p.New, err = load(f.policy); err != nil {
		return nil, err
	}
	if len(f.old) > 0 {
		if p.Old, err = load(f.old); err != nil {
			return nil, err
		}
	}
	if p.Judge, err = snapshot.NewAuthorizer(c, nobody{}, p.New); err != nil {
		return nil, usage(err)
	}
	return p, nil
}

// judge holds the report against what is too much.
func (f *replayFlags) judge(cmd *cobra.Command, r divergence.Report) error {
	over := false
	for _, k := range limited {
		if most := f.most[k]; most.set && r.Share(k) > most.part {
			over = true
			fmt.Fprintf(cmd.ErrOrStderr(), "%.2f %% %s; at most %s was allowed\n", 100*r.Share(k), k, most)
		}
	}
	if over {
		return found()
	}
	return nil
}

// play reads one log, and says how far it is to a person who waits.
func play(cmd *cobra.Command, p *replay.Player, name string) error {
	var in io.Reader = cmd.InOrStdin()
	all := int64(0)
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return usage(err)
		}
		defer file.Close()
		if info, err := file.Stat(); err == nil {
			all = info.Size()
		}
		in = file
	}
	counted := &counter{in: in}
	done := watch(cmd, name, counted, all)
	defer done()
	in = counted
	if strings.HasSuffix(name, ".gz") {
		z, err := gzip.NewReader(counted)
		if err != nil {
			return usage(fmt.Errorf("%s: %w", name, err))
		}
		in = z
	}
	if err := p.Play(cmd.Context(), in); err != nil {
		return usage(fmt.Errorf("%s: %w", name, err))
	}
	return nil
}

// counter counts what is read.
type counter struct {
	in io.Reader
	n  atomic.Int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.in.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// watch draws a bar on a terminal, once a second, until done is called.
func watch(cmd *cobra.Command, name string, c *counter, all int64) (done func()) {
	if !coloured(os.Stderr) {
		return func() {}
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	start := time.Now()
	draw := func(end string) {
		n := c.n.Load()
		text := fmt.Sprintf("%s: %d MB, %.0f MB/s", name, n>>20, float64(n)/(1<<20)/max(time.Since(start).Seconds(),
			0.001))
		if all > 0 {
			const width = 30
			filled := int(min(n*width/all, width))
			text = fmt.Sprintf("[%s%s] %3d %%  %s", strings.Repeat("#", filled), strings.Repeat(".", width-filled),
				min(n*100/all, 100), text)
		}
		fmt.Fprintf(os.Stderr, "\r\033[K%s%s", text, end) // a terminal, whose line is drawn over
	}
	go func() {
		defer close(stopped)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				draw("\n")
				return
			case <-tick.C:
				draw("")
			}
		}
	}()
	return func() { close(stop); <-stopped }
}
