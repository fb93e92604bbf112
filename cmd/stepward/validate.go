package main

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/stepward/stepward/pkg/author/analysis"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/pkg/run/snapshot"
)

// validateFlags are what to check and how to tell.
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
prints everything that is wrong with them as file:line:column, with a hint. Then it
looks for what serve would take and what does not mean what it says: raw claims that
are compared by order, inequalities that do not hold for what is missing, words that a
member of the input never is, levels compared by the alphabet, members that the input
has not behind a function's parameter, headers by which a client escapes a rule, rules
that add nothing, acr values of no level, a level without an age where refreshed tokens
keep acr. These are warnings.

With paths in place of -c it checks a policy alone, by the levels of a stepward.yaml
beside or above the first, or of a built-in ladder.

With --envoy it looks over what the proxy in front was told, too: a bootstrap or config
dump of Envoy, Istio's MeshConfig and AuthorizationPolicy, Envoy Gateway's
SecurityPolicy, Contour's HTTPProxy, an HTTPRoute with ExternalAuth. What fails open or
breaks is refused: a filter that lets through what nobody judged, routes that nobody is
asked about, a header mutation rule that does not permit what the loaded policy sets and
removes, TLS on one side alone, what the policy reads and the proxy does not send. The
rest are warnings; docs/reference/envoy.md lists them all. For TLS it reads what decides
it, too: BackendTLSPolicy, DestinationRule, PeerAuthentication, labels of namespaces,
ExtensionService; where one is missing it says that it cannot tell. --mutation-rule prints the
header mutation rule that the policy needs, and nothing else.

It asks no identity provider, unless with --online: then what the configuration needs
is held against what each issuer says of itself.

