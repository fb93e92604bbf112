// Command stepward is step-up authentication at the load balancer: the service
// that Envoy asks, and the tools to write, check and try its policies.
//
// Each command has its own file: it reads flags, calls a package, and prints.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/stepward/stepward/pkg/finding/visible"
)

func main() { os.Exit(run()) }

func run() int {
	// The first signal ends ctx, and so the command in an orderly way; a second one ends
	// the process.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() { <-ctx.Done(); stop() }()
	err := newRootCommand().ExecuteContext(ctx)
	if err != nil && err.Error() != "" {
		fmt.Fprintln(visible.NewWriter(os.Stderr), "stepward: "+err.Error())
	}
	return exitCode(err)
}
