package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stepward/stepward/pkg/author/explain"
	"github.com/stepward/stepward/pkg/author/scenario"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/extauthz"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/run/control"
	"github.com/stepward/stepward/pkg/run/snapshot"
	"github.com/stepward/stepward/pkg/trust/jwt"
)

// explainFlags are what a request is made of.
type explainFlags struct {
	config     configFlags
	headers    []string
	extensions map[string]string
	token      string
	as         string
	captured   string
	decision   string
	control    controlFlags
	asJSON     bool
	wait       time.Duration
}

func newExplainCommand() *cobra.Command {
	var f explainFlags
	cmd := &cobra.Command{
		Use:   "explain -c FILE [METHOD URL]",
		Short: "Take one request through every stage and say why",
		Long: `Decides one request as serve would, and prints what each stage made of it: what
was presented, who it is, what is required and by which rule, what is missing, and
what each other kind of client would be answered: a browser that navigates shows no
token, the others show the same.

The request is METHOD and URL with headers, or a CheckRequest that was captured as
JSON. A path alone is asked for at the first of login_redirect.hosts, else at the host
of an audience, and it says which. --token verifies a real token, for which the issuer's keys are fetched, and
says what it is, what the first check that fails has found, which level it proves,
and until when. The signature is never printed.
--as takes claims as if they had been verified: {"acr": "…", "auth_age": "301s"}
is enough; level stands for what proves one, iss is the first issuer, sub is alice
and the authentication was just now unless they say otherwise.

--decision explains one of the last decisions of a running service in place of a
request, by the id in its log line or answer, and asks the policy that made it again:
the last five stay loaded. It asks at the control socket, which
the configuration must name.`,
		Example: `  stepward explain -c stepward.yaml POST /payments
  stepward explain -c stepward.yaml POST https://app.example.com/payments
  stepward explain -c stepward.yaml --as '{"level":"mfa","auth_age":"301s"}' POST https://app.example.com/payments
  stepward explain -c stepward.yaml --token "$TOKEN" -H 'accept: application/json' GET https://app.example.com/admin
  stepward explain -c stepward.yaml --check-request captured.json --json
  stepward explain -c stepward.yaml --decision 74a953d4beaadfc2ea7cc113ca27eed4`,
		Args: func(_ *cobra.Command, args []string) error {
			return f.check(withoutConfiguration(args))
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if rest := withoutConfiguration(args); len(rest) < len(args) {
				if err := f.config.take(args[0]); err != nil {
					return err
				}
				args = rest
			}
			if f.decision != "" {
				return f.recent(cmd)
			}
			return f.run(cmd, args)
		},
	}
	f.config.addDeciding(cmd)
	cmd.Flags().StringArrayVarP(&f.headers, "header", "H", nil, "request header, as 'name: value'")
	cmd.Flags().StringToStringVar(&f.extensions, "extension", nil,
		"context extension of the route, as stepward.level=mfa")
	cmd.Flags().StringVar(&f.token, "token", "",
		"bearer token to verify, a file that holds it, or - for standard input")
	cmd.Flags().StringVar(&f.as, "as", "", "claims to take as verified, as JSON")
	cmd.Flags().StringVar(&f.captured, "check-request", "", "file with a CheckRequest in JSON, - for standard input")
	cmd.Flags().StringVar(&f.decision, "decision", "", "id of a recent decision of a running service")
	f.control.add(cmd)
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print JSON")
	cmd.Flags().DurationVar(&f.wait, "wait", 5*time.Second, "how long to wait for an issuer's keys")
	cmd.MarkFlagsMutuallyExclusive("token", "as")
	cmd.MarkFlagsMutuallyExclusive("check-request", "decision")
	return cmd
}

