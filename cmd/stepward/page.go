package main

import (
	"crypto/rand"
	"fmt"
	"os/exec"
	"runtime"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/stepward/stepward/pkg/author/playground"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/run/rehearsal"
)

// pageFlags say where a local page is served.
type pageFlags struct {
	listen string
	open   bool
}

func (f *pageFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.listen, "listen", "127.0.0.1:0",
		"loopback address of the page; port 0 means any free one")
	cmd.Flags().BoolVar(&f.open, "open", false, "open the page in the browser")
}

// serve serves the page until the command ends.
func (f pageFlags) serve(cmd *cobra.Command, o playground.Options) error {
	l, err := playground.Listen(f.listen)
	if err != nil {
		return usage(fmt.Errorf("--listen: %w", err))
	}
	o.Host, o.Token = strings.TrimSuffix(l.Addr().String(), ":80"), rand.Text()
	o.Stage = rehearsal.Stage[*rego.Policy]
	url := "http://" + o.Host + "/" + o.Token + "/"
	fmt.Fprintf(cmd.OutOrStdout(), "The page is at\n\n  %s\n\nfor a browser on this machine. "+
		"Anyone who has the address can use it. Ctrl-C ends it.\n", url)
	all, ctx := errgroup.WithContext(cmd.Context())
	all.Go(func() error { return playground.Serve(ctx, l, o) })
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

// opener returns the system's command that opens an address.
func opener() string {
	if runtime.GOOS == "darwin" {
		return "open"
	}
	return "xdg-open"
}
