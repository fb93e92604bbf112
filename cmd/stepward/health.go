package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

func newHealthCommand() *cobra.Command {
	var admin string
	var live bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask a running service whether it is ready, for probes",
		Long: `Asks at the admin address, for probes on machines and in images without curl.
Exits with 0 when the service is ready, and with 1 and the reasons when it is not.`,
		Example: `  stepward health
  stepward health --admin 127.0.0.1:9192 --live`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, _, err := net.SplitHostPort(admin); err != nil {
				return usage(fmt.Errorf("--admin: %w", err))
			}
			page := "/readyz?verbose"
			if live {
				page = "/healthz"
			}
			client := http.Client{Timeout: timeout}
			res, err := client.Get("http://" + admin + page)
			if err != nil {
				fmt.Fprintln(cmd.ErrOrStderr(), "stepward:", err)
				return found()
			}
			defer res.Body.Close()
			if _, err := io.Copy(cmd.OutOrStdout(), io.LimitReader(res.Body, 1<<20)); err != nil {
				return err
			}
			if res.StatusCode != http.StatusOK {
				return found()
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&admin, "admin", "127.0.0.1:9192", "admin address of the service")
	cmd.Flags().BoolVar(&live, "live", false, "ask only whether it is alive")
	cmd.Flags().DurationVar(&timeout, "timeout", 2*time.Second, "how long to wait")
	return cmd
}
