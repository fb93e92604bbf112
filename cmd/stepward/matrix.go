package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stepward/stepward/cmd/stepward/internal/output"
	"github.com/stepward/stepward/pkg/author/analysis"
	"github.com/stepward/stepward/pkg/author/matrix"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/run/rehearsal"
)

// matrixFlags say which routes and policy to use, and how to print the matrix.
type matrixFlags struct {
	config configFlags
	routes []string
	format string
	diff   string
	public string
}

func newMatrixCommand() *cobra.Command {
	var f matrixFlags
	cmd := &cobra.Command{
		Use:   "matrix --routes FILE {-c FILE | POLICY...}",
		Short: "See what each route needs",
		Long: `Prints for each route, method and kind of caller (nobody, a user, a program) the level,
age, methods and scopes that the policy requires, and the rules that say so. What depends
on the concrete request, such as a header or a claim, is shown as a condition.

Routes are read from an Envoy configuration or config dump, HTTPRoutes, an OpenAPI
document, or a list with a line for each: "POST /payments/**", "/orders/{id}".

--diff compares with another policy, such as that of the main branch: it marks what became
weaker, and then exits with 1. --public compares the public routes with a file, which it
writes if there is none, and exits with 1 when they differ.`,
		Example: `  stepward matrix --routes envoy.yaml -c stepward.yaml
  stepward matrix --routes openapi.yaml policies/ --format html > matrix.html
  stepward matrix --routes routes.txt policies/ --diff ../main/policies
  stepward matrix --routes routes.txt policies/ --public public.golden`,
		RunE: f.run,
	}
	f.config.add(cmd)
	cmd.Flags().StringArrayVar(&f.routes, "routes", nil, "file that names routes; more than once for more")
	cmd.Flags().StringVar(&f.format, "format", "text", "text, markdown, json or html")
	cmd.Flags().StringVar(&f.diff, "diff", "", "another policy, or a matrix in JSON, to compare with")
	cmd.Flags().StringVar(&f.public, "public", "", "file of the public routes to compare with")
	return cmd
}

func (f *matrixFlags) run(cmd *cobra.Command, paths []string) error {
	if !slices.Contains([]string{"text", "markdown", "json", "html"}, f.format) {
		return usage(fmt.Errorf("--format %s is not known: text, markdown, json or html", f.format))
	}
	if len(f.routes) == 0 {
		return usage(errors.New("name the routes with --routes FILE"))
	}
	routes, err := readRoutes(cmd, f.routes)
	if err != nil {
		return usage(err)
	}
	if paths, err = f.config.besides(paths); err != nil {
		return err
	}
	c, _, err := f.config.rehearsal(paths)
	if err != nil {
		return err
	}
	if len(paths) == 0 {
		paths = c.Policy.Paths
	}
	m, err := f.make(cmd, c, paths, routes)
	if err != nil {
		return err
	}
	switch {
	case f.diff != "":
		return f.compare(cmd, m, c, routes)
	case f.public != "":
		return f.golden(cmd, m)
	}
	return m.Print(cmd.OutOrStdout(), f.format)
}

// readRoutes reads the routes that files name.
func readRoutes(cmd *cobra.Command, names []string) (routes []matrix.Route, err error) {
	for _, name := range names {
		text, err := readFile(cmd, name)
		if err != nil {
			return nil, err
		}
		more, err := matrix.ParseRoutes(name, text)
		if err != nil {
			return nil, err
		}
		routes = append(routes, more...)
	}
	return routes, nil
}

// make asks the policy at paths about every route, as many at once as there are cores.
func (f *matrixFlags) make(cmd *cobra.Command, c config.Config, paths []string, routes []matrix.Route) (
	matrix.Matrix, error) {
	analyses := make([]*analysis.Analysis, runtime.GOMAXPROCS(0))
	for n := range analyses {
		var err error
		if analyses[n], err = rehearsal.Analyse(c, paths); err != nil {
			return matrix.Matrix{}, err
		}
	}
	ladder, err := c.Ladder()
	if err != nil {
		return matrix.Matrix{}, usage(err)
	}
	return matrix.Make(cmd.Context(), analyses, ladder, routes, progress(cmd, len(routes)))
}

// progress shows progress to a person at a terminal, and never writes it to a file.
func progress(cmd *cobra.Command, all int) func(done, all int) {
	if all < 100 || !output.Coloured(os.Stderr) {
		return nil
	}
	return func(done, all int) {
		end := "\r"
		if done == all {
			end = "\n"
		}
		fmt.Fprintf(os.Stderr, "%d of %d routes%s", done, all, end) // a terminal
	}
}

// compare prints the differences from another policy. A row that became weaker is a
// finding.
func (f *matrixFlags) compare(cmd *cobra.Command, is matrix.Matrix, c config.Config, routes []matrix.Route) error {
	was, err := f.before(cmd, c, routes)
	if err != nil {
		return err
	}
	ladder, err := c.Ladder()
	if err != nil {
		return usage(err)
	}
	changes := matrix.Diff(was, is, ladder)
	matrix.PrintChanges(cmd.OutOrStdout(), changes)
	if slices.ContainsFunc(changes, func(c matrix.Change) bool { return len(c.Weaker) > 0 }) {
		return found()
	}
	return nil
}

// before returns the matrix to compare with: the matrix of a policy, or a saved one.
func (f *matrixFlags) before(cmd *cobra.Command, c config.Config, routes []matrix.Route) (matrix.Matrix, error) {
	if !strings.HasSuffix(f.diff, ".json") {
		return f.make(cmd, c, []string{f.diff}, routes)
	}
	text, err := os.ReadFile(f.diff)
	if err != nil {
		return matrix.Matrix{}, usage(err)
	}
	m, err := matrix.ParseMatrix(text)
	if err != nil {
		return m, usage(err)
	}
	return m, nil
}

// golden compares the public routes with a file. Any difference is a finding.
func (f *matrixFlags) golden(cmd *cobra.Command, m matrix.Matrix) error {
	is := strings.Join(append(m.Public(), ""), "\n")
	was, err := os.ReadFile(f.public)
	if errors.Is(err, os.ErrNotExist) {
		if err := os.WriteFile(f.public, []byte(is), 0o644); err != nil {
			return usage(err)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s: %d public routes written\n", f.public, len(m.Public()))
		return nil
	}
	if err != nil {
		return usage(err)
	}
	if string(was) == is {
		fmt.Fprintf(cmd.OutOrStdout(), "%s: %d public routes, as they were\n", f.public, len(m.Public()))
		return nil
	}
	old := strings.Split(strings.TrimSpace(string(was)), "\n")
	for _, r := range m.Public() {
		if !slices.Contains(old, r) {
			fmt.Fprintln(cmd.OutOrStdout(), "became public:", r)
		}
	}
	for _, r := range old {
		if r != "" && !slices.Contains(m.Public(), r) {
			fmt.Fprintln(cmd.OutOrStdout(), "no longer public:", r)
		}
	}
	return found()
}
