package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/pkg/run/server"
	"github.com/stepward/stepward/pkg/run/snapshot"
	"github.com/stepward/stepward/pkg/run/telemetry"
)

func newServeCommand() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve -c FILE",
		Short: "Answer Envoy's Check calls",
		Long: `Serves envoy.service.auth.v3.Authorization and grpc.health.v1 on one address, and
/healthz, /readyz, /metrics and /version on another. Until it has the keys of
every issuer that is not optional, it is not ready, and refuses.

Decisions go to standard output, one line of JSON each, or to where log.decisions
says; events go to standard error. Configuration, policies, keys and certificates
are read again when their files change, and on SIGHUP: all of it comes into force
or, when something is wrong with it, none of it. SIGTERM or Ctrl-C stops the
service in good order, a second one at once.

Traces are exported when OpenTelemetry's environment variables say where to, such
as OTEL_EXPORTER_OTLP_ENDPOINT.`,
		Example: `  stepward serve -c stepward.yaml
  STEPWARD_LISTEN=127.0.0.1:9291 stepward serve -c stepward.yaml`,
		Args: f.config.only,
		RunE: f.run,
	}
	f.config.addServing(cmd)
	cmd.Flags().StringVar(&f.config.listen, "listen", "",
		"address of Check, instead of the configured one (STEPWARD_LISTEN)")
	cmd.Flags().StringVar(&f.config.admin, "admin", "",
		"address of health and metrics, instead of the configured one (STEPWARD_ADMIN)")
	cmd.Flags().StringVar(&f.level, "log-level", "", "debug, info, warn or error, instead of the configured one")
	cmd.Flags().BoolVar(&f.reflection, "grpc-reflection", false, "serve gRPC reflection beside Check")
	return cmd
}

// collectAt is the GOGC of a service for which nobody has set another. Little of what a
// decision makes outlives it, and the heap that lives is some 20 MB: at Go's own 100 a busy
// service spends a sixth of its time to look through it, over and over.
const collectAt = 200

// serveFlags say what to serve.
type serveFlags struct {
	config     configFlags
	level      string
	reflection bool
}

func (f *serveFlags) run(cmd *cobra.Command, _ []string) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	ctx := cmd.Context()
	c, look, err := snapshot.Read(ctx, f.config.read, files.Terms{})
	if err != nil {
		return unusable(err)
	}
	metrics := telemetry.NewMetrics(version())
	log, err := newLogging(ctx, c.Log, f.level, metrics.Dropped)
	if err != nil {
		return usage(err)
	}
	defer log.close()
	tracing, err := telemetry.NewTracing(ctx, os.Getenv, version())
	if err != nil {
		return usage(err)
	}
	defer shutdown(tracing)
	s, err := server.New(ctx, c, server.Options{
		Log: log.events, Decisions: log.decisions, Level: log.level, Metrics: metrics, Tracing: tracing,
		Version: version(), Reflection: f.reflection, Reload: f.config.read, Enforce: log.follow,
		Snapshot: snapshot.Options{Look: look},
	})
	if err != nil {
		return refused(err)
	}
	stop := onHangup(s.Reload)
	defer stop()
	log.events.Info("listening", zap.String("version", version()), zap.Stringer("check", s.Addr()),
		zap.Stringer("admin", s.AdminAddr()), zap.String("policy_revision", s.Revision()))
	return s.Run(ctx)
}

// onHangup calls reload on each SIGHUP, until it is stopped.
func onHangup(reload func()) (stop func()) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case <-hangup:
				reload()
			}
		}
	}()
	return func() { signal.Stop(hangup); close(done) }
}

// shutdown exports the last spans.
func shutdown(t *telemetry.Tracing) {
	ctx, cancel := context.WithTimeout(context.Background(), flushLimit)
	defer cancel()
	if err := t.Shutdown(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "stepward: the last spans were not exported:", err)
	}
}

// refused blames an error on a configuration that cannot be served.
func refused(err error) error {
	if list := (finding.List)(nil); errors.As(err, &list) {
		return usage(fmt.Errorf("the policy is refused:\n%w", err))
	}
	return usage(err)
}
