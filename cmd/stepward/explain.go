package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stepward/stepward/cmd/stepward/internal/output"
	"github.com/stepward/stepward/pkg/author/explain"
	"github.com/stepward/stepward/pkg/author/scenario"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/extauthz"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/run/control"
	"github.com/stepward/stepward/pkg/run/rehearsal"
	"github.com/stepward/stepward/pkg/run/snapshot"
)

// explainFlags describe the request.
type explainFlags struct {
	config   controlled
	asked    explain.Asked
	token    string
	as       string
	captured string
	decision string
	asJSON   bool
	wait     time.Duration
}

func newExplainCommand() *cobra.Command {
	var f explainFlags
	cmd := &cobra.Command{
		Use:   "explain -c FILE [METHOD URL]",
		Short: "Take one request through every stage and say why",
		Long: `Decides one request as serve would, and prints what each stage made of it: what was
presented, who asks, what is required and by which rule, what is missing, and what each
other kind of client would be answered. A browser that navigates shows no token; the
others show the same one.

The request is METHOD and URL with headers, or a CheckRequest that was captured as JSON.
A path alone is asked for at the first of login_redirect.hosts, otherwise at the host of
an audience, and explain says which.

--token verifies a real token, for which it fetches the issuer's keys. It says what the
token is, what the first failing check has found, which level the token proves, and until
when. It never prints the signature. --as takes claims as if they had been verified:
{"acr": "…", "auth_age": "301s"} is enough. level stands for whatever proves that level;
unless the claims say otherwise, iss is the first issuer, sub is alice, and the user
authenticated just now.

--decision explains one of the last decisions of a running service instead of a request,
by the id in its log line or answer, and asks the policy that made it again: the last five
policies stay loaded. It asks at the control socket, which the configuration must name.`,
		Example: `  stepward explain -c stepward.yaml POST /payments
  stepward explain -c stepward.yaml POST https://app.example.com/payments
  stepward explain -c stepward.yaml --as '{"level":"mfa","auth_age":"301s"}' POST https://app.example.com/payments
  stepward explain -c stepward.yaml --token "$TOKEN" -H 'accept: application/json' GET https://app.example.com/admin
  stepward explain -c stepward.yaml --check-request captured.json --json
  stepward explain -c stepward.yaml --decision 74a953d4beaadfc2ea7cc113ca27eed4`,
		Args: func(_ *cobra.Command, args []string) error { return f.check(withoutConfiguration(args)) },
		RunE: func(cmd *cobra.Command, args []string) error {
			rest := withoutConfiguration(args)
			if len(rest) < len(args) {
				if err := f.config.take(args[0]); err != nil {
					return err
				}
			}
			if f.decision != "" {
				return f.recent(cmd)
			}
			return f.run(cmd, rest)
		},
	}
	f.config.addDeciding(cmd)
	f.config.addAddress(cmd)
	flags := cmd.Flags()
	flags.StringArrayVarP(&f.asked.Headers, "header", "H", nil, "request header, as 'name: value'")
	flags.StringToStringVar(&f.asked.Extensions, "extension", nil,
		"context extension of the route, as stepward.level=mfa")
	flags.StringVar(&f.token, "token", "", "bearer token to verify, a file that holds it, or - for standard input")
	flags.StringVar(&f.as, "as", "", "claims to take as verified, as JSON")
	flags.StringVar(&f.captured, "check-request", "", "file with a CheckRequest in JSON, - for standard input")
	flags.StringVar(&f.decision, "decision", "", "id of a recent decision of a running service")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON")
	flags.DurationVar(&f.wait, "wait", 5*time.Second, "how long to wait for an issuer's keys")
	cmd.MarkFlagsMutuallyExclusive("token", "as")
	cmd.MarkFlagsMutuallyExclusive("check-request", "decision")
	return cmd
}

// withoutConfiguration returns args without the configuration that may come first.
func withoutConfiguration(args []string) []string {
	if len(args) > 0 && isConfiguration(args[0]) {
		return args[1:]
	}
	return args
}

