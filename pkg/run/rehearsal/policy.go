package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stepward/stepward/pkg/author/analysis"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/pkg/run/snapshot"
)

// Load loads the policy at paths, or the shipped one without paths, under c. It refuses a
// policy for opa-envoy-plugin, because that has no rules to show. If a policy does not
// load, the error is a [finding.List] in a [RefusedError].
func Load(ctx context.Context, c config.Config, paths []string) (*rego.Policy, error) {
	sources, options, err := read(c, paths)
	if err != nil {
		return nil, err
	}
	p, err := rego.Load(ctx, sources, options)
	return p, policyRefused(err)
}

// Analyse makes an analysis of the policy that [Load] would load.
func Analyse(c config.Config, paths []string) (*analysis.Analysis, error) {
	sources, options, err := read(c, paths)
	if err != nil {
		return nil, err
	}
	a, err := analysis.Load(sources, options)
	return a, policyRefused(err)
}

// read returns the sources of a policy, and the options for loading it.
func read(c config.Config, paths []string) ([]rego.Source, rego.Options, error) {
	if err := NeedsRules(c, paths); err != nil {
		return nil, rego.Options{}, err
	}
	options, err := Options(c)
	if err != nil {
		return nil, options, err
	}
	sources, err := snapshot.Sources(paths)
	return sources, options, refused(err)
}

// policyRefused blames findings on the user.
func policyRefused(err error) error {
	if list := (finding.List)(nil); errors.As(err, &list) {
		return refused(fmt.Errorf("the policy is refused:\n%w", list))
	}
	return err
}

// Options returns the options for loading policies for c.
func Options(c config.Config) (rego.Options, error) {
	ladder, err := c.Ladder()
	if err != nil {
		return rego.Options{}, refused(err)
	}
	return rego.Options{Ladder: ladder, HeaderPrefix: c.Upstream.HeaderPrefix,
		Timeout:  time.Duration(Patient(c).Policy.Timeout),
		Optional: c.Policy.OptionalData, FoldPathCase: c.Request.PathCase == "fold"}, nil
}

// NeedsRules refuses a configuration that names a policy of another product, and those
// that [NeedsFiles] refuses.
func NeedsRules(c config.Config, paths []string) error {
	if c.Policy.Compat != "" {
		return refused(errors.New("policy.compat is opa-envoy: this command is about rules of require, which such a " +
			"policy does not have; ask about single requests with stepward explain"))
	}
	return NeedsFiles(c, paths)
}

// NeedsFiles refuses a configuration whose policy is only in bundles, unless paths name its
// files. Otherwise another policy would answer instead.
func NeedsFiles(c config.Config, paths []string) error {
	if c.Bundles.ConfigFile == "" || len(paths) > 0 {
		return nil
	}
	opa, err := snapshot.BundleSettings(c.Bundles)
	if err != nil {
		return refused(err)
	}
	if opa.Policies() {
		return refused(errors.New("the policy is in bundles, which only serve fetches: name its files, too"))
	}
	return nil
}
