package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/stepward/stepward/cmd/stepward/internal/output"
	"github.com/stepward/stepward/pkg/run/validation"
)

// validateFlags say what to check and how to report it.
type validateFlags struct {
	config configFlags
	format string
	asJSON bool
	online bool
	strict bool
	fix    bool
	envoys []string
	rule   bool
}

func newValidateCommand() *cobra.Command {
	var f validateFlags
	cmd := &cobra.Command{
		Use:   "validate {-c FILE | POLICY...}",
		Short: "Check a configuration and its policy",
		Long: `Reads the configuration and the policy that it names exactly as serve does, and
prints everything that is wrong with them as file:line:column, with a hint. Then it looks
for what serve would accept although it does not mean what it says: raw claims that are
compared by order, inequalities that do not hold for what is missing, words that a member
of the input never is, levels compared by the alphabet, members that the input does not
have behind a function's parameter, headers by which a client escapes a rule, rules that
add nothing, acr values of no level, a level without an age where refreshed tokens keep
acr. These are warnings.

With paths instead of -c it checks a policy alone, by the levels of a stepward.yaml
beside or above the first path, or of a built-in ladder.

With --envoy it also examines what the proxy in front was told: a bootstrap or config
dump of Envoy, Istio's MeshConfig and AuthorizationPolicy, Envoy Gateway's
SecurityPolicy, Contour's HTTPProxy, an HTTPRoute with ExternalAuth. It refuses what
fails open or breaks: a filter that lets through what nobody judged, routes that nobody
is asked about, a header mutation rule that does not permit what the loaded policy sets
and removes, TLS on one side only, what the policy reads and the proxy does not send. The
rest are warnings; docs/reference/envoy.md lists them all. For TLS it also reads what
decides it: BackendTLSPolicy, DestinationRule, PeerAuthentication, labels of namespaces,
ExtensionService; where one is missing it says that it cannot tell. --mutation-rule prints
the header mutation rule that the policy needs, and nothing else.

It asks no identity provider, unless --online is given: then it compares what the
configuration needs with what each issuer says about itself.

Exits with 0 when serve would start and Envoy would honour its answers, and with 1 when
not; with --strict, also when there are warnings.`,
		Example: `  stepward validate -c stepward.yaml
  stepward validate policies/ --fix
  stepward validate -c stepward.yaml --envoy envoy.yaml
  stepward validate -c stepward.yaml --envoy mesh.yaml --envoy policy.yaml
  stepward validate -c stepward.yaml --mutation-rule
  stepward validate -c stepward.yaml --strict --format github
  stepward validate -c stepward.yaml --format sarif > stepward.sarif
  stepward validate -c stepward.yaml --online --json | jq .findings`,
		RunE: f.run,
	}
	f.config.addServing(cmd)
	cmd.Flags().StringVar(&f.format, "format", "text", output.OneOf(validation.Formats))
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "the same as --format json")
	cmd.Flags().BoolVar(&f.online, "online", false, "also ask the issuers")
	cmd.Flags().StringArrayVar(&f.envoys, "envoy", nil,
		"configuration of the proxy in front; more than once for files that belong together")
	cmd.Flags().BoolVar(&f.rule, "mutation-rule", false,
		"print the header mutation rule that the policy needs, for Envoy's ext_authz filter")
	cmd.Flags().BoolVar(&f.strict, "strict", false, "fail on warnings")
	cmd.Flags().BoolVar(&f.fix, "fix", false, "change the files where the fix is safe, and say what is left")
	return cmd
}

func (f *validateFlags) run(cmd *cobra.Command, paths []string) error {
	paths, err := f.check(paths)
	if err != nil {
		return err
	}
	r, err := f.validate(cmd, paths)
	if err != nil {
		return err
	}
	if f.fix {
		err := r.Fix(func(file string, n int) { fmt.Fprintf(cmd.ErrOrStderr(), "%s: %d fixed\n", file, n) })
		if err != nil {
			return usage(err)
		}
		if r, err = f.validate(cmd, paths); err != nil {
			return err
		}
	}
	if f.rule && len(r.Findings) == 0 {
		_, err := fmt.Fprint(cmd.OutOrStdout(), r.MutationRule)
		return err
	}
	if err := r.Print(cmd.OutOrStdout(), f.format); err != nil {
		return err
	}
	if len(r.Findings) > 0 || f.strict && r.Warned() > 0 {
		return found()
	}
	return nil
}

// check refuses flags that make no sense together, and returns the paths of the policy.
func (f *validateFlags) check(args []string) (paths []string, err error) {
	if f.asJSON {
		f.format = "json"
	}
	if paths, err = f.config.besides(args); err != nil {
		return nil, err
	}
	switch {
	case !slices.Contains(validation.Formats, f.format):
		return nil, usage(fmt.Errorf("--format %s is not known: %s", f.format, output.OneOf(validation.Formats)))
	case len(paths) == 0 && f.config.name() == "":
		return nil, usage(noConfiguration(", or the policy's paths"))
	case f.online && len(paths) > 0:
		return nil, usage(errors.New("--online needs a configuration, and no paths"))
	}
	return paths, nil
}

// validate checks everything. An error means that something could not be read at all.
func (f *validateFlags) validate(cmd *cobra.Command, paths []string) (validation.Report, error) {
	o := validation.Options{Online: f.online, Rule: f.rule, Proxies: f.envoys,
		ReadProxy: func(name string) ([]byte, error) { return readFile(cmd, name) }}
	if len(paths) == 0 {
		r, err := validation.Configuration(cmd.Context(), f.config.name(), f.config.read, o)
		return r, blamed(err)
	}
	c, file, err := f.config.rehearsal(paths)
	if err != nil {
		return validation.Report{}, err
	}
	if file == "" {
		c.Limits.Deadline = 0 // the built-in configuration says nothing about a proxy
		c.Issuers = nil       // nor do its issuers about those in the policy
	}
	r, err := validation.Policy(cmd.Context(), c, paths, o)
	return r, blamed(err)
}

// blamed blames an error on what the user wrote.
func blamed(err error) error {
	if err == nil {
		return nil
	}
	return usage(err)
}