func (f *explainFlags) run(cmd *cobra.Command, args []string) error {
	c, err := f.config.load("", "")
	if err != nil {
		return err
	}
	if err := needsFiles(c, c.Policy.Paths); err != nil {
		return err
	}
	made, err := snapshot.New(cmd.Context(), patient(c), snapshot.Options{Observe: snapshot.Unobserved})
	if err != nil {
		return refused(err)
	}
	raw, err := f.raw(cmd, args, c)
	if err != nil {
		return usage(err)
	}
	stage := scenario.NewStage(made.Authorizer, c)
	var claims map[string]any
	switch {
	case f.as != "":
		if claims, err = scenario.Claims(f.as); err != nil {
			return usage(fmt.Errorf("--as: not an object in JSON, such as {\"level\": \"mfa\"}: %w", err))
		}
	case hasAuthorization(raw):
		stop := f.fetchKeys(cmd.Context(), made)
		defer stop()
	}
	r, err := stage.DecideRaw(cmd.Context(), raw, claims)
	if err != nil {
		return usage(fmt.Errorf("--as: %w", err))
	}
	x := explain.Of(r)
	x.Claimed = claimed(raw)
	for _, client := range clients {
		shown := claims
		if !client.bearer {
			shown = nil
		}
		other, err := stage.DecideRaw(cmd.Context(), client.of(raw), shown)
		if err != nil {
			return usage(err)
		}
		answer := explain.AnswerOf(other)
		answer.Client = client.name
		x.Others = append(x.Others, answer)
	}
	return f.print(cmd, x)
}

// withoutConfiguration is args without the configuration that may stand first.
func withoutConfiguration(args []string) []string {
	if len(args) > 0 && isConfiguration(args[0]) {
		return args[1:]
	}
	return args
}

// check refuses arguments that are no request, and those beside something else to explain.
func (f *explainFlags) check(args []string) error {
	switch other := f.captured != "" || f.decision != ""; {
	case other && len(args) > 0:
		return fmt.Errorf("unexpected %q: what is explained is named by a flag already", args[0])
	case other || len(args) == 2 && !strings.Contains(args[0], "/"):
		return nil
	case len(args) == 2:
		return fmt.Errorf("METHOD comes first: %s %s", args[1], args[0])
	case len(args) == 1 && strings.Contains(args[0], "/"):
		return fmt.Errorf("METHOD is missing: GET %s", args[0])
	}
	return errors.New("give METHOD and URL, such as GET /payments, or --check-request FILE or --decision ID")
}

func (f *explainFlags) print(cmd *cobra.Command, x explain.Explanation) error {
	if f.asJSON {
		e := json.NewEncoder(cmd.OutOrStdout())
		e.SetIndent("", "  ")
		return e.Encode(x)
	}
	x.Print(cmd.OutOrStdout())
	return nil
}

// recent explains a decision that a running service has made.
func (f *explainFlags) recent(cmd *cobra.Command) error {
	client, err := f.control.client(f.config)
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
		e := json.NewEncoder(cmd.OutOrStdout())
		e.SetIndent("", "  ")
		return e.Encode(x)
	}
	x.Print(cmd.OutOrStdout())
	printAgain(cmd.OutOrStdout(), x)
	return nil
}

// printAgain says what became of the policy that made a decision, and what it says now.
func printAgain(out io.Writer, x control.Told) {
	fmt.Fprintf(out, "policy     revision %s, %s\n", x.Revision, x.Again.State)
	if x.Again.Reason != "" {
		fmt.Fprintf(out, "again      %s\n", x.Again.Reason)
	}
	for _, r := range x.Again.Rules {
		line := "           " + r.Rule
		for _, name := range slices.Sorted(maps.Keys(r.Values)) {
			line += " " + name + "=" + r.Values[name]
		}
		fmt.Fprintln(out, line)
	}
}

// fetchKeys waits until the keys of every issuer are there, or for as long as the
// flags say; the explanation then shows what is missing.
func (f *explainFlags) fetchKeys(ctx context.Context, s *snapshot.Snapshot) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	limit := time.NewTimer(f.wait)
	defer limit.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for len(s.Waiting()) > 0 {
		select {
		case <-limit.C:
			return func() { cancel(); <-done }
		case <-tick.C:
		}
	}
	return func() { cancel(); <-done }
}

