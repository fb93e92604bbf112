package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/stepward/stepward/examples"
	"github.com/stepward/stepward/pkg/author/matrix"
	"github.com/stepward/stepward/pkg/author/playground"
	"github.com/stepward/stepward/pkg/author/scenario"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/policies"
)

// What a playground of the shipped example begins with.
const (
	exampleRoutes   = "GET /\nGET /orders/{id}\nPOST /payments/**\nGET /payroll/**\n"
	exampleScenario = `{"as":"api","method":"POST","path":"/payments/7","token":{"level":"password","auth_age":"10s"}}`
)

// pageFlags say where a local page is served.
type pageFlags struct {
	listen string
	open   bool
}

func (f *pageFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.listen, "listen", "127.0.0.1:0",
		"loopback address of the page; port 0 is any that is free")
	cmd.Flags().BoolVar(&f.open, "open", false, "open the page in the browser")
}

// playgroundFlags are what one begins to work on.
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
stand side by side and follow each other as one types, with the rules that fired, every
stage explained, and the matrix of routes. It prints the address, which holds a token:
whoever does not have it is refused. Ctrl-C ends it.

It begins with the policy that is named, else with the shipped example, and writes no
file: the page saves all that is on it as one file for others to open. Of a
configuration it takes what decides: issuers, levels, request, upstream, challenge,
cors, errors and login_redirect.`,
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

// workspace is a saved one, or one of what the flags and paths name.
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

// asked is what the flags say of routes and scenario, else those of the example.
func (f *playgroundFlags) asked(cmd *cobra.Command) (routes, play string, err error) {
	for _, name := range f.routes {
		text, err := readFile(cmd, name)
		if err != nil {
			return "", "", err
		}
		list, err := matrix.ParseRoutes(name, text)
		if err != nil {
			return "", "", err
		}
		for _, r := range list { // and nothing else of the file, which may be shared
			routes += r.String() + "\n"
		}
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

// sources are the files of the policy, by names without the folders above them, and the
// text of the configuration.
func (f *playgroundFlags) sources(paths []string) (sources []rego.Source, configuration []byte, err error) {
	if len(paths) == 0 && f.config.file == "" && os.Getenv("STEPWARD_CONFIG") == "" {
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
	c, file, err := f.config.rehearsal(paths)
	if err == nil {
		if len(paths) == 0 {
			paths = c.Policy.Paths
		}
		err = needsRules(c, paths)
	}
	if err != nil {
		return nil, nil, err
	}
	if file == "" {
		file = os.Getenv("STEPWARD_CONFIG")
	}
	if configuration = []byte(rehearsalConfig); file != "" {
		if configuration, err = os.ReadFile(file); err != nil {
			return nil, nil, usage(err)
		}
	}
	if len(paths) == 0 {
		sources, err = rego.FromFS(policies.Default())
		return sources, configuration, err
	}
	sources, err = shortNamed(paths)
	return sources, configuration, err
}

// shortNamed are the sources at paths, named from the path that led to them.
func shortNamed(paths []string) ([]rego.Source, error) {
	var all []rego.Source
	taken := map[string]bool{}
	for _, root := range paths {
		list, err := rego.FromPaths([]string{root})
		if err != nil {
			return nil, usage(err)
		}
		for _, s := range list {
			name, err := filepath.Rel(root, s.Name)
			if err != nil || name == "." {
				name = filepath.Base(s.Name)
			}
			if name = filepath.ToSlash(name); taken[name] {
				name = path.Join(filepath.Base(filepath.Dir(s.Name)), name)
			}
			taken[name] = true
			all = append(all, rego.Source{Name: name, Text: s.Text})
		}
	}
	return all, nil
}

// serve serves the page until the command is ended.
func (f pageFlags) serve(cmd *cobra.Command, o playground.Options) error {
	l, err := playground.Listen(f.listen)
	if err != nil {
		return usage(fmt.Errorf("--listen: %w", err))
	}
	o.Host, o.Token, o.Stage = strings.TrimSuffix(l.Addr().String(), ":80"), rand.Text(), newStage[*rego.Policy]
	url := "http://" + o.Host + "/" + o.Token + "/"
	fmt.Fprintf(cmd.OutOrStdout(),
		"The page is at\n\n  %s\n\nfor a browser on this machine. Whoever has the address can use it. Ctrl-C ends it.\n", url)
	all, ctx := errgroup.WithContext(cmd.Context())
	server := &http.Server{
		Handler: playground.Handler(o), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10,
		BaseContext:    func(net.Listener) context.Context { return ctx },
	}
	all.Go(func() error {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	all.Go(func() error {
		<-ctx.Done()
		hurry, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if server.Shutdown(hurry) != nil {
			return server.Close()
		}
		return nil
	})
	if f.open {
		all.Go(func() error {
			if err := exec.CommandContext(ctx, opener(), url).Run(); err != nil && ctx.Err() == nil {
				fmt.Fprintln(cmd.ErrOrStderr(), "stepward: the browser does not open:", err)
			}
			return nil
		})
	}
	return all.Wait()
}

// opener is the system's command that opens an address.
func opener() string {
	if runtime.GOOS == "darwin" {
		return "open"
	}
	return "xdg-open"
}
