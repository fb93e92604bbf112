package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/stepward/stepward/pkg/author/explain"
	"github.com/stepward/stepward/pkg/author/playground"
	"github.com/stepward/stepward/pkg/rollout/divergence"
	"github.com/stepward/stepward/pkg/run/control"
	"github.com/stepward/stepward/pkg/stepup"
)

// controlFlags are the flags of commands that ask a running service.
type controlFlags struct{ address string }

func (f *controlFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.address, "control", "",
		"control socket of the service, as unix:///path, in place of the configured one")
}

// client asks at the socket of the flag, else of the configuration.
func (f controlFlags) client(flags configFlags) (*control.Client, error) {
	address := f.address
	if address == "" {
		// Whatever the running service was permitted: this one listens nowhere.
		flags.insecure, flags.network, flags.bundles, flags.nobody = true, true, true, true
		c, err := flags.load("", "")
		if err != nil {
			return nil, err
		}
		if address = c.Control; address == "" {
			return nil, usage(errors.New(
				"the configuration names no control socket; add `control: unix:///run/stepward-control.sock`, or pass --control"))
		}
	}
	client, err := control.NewClient(address)
	if err != nil {
		return nil, usage(err)
	}
	return client, nil
}

// printCandidate prints what is known of the candidate policy, as replay would.
func printCandidate(cmd *cobra.Command, client *control.Client, format string, asJSON bool) error {
	if asJSON {
		format = "json"
	}
	if !slices.Contains(divergence.Formats, format) {
		return usage(fmt.Errorf("--format %s is not known: %s", format, oneOf(divergence.Formats)))
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

func newConsoleCommand() *cobra.Command {
	var flags configFlags
	var where controlFlags
	var filter control.Filter
	var page pageFlags
	var asJSON, snapshot, revisions, once, candidate, web bool
	var level, format string
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
		Args: flags.only,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkConsole(cmd, filter); err != nil {
				return usage(err)
			}
			client, err := where.client(flags)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if level != "" {
				return client.SetLogLevel(cmd.Context(), level)
			}
			if candidate {
				return printCandidate(cmd, client, format, asJSON)
			}
			if snapshot {
				text, err := client.Snapshot(cmd.Context())
				if err != nil {
					return err
				}
				e := json.NewEncoder(out)
				e.SetIndent("", "  ")
				return e.Encode(text)
			}
			if web {
				return page.watch(cmd, flags, client, filter)
			}
			if revisions {
				return printRevisions(cmd.Context(), out, client, asJSON)
			}
			p := &painter{out: out, colour: coloured(os.Stdout)}
			encode := json.NewEncoder(out)
			return client.Decisions(cmd.Context(), filter, !once, func(e explain.Explanation) {
				if asJSON {
					encode.Encode(e) // a reader that is gone ends the command by SIGPIPE
					return
				}
				p.decision(e)
			})
		},
	}
	flags.add(cmd)
	where.add(cmd)
	cmd.Flags().StringVar(&filter.Reason, "reason", "", "only this reason")
	cmd.Flags().StringVar(&filter.Result, "result", "", "only allow, challenge, redirect, preflight, deny or error")
	cmd.Flags().StringVar(&filter.Path, "path", "", "only paths that begin so")
	cmd.Flags().StringVar(&filter.Subject, "subject", "", "only this subject")
	cmd.Flags().StringVar(&filter.Rule, "rule", "", "only rules whose name has this part")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object a line, every stage of it")
	cmd.Flags().BoolVar(&once, "once", false, "print the last decisions, and stop")
	cmd.Flags().BoolVar(&snapshot, "snapshot", false, "print what is in force, and stop")
	cmd.Flags().BoolVar(&candidate, "candidate", false, "print what the candidate policy would change, and stop")
	cmd.Flags().StringVar(&format, "format", "text", "of --candidate: "+oneOf(divergence.Formats))
	cmd.Flags().BoolVar(&web, "web", false, "show them on a local page")
	page.add(cmd)
	cmd.Flags().BoolVar(&revisions, "revisions", false,
		"print the policies that are loaded, the newest first, and stop")
	cmd.Flags().StringVar(&level, "log-level", "", "set the level of the service's log, and stop")
	cmd.MarkFlagsMutuallyExclusive("web", "once", "snapshot", "log-level", "candidate", "revisions")
	cmd.MarkFlagsMutuallyExclusive("web", "json")
	return cmd
}

// checkConsole refuses what could never be shown, and flags of what is not asked for.
func checkConsole(cmd *cobra.Command, filter control.Filter) error {
	results := []stepup.Result{"", stepup.ResultAllow, stepup.ResultChallenge, stepup.ResultRedirect,
		stepup.ResultPreflight, stepup.ResultDeny, stepup.ResultError}
	if !slices.Contains(results, stepup.Result(filter.Result)) {
		return fmt.Errorf("--result %s is not known: allow, challenge, redirect, preflight, deny or error",
			filter.Result)
	}
	if filter.Reason != "" && !slices.Contains(stepup.Reasons(), stepup.Reason(filter.Reason)) {
		return fmt.Errorf("--reason %s is not known; docs/reasons.md lists them", filter.Reason)
	}
	for _, f := range []struct{ name, of string }{{"format", "candidate"}, {"open", "web"}, {"listen", "web"}} {
		if cmd.Flags().Changed(f.name) && !cmd.Flags().Changed(f.of) {
			return fmt.Errorf("--%s is about --%s, which is missing", f.name, f.of)
		}
	}
	return nil
}

// watch serves the page with the decisions of a service beside the policy of its
// configuration.
func (f pageFlags) watch(cmd *cobra.Command, flags configFlags, client *control.Client, filter control.Filter) error {
	work := playgroundFlags{config: flags}
	w, err := work.workspace(cmd, nil)
	if err != nil {
		return err
	}
	return f.serve(cmd, playground.Options{
		Workspace: w, Live: func(ctx context.Context, each func(explain.Explanation)) error {
			return client.Decisions(ctx, filter, true, each)
		}})
}

// printRevisions lists the policies that decisions can still be explained by.
func printRevisions(ctx context.Context, out io.Writer, client *control.Client, asJSON bool) error {
	list, err := client.Revisions(ctx)
	if err != nil {
		return err
	}
	for _, r := range list {
		if asJSON {
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