// check refuses arguments that are not a request, and a request together with something
// else to explain.
func (f *explainFlags) check(args []string) error {
	switch other := f.captured != "" || f.decision != ""; {
	case other && len(args) > 0:
		return fmt.Errorf("unexpected %q: a flag already names what to explain", args[0])
	case other || len(args) == 2 && !strings.Contains(args[0], "/"):
		return nil
	case len(args) == 2:
		return fmt.Errorf("METHOD comes first: %s %s", args[1], args[0])
	case len(args) == 1 && strings.Contains(args[0], "/"):
		return fmt.Errorf("METHOD is missing: GET %s", args[0])
	}
	return errors.New("give METHOD and URL, such as GET /payments, or --check-request FILE or --decision ID")
}

func (f *explainFlags) run(cmd *cobra.Command, args []string) error {
	c, err := f.config.load()
	if err != nil {
		return err
	}
	if err := rehearsal.NeedsFiles(c, c.Policy.Paths); err != nil {
		return err
	}
	made, err := snapshot.New(cmd.Context(), rehearsal.Patient(c), snapshot.Options{Observe: snapshot.Unobserved})
	if err != nil {
		return refused(err)
	}
	raw, err := f.raw(cmd, args, c)
	if err != nil {
		return usage(err)
	}
	var claims map[string]any
	switch {
	case f.as != "":
		if claims, err = scenario.Claims(f.as); err != nil {
			return usage(fmt.Errorf("--as: not an object in JSON, such as {\"level\": \"mfa\"}: %w", err))
		}
	case explain.HasAuthorization(raw):
		stop := made.Fetch(cmd.Context(), f.wait)
		defer stop()
	}
	x, err := scenario.NewStage(made.Authorizer, c).Explain(cmd.Context(), raw, claims)
	if err != nil {
		return usage(fmt.Errorf("--as: %w", err))
	}
	if f.asJSON {
		return output.JSON(cmd.OutOrStdout(), x)
	}
	x.Print(cmd.OutOrStdout())
	return nil
}

// recent explains a decision that a running service made.
func (f *explainFlags) recent(cmd *cobra.Command) error {
	client, err := f.config.client()
	if err != nil {
		return err
	}
	x, err := client.Decision(cmd.Context(), f.decision)
	if errors.Is(err, control.ErrNotFound) {
		fmt.Fprintln(cmd.ErrOrStderr(), "stepward: no such decision among the last ones")
		return found()
	}
	if err != nil {
		return err
	}
	if f.asJSON {
		return output.JSON(cmd.OutOrStdout(), x)
	}
	x.Print(cmd.OutOrStdout())
	return nil
}

// raw returns the request on the command line, or the captured one.
func (f *explainFlags) raw(cmd *cobra.Command, args []string, c config.Config) (request.Raw, error) {
	if f.captured != "" {
		text, err := readFile(cmd, f.captured)
		if err != nil {
			return request.Raw{}, err
		}
		return extauthz.ParseCheckRequest(text)
	}
	asked := f.asked
	asked.Method, asked.URL = args[0], args[1]
	if strings.HasPrefix(asked.URL, "/") {
		host, from := scenario.HostOf(c)
		if host == "" {
			return request.Raw{}, fmt.Errorf("%s has no host, and the configuration names none: write https://HOST%s",
				asked.URL, asked.URL)
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "stepward: no host was given: asking for https://%s, the first of %s\n", host,
			from)
		asked.URL = "https://" + host + asked.URL
	}
	if upper := strings.ToUpper(asked.Method); upper != asked.Method {
		fmt.Fprintf(cmd.ErrOrStderr(), "stepward: methods differ by case: %s is not %s\n", asked.Method, upper)
	}
	var err error
	if asked.Token, err = f.readToken(cmd); err != nil {
		return request.Raw{}, err
	}
	return asked.Raw()
}

// readToken returns the token of the flag, or of the file or standard input that it names.
func (f *explainFlags) readToken(cmd *cobra.Command) (string, error) {
	if _, err := os.Stat(f.token); err != nil && f.token != "-" {
		return f.token, nil
	}
	text, err := readFile(cmd, f.token)
	return strings.TrimSpace(string(text)), err
}
