package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stepward/stepward/cmd/stepward/internal/output"
	"github.com/stepward/stepward/pkg/author/playground"
	"github.com/stepward/stepward/pkg/author/scenario"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/run/rehearsal"
)

// evaluated holds the outcome of a scenario: which rules held with which values, and what
// answer each kind of client would get.
type evaluated struct {
	Scenario json.RawMessage            `json:"scenario"`
	request  string                     // in words
	Fired    []rego.Firing              `json:"fired"`
	Answers  map[string]scenario.Answer `json:"answers"` // by kind of client
}

func newEvalCommand() *cobra.Command {
	var config configFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "eval {-c FILE | POLICY...} --scenario JSON",
		Short: "Ask a policy about one request",
		Long: `Plays one scenario before a policy, and prints which rules held, with which values of
their variables, what would satisfy them, and what a browser, a page, an API client and
a gRPC client would each be answered. A scenario is written as in policy tests; see
stepward test --help. It may be a file, or - for standard input.`,
		Example: `  stepward eval policies/ --scenario '{"path":"/payments/7","token":{"level":"password"}}'
  stepward eval -c stepward.yaml --scenario case.json --json`,
	}
	config.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	written := cmd.Flags().String("scenario", "", "the scenario, a file that holds it, or - for standard input")
	cmd.RunE = func(cmd *cobra.Command, paths []string) error {
		x, err := evaluate(cmd, config, paths, *written)
		if err != nil {
			return err
		}
		if asJSON {
			return output.JSON(cmd.OutOrStdout(), x)
		}
		x.print(cmd.OutOrStdout())
		return nil
	}
	return cmd
}

func evaluate(cmd *cobra.Command, flags configFlags, paths []string, written string) (evaluated, error) {
	if written == "" {
		return evaluated{}, usage(errors.New("say what to ask with --scenario"))
	}
	text := []byte(written)
	if !strings.HasPrefix(strings.TrimSpace(written), "{") {
		var err error
		if text, err = readFile(cmd, written); err != nil {
			return evaluated{}, usage(err)
		}
	}
	s, err := scenario.Parse(text)
	if err != nil {
		return evaluated{}, usage(err)
	}
	if paths, err = flags.besides(paths); err != nil {
		return evaluated{}, err
	}
	c, _, err := flags.rehearsal(paths)
	if err != nil {
		return evaluated{}, err
	}
	if len(paths) == 0 {
		paths = c.Policy.Paths
	}
	p, err := rehearsal.Load(cmd.Context(), c, paths)
	if err != nil {
		return evaluated{}, err
	}
	stage := func(p *rego.Policy) (*scenario.Stage, error) { return rehearsal.Stage(c, p) }
	played, err := playground.Play(cmd.Context(), stage, p, s)
	if err != nil {
		return evaluated{}, usage(err)
	}
	x := evaluated{Scenario: json.RawMessage(text), request: asked(s, c), Answers: map[string]scenario.Answer{}}
	for _, as := range played {
		if as.As == s.As || s.As == "" && as.As == "api" {
			x.Fired = as.Fired
		}
		x.Answers[as.As] = as.Answer
	}
	return x, nil
}

// asked puts the request of a scenario into words, and says where its host comes from.
func asked(s scenario.Scenario, c config.Config) string {
	host, from := scenario.HostOf(c)
	line := func(host string) string { return cmp.Or(s.Method, "GET") + " https://" + host + s.Path }
	switch {
	case s.Host != "":
		return line(s.Host)
	case host != "":
		return line(host) + "  (no host was given: the first of " + from + ")"
	}
	return line("app.example.com") + "  (no host was given, and the configuration names none)"
}

func (x evaluated) print(out io.Writer) {
	fmt.Fprintln(out, x.request)
	fmt.Fprintln(out)
	for _, f := range x.Fired {
		fmt.Fprintln(out, f.Rule)
		for _, name := range slices.Sorted(maps.Keys(f.Values)) {
			fmt.Fprintf(out, "    %s = %s\n", name, f.Values[name])
		}
	}
	if len(x.Fired) == 0 {
		fmt.Fprintln(out, "no rule holds")
	}
	fmt.Fprintln(out)
	fault := "" // it is mostly the same for all, and shown once
	for _, as := range scenario.Clients() {
		a, asked := x.Answers[as]
		if !asked {
			continue // the policy ran out of time before
		}
		line := fmt.Sprintf("%-8s %d %s", as, a.Status, a.Reason)
		if a.Location != "" {
			line += " → " + a.Location
		}
		if a.Result == "challenge" || a.Result == "redirect" {
			line += "  " + satisfied(a)
		}
		if a.Fault != "" && a.Fault != fault {
			line += "  " + a.Fault
			fault = a.Fault
		}
		fmt.Fprintln(out, line)
	}
}

// satisfied says in words what would satisfy the rules.
func satisfied(a scenario.Answer) string {
	var words []string
	if a.Level != "" {
		words = append(words, "level "+a.Level)
	}
	if len(a.ACRValues) > 0 {
		words = append(words, "acr "+strings.Join(a.ACRValues, " or "))
	}
	if a.MaxAge != nil {
		words = append(words, fmt.Sprintf("in the last %d s", *a.MaxAge))
	}
	if len(a.Scope) > 0 {
		words = append(words, "scope "+strings.Join(a.Scope, " "))
	}
	if len(words) == 0 {
		return ""
	}
	return "would need " + strings.Join(words, ", ")
}