// claimed is what the token in an Authorization header says of itself.
func claimed(raw request.Raw) string {
	for _, h := range raw.Headers {
		_, presented, ok := strings.Cut(h.Value, " ")
		if !strings.EqualFold(h.Name, "authorization") || !ok {
			continue
		}
		x, err := jwt.Inspect(strings.TrimSpace(presented))
		if err != nil {
			return "nothing that can be read: " + err.Error()
		}
		return x.String()
	}
	return ""
}

func hasAuthorization(raw request.Raw) bool {
	for _, h := range raw.Headers {
		if strings.EqualFold(h.Name, "authorization") {
			return true
		}
	}
	return false
}

// raw is the request of the command line, or the captured one.
func (f *explainFlags) raw(cmd *cobra.Command, args []string, c config.Config) (request.Raw, error) {
	if f.captured != "" {
		text, err := readFile(cmd, f.captured)
		if err != nil {
			return request.Raw{}, err
		}
		return extauthz.ParseCheckRequest(text)
	}
	asked := args[1]
	if strings.HasPrefix(asked, "/") {
		host, from := scenario.HostOf(c)
		if host == "" {
			return request.Raw{}, fmt.Errorf("%s has no host, and the configuration names none: write https://HOST%s",
				asked, asked)
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "stepward: no host was given: asking for https://%s, the first of %s\n", host,
			from)
		asked = "https://" + host + asked
	}
	if upper := strings.ToUpper(args[0]); upper != args[0] {
		fmt.Fprintf(cmd.ErrOrStderr(), "stepward: methods differ by case: %s is not %s\n", args[0], upper)
	}
	scheme, rest, ok := strings.Cut(asked, "://")
	if !ok {
		return request.Raw{}, fmt.Errorf("%q is neither a path, such as /%s, nor a URL, such as https://%s", asked,
			asked, asked)
	}
	// By hand, so that the path arrives as written and not as a parser repairs it.
	host, target := rest, "/"
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		host, target = rest[:i], rest[i:]
	}
	if strings.HasPrefix(target, "?") {
		target = "/" + target
	}
	raw := request.Raw{Method: args[0], Scheme: scheme, Host: host, Target: target, Size: -1, Route: request.Route{
		Extensions: f.extensions}}
	for _, h := range f.headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return request.Raw{}, fmt.Errorf("header %q has no colon", h)
		}
		raw.Headers = append(raw.Headers, request.Field{Name: strings.TrimSpace(name), Value: strings.TrimSpace(value)})
	}
	if f.token != "" {
		text, err := f.readToken(cmd)
		if err != nil {
			return request.Raw{}, err
		}
		raw.Headers = append(raw.Headers, request.Field{Name: "authorization", Value: "Bearer " + text})
	}
	return raw, nil
}

// readToken is the token of the flag, or of the file that it names, or of standard
// input.
func (f *explainFlags) readToken(cmd *cobra.Command) (string, error) {
	if _, err := os.Stat(f.token); err != nil && f.token != "-" {
		return f.token, nil
	}
	text, err := readFile(cmd, f.token)
	return strings.TrimSpace(string(text)), err
}

func readFile(cmd *cobra.Command, name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(cmd.InOrStdin())
	}
	return os.ReadFile(name)
}

// client is one kind of caller that the same request could come from.
type client struct {
	name   string
	as     string // in a scenario
	bearer bool   // brings an Authorization header along
}

var clients = []client{{"browser", "browser", false}, {"page script", "page", true}, {"API client", "api", true},
	{"gRPC client", "grpc", true}}

// of is raw as if it came from c.
func (c client) of(raw request.Raw) request.Raw {
	var kept []request.Field
	for _, h := range raw.Headers {
		switch name := strings.ToLower(h.Name); {
		case strings.HasPrefix(name, "sec-"), name == "accept", name == "content-type", name == "upgrade",
			name == "x-requested-with":
		case name == "authorization" && !c.bearer:
		default:
			kept = append(kept, h)
		}
	}
	raw.Headers = append(kept, scenario.Headers(c.as)...)
	raw.Attributes = nil // they are those of the request that asked
	return raw
}
