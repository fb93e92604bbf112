package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/stepward/stepward/cmd/stepward/internal/output"
	"github.com/stepward/stepward/pkg/author/explain"
	"github.com/stepward/stepward/pkg/author/playground"
	"github.com/stepward/stepward/pkg/rollout/divergence"
	"github.com/stepward/stepward/pkg/run/control"
	"github.com/stepward/stepward/pkg/stepup"
)

// consoleFlags say what to show of a running service.
type consoleFlags struct {
	config controlled
	filter control.Filter
	page   pageFlags

	asJSON, once, snapshot, candidate, revisions, web bool

	level  string // to set
	format string // the format of the candidate's report
}

func newConsoleCommand() *cobra.Command {
	var f consoleFlags
	cmd := &cobra.Command{
		Use:   "console -c FILE",
		Short: "Watch a running service decide",
		Long: `Prints the last decisions of a service that runs on this machine, and then each one
as it is made: who was challenged, and by which rule. Ctrl-C ends it. It asks at
the control socket, which the configuration must name.

Explain one of them with: stepward explain -c FILE --decision ID

--web shows them on a page for the browser of this machine, where each opens with all
its stages, and in a playground beside the policy of the configuration.`,
		Example: `  stepward console -c stepward.yaml
  stepward console -c stepward.yaml --result challenge --path /payments
  stepward console -c stepward.yaml --candidate
  stepward console --control unix:///run/stepward-control.sock --snapshot
  stepward console -c stepward.yaml --web`,
		Args: f.config.only,
		RunE: f.run,
	}
	f.config.add(cmd)
	f.page.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.filter.Reason, "reason", "", "only this reason")
	flags.StringVar(&f.filter.Result, "result", "", "only "+output.OneOf(consoleResults))
	flags.StringVar(&f.filter.Path, "path", "", "only paths that begin with this")
	flags.StringVar(&f.filter.Subject, "subject", "", "only this subject")
	flags.StringVar(&f.filter.Rule, "rule", "", "only rules whose names contain this")
	flags.BoolVar(&f.asJSON, "json", false, "print one JSON object a line, with every stage")
	flags.BoolVar(&f.once, "once", false, "print the last decisions, and stop")
	flags.BoolVar(&f.snapshot, "snapshot", false, "print what is in force, and stop")
	flags.BoolVar(&f.candidate, "candidate", false, "print what the candidate policy would change, and stop")
	flags.StringVar(&f.format, "format", "text", "format of --candidate: "+output.OneOf(divergence.Formats))
	flags.BoolVar(&f.web, "web", false, "show them on a local page")
	flags.BoolVar(&f.revisions, "revisions", false, "print the policies that are loaded, the newest first, and stop")
	flags.StringVar(&f.level, "log-level", "", "set the level of the service's log, and stop")
	cmd.MarkFlagsMutuallyExclusive("web", "once", "snapshot", "log-level", "candidate", "revisions")
	cmd.MarkFlagsMutuallyExclusive("web", "json")
	return cmd
}

// consoleResults lists the results by which decisions can be filtered.
var consoleResults = []string{string(stepup.ResultAllow), string(stepup.ResultChallenge),
	string(stepup.ResultRedirect), string(stepup.ResultPreflight), string(stepup.ResultDeny),
	string(stepup.ResultError)}

func (f *consoleFlags) run(cmd *cobra.Command, _ []string) error {
	if err := f.check(cmd); err != nil {
		return usage(err)
	}
	client, err := f.config.client()
	if err != nil {
		return err
	}
	switch {
	case f.level != "":
		return client.SetLogLevel(cmd.Context(), f.level)
	case f.candidate:
		return f.printCandidate(cmd, client)
	case f.snapshot:
		text, err := client.Snapshot(cmd.Context())
		if err != nil {
			return err
		}
		return output.JSON(cmd.OutOrStdout(), text)
	case f.web:
		return f.watch(cmd, client)
	case f.revisions:
		return f.printRevisions(cmd, client)
	}
	p := &output.Painter{Out: cmd.OutOrStdout(), Colour: output.Coloured(os.Stdout)}
	encode := json.NewEncoder(cmd.OutOrStdout())
	return client.Decisions(cmd.Context(), f.filter, !f.once, func(e explain.Explanation) {
		if f.asJSON {
			encode.Encode(e) // if the reader is gone, SIGPIPE ends the command
			return
		}
		p.Decision(e)
	})
}

// check refuses a filter that nothing can match, and flags without the flag that they
// belong to.
func (f *consoleFlags) check(cmd *cobra.Command) error {
	if f.filter.Result != "" && !slices.Contains(consoleResults, f.filter.Result) {
		return fmt.Errorf("--result %s is not known: %s", f.filter.Result, output.OneOf(consoleResults))
	}
	if f.filter.Reason != "" && !slices.Contains(stepup.Reasons(), stepup.Reason(f.filter.Reason)) {
		return fmt.Errorf("--reason %s is not known; docs/reasons.md lists them", f.filter.Reason)
	}
	for _, x := range []struct{ name, of string }{{"format", "candidate"}, {"open", "web"}, {"listen", "web"}} {
		if cmd.Flags().Changed(x.name) && !cmd.Flags().Changed(x.of) {
			return fmt.Errorf("--%s is about --%s, which is missing", x.name, x.of)
		}
	}
	return nil
}

// printCandidate prints what is known about the candidate policy, as replay would.
func (f *consoleFlags) printCandidate(cmd *cobra.Command, client *control.Client) error {
	format := f.format
	if f.asJSON {
		format = "json"
	}
	if !slices.Contains(divergence.Formats, format) {
		return usage(fmt.Errorf("--format %s is not known: %s", format, output.OneOf(divergence.Formats)))
	}
	r, err := client.Candidate(cmd.Context())
	if errors.Is(err, control.ErrNotFound) {
		return usage(errors.New("the service has no candidate policy; name one in policy.candidate.paths"))
	}
	if err != nil {
		return err
	}
	return r.Print(cmd.OutOrStdout(), format)
}

// watch serves the page that shows a service's decisions next to the policy of its
// configuration.
func (f *consoleFlags) watch(cmd *cobra.Command, client *control.Client) error {
	work := playgroundFlags{config: f.config.configFlags}
	w, err := work.workspace(cmd, nil)
	if err != nil {
		return err
	}
	return f.page.serve(cmd, playground.Options{
		Workspace: w, Live: func(ctx context.Context, each func(explain.Explanation)) error {
			return client.Decisions(ctx, f.filter, true, each)
		}})
}

// printRevisions lists the policies that can still explain decisions.
func (f *consoleFlags) printRevisions(cmd *cobra.Command, client *control.Client) error {
	list, err := client.Revisions(cmd.Context())
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	for _, r := range list {
		if f.asJSON {
			if err := json.NewEncoder(out).Encode(r); err != nil {
				return err
			}
			continue
		}
		state := "loaded"
		if r.InForce {
			state = "in force"
		}
		fmt.Fprintf(out, "%-8s  since %s  from %-7s  %s\n", state, r.EnforcedAt.UTC().Format(time.RFC3339), r.From,
			r.Revision)
	}
	return nil
}
