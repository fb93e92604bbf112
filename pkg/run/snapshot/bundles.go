package snapshot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/rollout/bundle"
)

// awaited stands in for a policy whose bundles have not arrived yet.
type awaited struct{}

var errAwaited = errors.New("snapshot: no bundle has come yet")

func (awaited) Evaluate(context.Context, policy.Input) (policy.Result, error) {
	return policy.Result{}, errAwaited
}
func (awaited) Traits() policy.Traits { return policy.Traits{Revision: "none"} }

// bundled reports whether the policy comes from bundles. It fails if the configuration also
// names another policy.
func (t policyTerms) bundled() (bool, error) {
	settings, err := BundleSettings(t.bundles)
	if err == nil && settings.Policies() && t.Default {
		err = fmt.Errorf("policy.default does not go with the bundles of %s, which bring the policy",
			t.bundles.ConfigFile)
	}
	return err == nil && settings.Policies(), err
}

// fromBundles makes the policy from the bundles that have arrived, together with own files.
func (t policyTerms) fromBundles(ctx context.Context, own []rego.Source, o Options) (sourced, error) {
	s := sourced{bundled: true, own: own}
	if o.Bundles == nil || !o.Bundles.Complete() {
		s.Policy, s.missing = awaited{}, []string{"bundles"}
		if o.Bundles != nil && len(o.Bundles.Missing) > 0 {
			s.missing = o.Bundles.Missing
		}
		return s, nil
	}
	s.revisions = o.Bundles.Revisions
	sources := slices.Concat(own, o.Bundles.Sources)
	if t.Compat == "" {
		library, err := Library(sources)
		if err != nil {
			return sourced{}, err
		}
		sources = append(sources, library...)
	}
	return t.assemble(ctx, sources, s, o)
}

// maxRevision limits a bundle's own word for its revision, as logged and shown.
const maxRevision = 128

// revisionOf returns the bundles' own revision, made printable, with the revision of the
// files next to them. It is empty if a bundle has none; then a revision is made from all
// sources.
func revisionOf(set bundle.Set, sources []rego.Source) string {
	name := set.Revision()
	if name == "" {
		return ""
	}
	name = strings.Map(func(r rune) rune {
		if r > ' ' && r < 0x7f && r != '"' && r != '\\' {
			return r
		}
		return '_'
	}, name)
	if len(name) > maxRevision {
		return "" // two revisions could differ in the part cut off
	}
	own := slices.DeleteFunc(slices.Clone(sources), func(s rego.Source) bool { return s.Bundled || s.Shipped })
	if len(own) > 0 {
		name += ",files=" + rego.Revision(own)
	}
	return name
}

// BundleSettings parses OPA's configuration. It is empty if none is named.
func BundleSettings(c config.Bundles) (bundle.Settings, error) {
	if c.ConfigFile == "" {
		return bundle.Settings{}, nil
	}
	return bundle.Parse(c.ConfigFile, []byte(c.Text), bundle.ParseOptions{Insecure: c.Insecure})
}

// CheckBundles lists the members of OPA's configuration that have no effect here. An error
// keeps OPA's plugins from starting.
func CheckBundles(c config.Bundles) (finding.List, error) {
	settings, err := BundleSettings(c)
	if err != nil || c.ConfigFile == "" {
		return nil, err
	}
	return settings.Warnings, bundle.Check(settings)
}

// Provenance says where the policy of a snapshot comes from.
type Provenance struct {
	Bundled   bool              // from bundles, and not only from files
	Revisions map[string]string // of the bundles
}

// Provenance returns where the policy of x comes from.
func (x *Snapshot) Provenance() Provenance {
	return Provenance{Bundled: x.policy.bundled, Revisions: x.policy.revisions}
}

// Contradicts reports whether the bundles of x have that revision but other sources.
func (x *Snapshot) Contradicts(revision, hash string) bool {
	return x.policy.base == revision && x.policy.hash != hash
}

// WithBundles makes a snapshot like x with the policy of o.Bundles. It reads no file, for
// the same reason as [Snapshot.Renewed].
func (x *Snapshot) WithBundles(ctx context.Context, o Options) (*Snapshot, error) {
	return x.again(o, func(t policyTerms, o Options) (sourced, error) { return t.fromBundles(ctx, x.policy.own, o) })
}

// Renewed makes a snapshot like x with a policy of the same sources, because data is now
// too old or is fresh again. It reads no file: the files on disk may now be broken, or half
// written.
func (x *Snapshot) Renewed(ctx context.Context, o Options) (*Snapshot, error) {
	o.Bundles = x.policy.set
	return x.again(o, func(t policyTerms, o Options) (sourced, error) {
		same := sourced{bundled: x.policy.bundled, revisions: x.policy.revisions, own: x.policy.own}
		return t.assemble(ctx, x.policy.sources, same, o)
	})
}

// again makes a snapshot like x with the policy that remake makes.
func (x *Snapshot) again(o Options, remake func(policyTerms, Options) (sourced, error)) (*Snapshot, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	terms, err := policyTermsOf(x.Config)
	if err != nil {
		return nil, err
	}
	policy, err := remake(terms, o)
	if err != nil {
		return nil, err
	}
	next, a := *x, *x.Authorizer
	next.policy, a.Policy = policy, policy.Policy
	next.observed(&a, x.tally(x), o)
	return &next, nil
}