Exits with 0 when serve would start and Envoy honours its answers, and with 1 when not;
with --strict, also when there are warnings.`,
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
	cmd.Flags().StringVar(&f.format, "format", "text", "text, json, sarif or github")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "the same as --format json")
	cmd.Flags().BoolVar(&f.online, "online", false, "ask the issuers, too")
	cmd.Flags().StringArrayVar(&f.envoys, "envoy", nil,
		"configuration of the proxy in front; more than once for files that belong together")
	cmd.Flags().BoolVar(&f.rule, "mutation-rule", false,
		"print the header mutation rule that the policy needs, for Envoy's ext_authz filter")
	cmd.Flags().BoolVar(&f.strict, "strict", false, "fail on warnings")
	cmd.Flags().BoolVar(&f.fix, "fix", false, "change the files where the fix is safe, and say what is left")
	return cmd
}

func (f *validateFlags) run(cmd *cobra.Command, paths []string) error {
	if f.asJSON {
		f.format = "json"
	}
	paths, err := f.config.besides(paths)
	if err != nil {
		return err
	}
	switch {
	case !slices.Contains([]string{"text", "json", "sarif", "github"}, f.format):
		return usage(fmt.Errorf("--format %s is not known: text, json, sarif or github", f.format))
	case f.config.file == "" && len(paths) == 0:
		f.config.file = os.Getenv("STEPWARD_CONFIG")
		if f.config.file == "" {
			return usage(noConfiguration(", or the policy's paths"))
		}
	case f.online && len(paths) > 0:
		return usage(errors.New("--online needs a configuration, and no paths"))
	}
	v, err := f.validate(cmd, paths)
	if err != nil {
		return err
	}
	if f.fix {
		if v, err = f.repair(cmd, paths, v); err != nil {
			return err
		}
	}
	if f.rule && len(v.findings) == 0 {
		_, err := fmt.Fprint(cmd.OutOrStdout(), v.rule)
		return err
	}
	if err := v.print(cmd.OutOrStdout(), f.format); err != nil {
		return err
	}
	if len(v.findings) > 0 || f.strict && v.warned() > 0 {
		return found()
	}
	return nil
}

// validated is what was found: findings keep serve from starting, warnings do not.
type validated struct {
	name               string
	findings, warnings finding.List
	revision           string
	candidate          string // revision of the candidate policy; empty without one
	rule               string // header mutation rule that the policy needs
}

// validate looks at everything. An error is for a file that cannot be read at all.
func (f *validateFlags) validate(cmd *cobra.Command, paths []string) (validated, error) {
	if len(paths) > 0 {
		return f.policy(cmd, paths)
	}
	v := validated{name: f.config.file}
	load := func(l *files.Look) (config.Config, error) { return f.config.read(l, "", "") }
	c, look, err := snapshot.Glance(cmd.Context(), load, files.Terms{})
	switch {
	case errors.As(err, &v.findings):
		return v, nil
	case err != nil:
		return v, usage(err)
	}
	made, err := snapshot.New(cmd.Context(), c, snapshot.Options{Look: look, Observe: snapshot.Unobserved})
	switch {
	case errors.As(err, &v.findings):
		return v, nil
	case err != nil:
		v.findings = finding.List{{File: f.config.file, Line: 1, Column: 1, Code: "config", Message: err.Error()}}
		return v, nil
	}
	v.revision = made.Authorizer.Policy.Traits().Revision
	if made.Candidate != nil {
		v.candidate = made.Candidate.Traits().Revision
	}
	if v.warnings, err = snapshot.CheckBundles(c.Bundles); err != nil {
		v.findings = finding.List{{File: c.Bundles.ConfigFile, Line: 1, Column: 1, Code: "opa_config",
			Message: err.Error()}}
		return v, nil
	}
	options, err := loadOptions(c)
	if err != nil {
		return v, usage(err)
	}
	warnings, err := f.warnings(c, c.Policy.Paths, options)
	if err != nil {
		return v, usage(err)
	}
	v.warnings = append(v.warnings, warnings...)
	if f.rule || len(f.envoys) > 0 { // which headers the policy sets matters
		if err := needsFiles(c, c.Policy.Paths); err != nil {
			return v, err
		}
	}
	if err := f.proxies(cmd, &v, c, made.Authorizer.Policy); err != nil {
		return v, err
	}
	if f.online {
		findings, warnings := compare(cmd, f.config.file, c)
		v.findings, v.warnings = append(v.findings, findings...), append(v.warnings, warnings...)
	}
	return v, nil
}

// policy looks at a policy without a configuration of its own.
func (f *validateFlags) policy(cmd *cobra.Command, paths []string) (validated, error) {
	v := validated{name: paths[0]}
	flags := f.config
	c, file, err := flags.rehearsal(paths)
	if err != nil {
		return v, err
	}
	if file == "" && os.Getenv("STEPWARD_CONFIG") == "" {
		c.Limits.Deadline = 0 // a rehearsal's says nothing about a proxy
		c.Issuers = nil       // nor do its issuers about those of the policy
	}
	options, err := loadOptions(c)
	if err != nil {
		return v, usage(err)
	}
	c.Policy.Paths = paths
	p, err := snapshot.LoadPolicy(cmd.Context(), c.Policy, options, nil)
	switch {
	case errors.As(err, &v.findings):
		return v, nil
	case err != nil:
		return v, usage(err)
	}
	v.revision = p.Traits().Revision
	if v.warnings, err = f.warnings(c, paths, options); err != nil {
		return v, usage(err)
	}
	return v, f.proxies(cmd, &v, c, p)
}

// warnings looks over the policy at paths, by the levels of c.
func (f *validateFlags) warnings(c config.Config, paths []string, options rego.Options) (finding.List, error) {
	if c.Policy.Compat != "" {
		sources, err := rego.FromPaths(paths)
		if err != nil {
			return nil, err
		}
		compat, err := snapshot.Compat(c.Policy, options)
		if err != nil {
			return nil, err
		}
		return rego.LintCompat(sources, compat), nil
	}
	sources, err := snapshot.Sources(paths)
	if err != nil {
		return nil, err
	}
	hidden, err := rego.Hidden(paths)
	if err != nil {
		return nil, err
	}
	return append(hidden, analysis.Lint(sources, analysis.LintUnder(c, options))...), nil
}

// repair makes the fixes that there are and looks again.
func (f *validateFlags) repair(cmd *cobra.Command, paths []string, v validated) (validated, error) {
	files := map[string]bool{}
	all := slices.Concat(v.findings, v.warnings)
	for _, w := range all {
		if w.Fix != nil && w.File != "-" { // standard input
			files[w.File] = true
		}
	}
	for file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return v, usage(err)
		}
		fixed, n := all.Apply(file, text)
		if n == 0 {
			continue
		}
		info, err := os.Stat(file)
		if err != nil {
			return v, usage(err)
		}
		if err := os.WriteFile(file, fixed, info.Mode().Perm()); err != nil {
			return v, usage(err)
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: %d fixed\n", file, n)
	}
	return f.validate(cmd, paths)
}

// compare asks each issuer whether it is what the configuration takes it for. What
// keeps its tokens from being accepted is a finding, the rest a warning.
func compare(cmd *cobra.Command, file string, c config.Config) (findings, warnings finding.List) {
	for n, i := range c.Issuers {
		for _, p := range snapshot.Examine(cmd.Context(), c, i) {
			f := finding.Finding{File: file, Line: 1, Column: 1, Code: "issuer", Path: fmt.Sprintf("issuers[%d]", n),
				Message: fmt.Sprintf("issuer %s: %s: %s", i.Name, p.Name, p.Detail), Hint: p.Hint}
			switch {
			case p.Grade == "fail" && !i.Optional:
				findings = append(findings, f)
			case p.Grade != "ok":
				f.Severity = finding.Warning
				warnings = append(warnings, f)
			}
		}
	}
	return findings, warnings
}
