package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/stepward/stepward/pkg/trust/revocation"
)

// revokeFlags say what to revoke, and for how long.
type revokeFlags struct {
	config controlled
	entry  revocation.Entry
	before string
	length time.Duration
	list   bool
	asJSON bool
}

func newRevokeCommand() *cobra.Command {
	var f revokeFlags
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
		Args: f.config.only,
		RunE: f.run,
	}
	f.config.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.entry.Issuer, "issuer", "", "short name or URL of the issuer")
	flags.StringVar(&f.entry.JTI, "jti", "", "one token")
	flags.StringVar(&f.entry.SID, "sid", "", "a session")
	flags.StringVar(&f.entry.Subject, "sub", "", "a subject")
	flags.StringVar(&f.before, "before", "", "with --sub: tokens issued up to this time, instead of now")
	flags.DurationVar(&f.length, "for", 0, "how long it is remembered (default 24h)")
	flags.BoolVar(&f.list, "list", false, "list what is revoked")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON")
	return cmd
}

func (f *revokeFlags) run(cmd *cobra.Command, _ []string) error {
	client, err := f.config.client()
	if err != nil {
		return err
	}
	if f.list {
		entries, err := client.Revocations(cmd.Context())
		if err != nil {
			return err
		}
		for _, e := range entries {
			f.print(cmd.OutOrStdout(), e)
		}
		return nil
	}
	if err := f.complete(); err != nil {
		return usage(err)
	}
	taken, err := client.Revoke(cmd.Context(), f.entry)
	if err != nil {
		return err
	}
	f.print(cmd.OutOrStdout(), taken)
	return nil
}

// complete makes the entry from the flags.
func (f *revokeFlags) complete() (err error) {
	if f.entry.Issuer == "" {
		return errors.New("name the issuer with --issuer, and what is revoked with --jti, --sid or --sub")
	}
	if f.before != "" {
		if f.entry.Before, err = time.Parse(time.RFC3339, f.before); err != nil {
			return errors.New("--before must be a time such as 2026-01-31T12:00:00Z")
		}
	}
	if f.length < 0 {
		return errors.New("--for must be more than 0")
	}
	if f.length > 0 {
		f.entry.Until = time.Now().Add(f.length)
	}
	return nil
}

// print writes an entry. If the reader is gone, SIGPIPE ends the command.
func (f *revokeFlags) print(out io.Writer, e revocation.Entry) {
	if f.asJSON {
		json.NewEncoder(out).Encode(e)
		return
	}
	fmt.Fprintln(out, revoked(e))
}

// revoked puts an entry into words.
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
