package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/pkg/run/server"
	"github.com/stepward/stepward/pkg/run/snapshot"
	"github.com/stepward/stepward/pkg/run/telemetry"
)

func newServeCommand() *cobra.Command {
	var flags configFlags
	var s serving
	cmd := &cobra.Command{
		Use:   "serve -c FILE",
		Short: "Answer Envoy's Check calls",
		Long: `Serves envoy.service.auth.v3.Authorization and grpc.health.v1 on one address, and
/healthz, /readyz, /metrics and /version on another. Until the keys of every
issuer that is not optional are there it is not ready, and refuses.

Decisions go to standard output, a line of JSON each, or to where log.decisions
says; events go to standard error. Configuration, policies, keys and certificates
are read again when their files change, and on SIGHUP: the whole of it comes into
force or, when something is wrong with it, nothing of it. SIGTERM or Ctrl-C stops
the service in good order, a second one at once.

Traces are exported when OpenTelemetry's environment variables say where to, such
as OTEL_EXPORTER_OTLP_ENDPOINT.`,
		Example: `  stepward serve -c stepward.yaml
  STEPWARD_LISTEN=127.0.0.1:9291 stepward serve -c stepward.yaml`,
		Args: flags.only,
		RunE: func(cmd *cobra.Command, _ []string) error { return s.run(cmd, flags) },
	}
	flags.addServing(cmd)
	cmd.Flags().StringVar(&s.listen, "listen", "", "address of Check, in place of the configured one (STEPWARD_LISTEN)")
	cmd.Flags().StringVar(&s.admin, "admin", "",
		"address of health and metrics, in place of the configured one (STEPWARD_ADMIN)")
	cmd.Flags().StringVar(&s.level, "log-level", "", "debug, info, warn or error, in place of the configured one")
	cmd.Flags().BoolVar(&s.reflection, "grpc-reflection", false, "serve gRPC reflection beside Check")
	return cmd
}

// serving is the flags of serve.
type serving struct {
	listen, admin, level string
	reflection           bool
}

func (f serving) run(cmd *cobra.Command, flags configFlags) error {
	ctx := cmd.Context()
	load := func(l *files.Look) (config.Config, error) { return flags.read(l, f.listen, f.admin) }
	c, look, err := snapshot.Read(ctx, load, files.Terms{})
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
		Log: log.events, Decisions: log.decisions, Metrics: metrics, Tracing: tracing, Version: version(),
		Reflection: f.reflection,
		Level:      log.level,
		Reload:     load,
		Enforce:    log.follow, Snapshot: snapshot.Options{Look: look},
	})
	if err != nil {
		return refused(err)
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangup:
				s.Reload()
			}
		}
	}()
	log.events.Info("listening", zap.String("version", version()), zap.Stringer("check", s.Addr()),
		zap.Stringer("admin", s.AdminAddr()), zap.String("policy_revision", s.Revision()))
	return s.Run(ctx)
}

func shutdown(t *telemetry.Tracing) {
	ctx, cancel := context.WithTimeout(context.Background(), flushLimit)
	defer cancel()
	if err := t.Shutdown(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "stepward: the last spans were not exported:", err)
	}
}

// refused is the error of a configuration that cannot be served.
func refused(err error) error {
	if list := (finding.List)(nil); errors.As(err, &list) {
		return usage(fmt.Errorf("the policy is refused:\n%w", err))
	}
	return usage(err)
}
