package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stepward/stepward/examples"
	"github.com/stepward/stepward/pkg/author/playground"
	"github.com/stepward/stepward/pkg/author/scenario"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/run/rehearsal"
	"github.com/stepward/stepward/policies"
)

// What a playground with the shipped example begins with.
const (
	exampleRoutes   = "GET /\nGET /orders/{id}\nPOST /payments/**\nGET /payroll/**\n"
	exampleScenario = `{"as":"api","method":"POST","path":"/payments/7","token":{"level":"password","auth_age":"10s"}}`
)

// playgroundFlags say what to begin with.
type playgroundFlags struct {
	config   configFlags
	routes   []string
	scenario string
}

func newPlaygroundCommand() *cobra.Command {
	var f playgroundFlags
	var at pageFlags
	cmd := &cobra.Command{
		Use:   "playground [-c FILE | POLICY... | SAVED.json]",
		Short: "Write a policy and see the answers change",
		Long: `Serves a page to the browser of this machine on which policy, request, token and answer
stand side by side and follow each other as you type, with the rules that fired, every
stage explained, and the matrix of routes. It prints the address, which holds a token:
nobody gets in without it. Ctrl-C ends it.

It begins with the policy that is named, otherwise with the shipped example, and writes
no file: the page saves everything on it as one file for others to open. It takes from a
configuration what decides: issuers, levels, request, upstream, challenge, cors, errors
and login_redirect.`,
		Example: `  stepward playground
  stepward playground -c stepward.yaml --routes envoy.yaml --open
  stepward playground policies/ --scenario '{"path":"/payments/7","token":{"level":"password"}}'
  stepward playground payments.json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			w, err := f.workspace(cmd, args)
			if err != nil {
				return err
			}
			return at.serve(cmd, playground.Options{Workspace: w})
		},
	}
	f.config.add(cmd)
	cmd.Flags().StringArrayVar(&f.routes, "routes", nil, "file that names routes; more than once for more")
	cmd.Flags().StringVar(&f.scenario, "scenario", "", "the scenario to begin with, or a file that holds it")
	at.add(cmd)
	return cmd
}

// workspace returns a saved workspace, or one made from what the flags and paths name.
func (f *playgroundFlags) workspace(cmd *cobra.Command, args []string) (playground.Workspace, error) {
	if len(args) == 1 && filepath.Ext(args[0]) == ".json" {
		text, err := readFile(cmd, args[0])
		if err != nil {
			return playground.Workspace{}, usage(err)
		}
		w, err := playground.Parse(text)
		if err != nil {
			return w, usage(fmt.Errorf("%s: %w", args[0], err))
		}
		return w, nil
	}
	args, err := f.config.besides(args)
	if err != nil {
		return playground.Workspace{}, err
	}
	routes, play, err := f.asked(cmd)
	if err != nil {
		return playground.Workspace{}, usage(err)
	}
	sources, configuration, err := f.sources(args)
	if err != nil {
		return playground.Workspace{}, err
	}
	w, err := playground.New(sources, configuration, os.Getenv, routes, play)
	if err != nil {
		return w, usage(err)
	}
	return w, nil
}

// asked returns the routes and scenario from the flags, or otherwise from the example.
func (f *playgroundFlags) asked(cmd *cobra.Command) (routes, play string, err error) {
	list, err := readRoutes(cmd, f.routes)
	if err != nil {
		return "", "", err
	}
	for _, r := range list { // and nothing more from the files: the workspace may be shared
		routes += r.String() + "\n"
	}
	if len(f.routes) == 0 {
		routes = exampleRoutes
	}
	asked := strings.TrimSpace(f.scenario)
	if asked == "" {
		return routes, exampleScenario, nil
	}
	if !strings.HasPrefix(asked, "{") {
		text, err := readFile(cmd, asked)
		if err != nil {
			return "", "", err
		}
		asked = string(text)
	}
	if _, err := scenario.Parse([]byte(asked)); err != nil {
		return "", "", fmt.Errorf("--scenario: %w", err)
	}
	return routes, asked, nil
}

// sources returns the files of the policy, named without the folders above them, and the
// text of the configuration.
func (f *playgroundFlags) sources(paths []string) (sources []rego.Source, configuration []byte, err error) {
	if len(paths) == 0 && f.config.name() == "" {
		return exampleSources()
	}
	c, file, err := f.config.rehearsal(paths)
	if err != nil {
		return nil, nil, err
	}
	if len(paths) == 0 {
		paths = c.Policy.Paths
	}
	if err := rehearsal.NeedsRules(c, paths); err != nil {
		return nil, nil, err
	}
	if configuration = []byte(rehearsal.Config); file != "" {
		if configuration, err = os.ReadFile(file); err != nil {
			return nil, nil, usage(err)
		}
	}
	if len(paths) == 0 {
		sources, err = rego.FromFS(policies.Default())
		return sources, configuration, err
	}
	if sources, err = playground.Sources(paths); err != nil {
		return nil, nil, usage(err)
	}
	return sources, configuration, nil
}

// exampleSources returns the sources of the shipped example.
func exampleSources() (sources []rego.Source, configuration []byte, err error) {
	example := examples.Quickstart()
	if configuration, err = fs.ReadFile(example, "stepward.yaml"); err != nil {
		return nil, nil, err
	}
	sub, err := fs.Sub(example, "policies")
	if err != nil {
		return nil, nil, err
	}
	sources, err = rego.FromFS(sub)
	return sources, configuration, err
}
