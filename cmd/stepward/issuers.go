package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/stepward/stepward/pkg/trust/revocation"
)

func newIssuersCommand() *cobra.Command {
	var flags configFlags
	var where controlFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "issuers -c FILE",
		Short: "See how the issuers of a running service stand",
		Long: `Prints for each issuer of a service that runs on this machine whether its tokens can
be verified, with which keys, when they were fetched, what the last fetch came to, and
what the issuer does not say that it can. It asks at the control socket and calls no
issuer; stepward doctor --issuers does.

Exits with 0 when tokens of every issuer can be verified, and with 1 when not.`,
		Example: `  stepward issuers -c stepward.yaml
  stepward issuers --control unix:///run/stepward-control.sock --json`,
		Args: flags.only,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := where.client(flags)
			if err != nil {
				return err
			}
			list, err := client.Issuers(cmd.Context())
			if err != nil {
				return err
			}
			well := true
			p := &painter{out: cmd.OutOrStdout(), colour: coloured(os.Stdout)}
			for _, i := range list {
				well = well && i.Usable
				if asJSON {
					continue
				}
				s := symptom{Name: i.Name, Grade: "ok", Detail: i.State}
				if !i.Usable {
					s.Grade = "fail"
				} else if i.Error != "" || len(i.Warnings) > 0 {
					s.Grade = "warn"
				}
				for _, more := range append(i.Skipped, i.Warnings...) {
					s.Detail += "\n" + more
				}
				p.symptom(s)
			}
			if asJSON {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				if err := e.Encode(list); err != nil {
					return err
				}
			}
			if !well {
				return found()
			}
			return nil
		},
	}
	flags.add(cmd)
	where.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newRevokeCommand() *cobra.Command {
	var flags configFlags
	var where controlFlags
	var e revocation.Entry
	var before string
	var length time.Duration
	var list, asJSON bool
	cmd := &cobra.Command{
		Use:   "revoke -c FILE --issuer NAME (--jti ID | --sid ID | --sub ID)",
		Short: "Revoke a token, a session or a user's tokens",
		Long: `Tells a service that runs on this machine to refuse, from the next request on, the
token with this jti, all tokens of this session, or all tokens of this subject that
were issued up to now (or --before). Who signs in again after that is let in.

The service remembers it for 24 hours (or --for), which should be longer than any access
token lives, across reloads but not across restarts; and it tells no other replica: run
this on each. What must hold everywhere and for ever is revoked at the issuer.

With --list it lists what is revoked.`,
		Example: `  stepward revoke -c stepward.yaml --issuer corp --sub alice
  stepward revoke -c stepward.yaml --issuer corp --sid 4f1c… --for 10h
  stepward revoke -c stepward.yaml --list`,
		Args: flags.only,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := where.client(flags)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			encode := json.NewEncoder(out)
			if list {
				entries, err := client.Revocations(cmd.Context())
				if err != nil {
					return err
				}
				for _, e := range entries {
					if asJSON {
						encode.Encode(e) // a reader that is gone ends the command by SIGPIPE
					} else {
						fmt.Fprintln(out, revoked(e))
					}
				}
				return nil
			}
			if e.Issuer == "" {
				return usage(errors.New(
					"name the issuer with --issuer, and what is revoked with --jti, --sid or --sub"))
			}
			if before != "" {
				if e.Before, err = time.Parse(time.RFC3339, before); err != nil {
					return usage(errors.New("--before must be a time as 2026-01-31T12:00:00Z"))
				}
			}
			if length < 0 {
				return usage(errors.New("--for must be more than nothing"))
			}
			if length > 0 {
				e.Until = time.Now().Add(length)
			}
			taken, err := client.Revoke(cmd.Context(), e)
			if err != nil {
				return err
			}
			if asJSON {
				return encode.Encode(taken)
			}
			fmt.Fprintln(out, revoked(taken))
			return nil
		},
	}
	flags.add(cmd)
	where.add(cmd)
	cmd.Flags().StringVar(&e.Issuer, "issuer", "", "short name or URL of the issuer")
	cmd.Flags().StringVar(&e.JTI, "jti", "", "one token")
	cmd.Flags().StringVar(&e.SID, "sid", "", "a session")
	cmd.Flags().StringVar(&e.Subject, "sub", "", "a subject")
	cmd.Flags().StringVar(&before, "before", "", "with --sub: tokens issued up to this time, in place of now")
	cmd.Flags().DurationVar(&length, "for", 0, "how long it is remembered (default 24h)")
	cmd.Flags().BoolVar(&list, "list", false, "list what is revoked")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func revoked(e revocation.Entry) string {
	what := "token " + e.JTI
	switch {
	case e.SID != "":
		what = "session " + e.SID
	case e.Subject != "":
		what = "tokens of " + e.Subject + " issued up to " + e.Before.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("%s: %s revoked until %s", e.Issuer, what, e.Until.UTC().Format(time.RFC3339))
}
