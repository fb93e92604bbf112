package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/pkg/server"
)

func newServeCommand() *cobra.Command {
	var flags configFlags
	var listen, admin, level string
	cmd := &cobra.Command{
		Use:   "serve -c FILE",
		Short: "Answer Envoy's Check calls",
		Long: `Serves envoy.service.auth.v3.Authorization and grpc.health.v1 on one address, and
/healthz, /readyz, /metrics and /version on another. Until the keys of every
issuer that is not optional are there it is not ready, and refuses.

One line of JSON a decision goes to standard output. SIGTERM or Ctrl-C stops it
in good order, a second one at once.`,
		Example: `  stepward serve -c stepward.yaml
  STEPWARD_LISTEN=127.0.0.1:9291 stepward serve -c stepward.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := flags.load(listen, admin)
			if err != nil {
				return err
			}
			log, err := newLogger(level)
			if err != nil {
				return usage(err)
			}
			s, err := server.New(cmd.Context(), c, server.Options{Log: log, Version: version(), DrainDelay: time.Second})
			if err != nil {
				return refused(err)
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "stepward %s: Check on %s, admin on http://%s, policy %s\n", version(), s.Addr(), s.AdminAddr(), s.Revision())
			return s.Run(cmd.Context())
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&listen, "listen", "", "address of Check, in place of the configured one (STEPWARD_LISTEN)")
	cmd.Flags().StringVar(&admin, "admin", "", "address of health and metrics, in place of the configured one (STEPWARD_ADMIN)")
	cmd.Flags().StringVar(&level, "log-level", "info", "debug, info, warn or error")
	return cmd
}

// refused is the error of a configuration that cannot be served.
func refused(err error) error {
	if list := (finding.List)(nil); errors.As(err, &list) {
		return usage(fmt.Errorf("the policy is refused:\n%w", err))
	}
	return usage(err)
}

// newLogger writes JSON to standard output: decisions are what the command
// produces.
func newLogger(level string) (*zap.Logger, error) {
	l, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, fmt.Errorf("--log-level: %w", err)
	}
	encoder := zap.NewProductionEncoderConfig()
	encoder.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(encoder), zapcore.Lock(os.Stdout), l)), nil
}
