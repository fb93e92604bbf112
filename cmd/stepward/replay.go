package main

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stepward/stepward/cmd/stepward/internal/output"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/rollout/divergence"
	"github.com/stepward/stepward/pkg/rollout/replay"
	"github.com/stepward/stepward/pkg/run/rehearsal"
)

// replayFlags say which decisions to replay, with which policy, and what is too much.
type replayFlags struct {
	config configFlags
	logs   []string
	policy []string
	old    []string
	format string
	most   map[divergence.Kind]*share
}

// limited lists the kinds of difference that have a flag.
var limited = []divergence.Kind{divergence.NewlyChallenged, divergence.NewlyRefused, divergence.NewlyFailing,
	divergence.NewlyAllowed, divergence.NoLongerChallenged}

func newReplayCommand() *cobra.Command {
	f := replayFlags{most: map[divergence.Kind]*share{}}
	cmd := &cobra.Command{
		Use:   "replay --log FILE --policy PATH [-c FILE]",
		Short: "Ask another policy about decisions that were made",
		Long: `Puts recorded decisions to another policy, each at the time at which it was made, and
tells who would newly be challenged, who would no longer be, and who would be refused: by
route, rule, kind of client and issuer.

The log is that of a service with log.input: true, or OPA's decision logs; .gz is read as
it is, and - is standard input. Levels and issuers come from -c FILE, otherwise from a
stepward.yaml beside or above the policy, otherwise they are password, mfa and
phishing-resistant of one issuer; they should be those of the service that wrote the log.

The new policy does not see what is masked in the log. If its rules read that, compare it
with the old policy under the same conditions: --old PATH.`,
		Example: `  stepward replay --log decisions.log --policy policies/ -c stepward.yaml
  stepward replay --log decisions.log.gz --policy new/ --old policies/ --max-newly-challenged 2%
  stepward replay --log - --policy new/ --format html > report.html`,
		Args: f.config.only,
		RunE: f.run,
	}
	f.config.add(cmd)
	flags := cmd.Flags()
	flags.StringArrayVar(&f.logs, "log", nil, "decisions, one JSON object a line; more than once for more")
	flags.StringArrayVar(&f.policy, "policy", nil,
		"file or folder of the policy that is asked; more than once for more")
	flags.StringArrayVar(&f.old, "old", nil,
		"file or folder of a policy to compare with, instead of with what was recorded")
	flags.StringVar(&f.format, "format", "text", output.OneOf(divergence.Formats))
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
		return usage(fmt.Errorf("--format %s is not known: %s", f.format, output.OneOf(divergence.Formats)))
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
		return usage(errors.New("no decision could be compared; the log must be one of decisions, " +
			"written with log.input: true"))
	}
	return f.judge(cmd, r)
}

// player loads the policies.
func (f *replayFlags) player(cmd *cobra.Command, c config.Config) (*replay.Player, error) {
	is, err := rehearsal.Load(cmd.Context(), c, f.policy)
	if err != nil {
		return nil, err
	}
	p := &replay.Player{Tally: &divergence.Tally{}, New: is}
	if len(f.old) > 0 {
		was, err := rehearsal.Load(cmd.Context(), c, f.old)
		if err != nil {
			return nil, err
		}
		p.Old = was
	}
	p.Judge, err = rehearsal.Authorizer(c, is)
	return p, err
}

// judge compares the report with the limits of the flags.
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

// play reads one log, and shows progress to a person at a terminal.
func play(cmd *cobra.Command, p *replay.Player, name string) error {
	var in io.Reader = cmd.InOrStdin()
	size := int64(0)
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return usage(err)
		}
		defer file.Close()
		if info, err := file.Stat(); err == nil {
			size = info.Size()
		}
		in = file
	}
	bar := output.NewBar(name, in, size)
	defer bar.Close()
	in = bar
	if strings.HasSuffix(name, ".gz") {
		z, err := gzip.NewReader(bar)
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
