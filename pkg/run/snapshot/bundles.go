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

// awaited stands for a policy that is in bundles which have not come yet.
type awaited struct{}

var errAwaited = errors.New("snapshot: no bundle has come yet")

func (awaited) Evaluate(context.Context, policy.Input) (policy.Result, error) {
	return policy.Result{}, errAwaited
}
func (awaited) Traits() policy.Traits { return policy.Traits{Revision: "none"} }

// bundled reports whether the policy comes from bundles. It fails where the configuration
// names another policy beside them.
func (t policyTerms) bundled() (bool, error) {
	settings, err := BundleSettings(t.bundles)
	if err == nil && settings.Policies() && t.Default {
		err = fmt.Errorf("policy.default does not go with the bundles of %s, which bring the policy",
			t.bundles.ConfigFile)
	}
	return err == nil && settings.Policies(), err
}

// fromBundles makes the policy of the bundles that have come, with own files beside them.
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

// maxRevision bounds a bundle's own word for its revision, as it is logged and shown.
const maxRevision = 128

// revisionOf returns the bundles' own revision, made printable, with that of the files
// beside them. It is empty where a bundle has none; one is then made of all sources.
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
		return "" // two revisions could differ in what is cut off
	}
	own := slices.DeleteFunc(slices.Clone(sources), func(s rego.Source) bool { return s.Bundled || s.Shipped })
	if len(own) > 0 {
		name += ",files=" + rego.Revision(own)
	}
	return name
}

// BundleSettings parses OPA's configuration. It is empty where none is named.
func BundleSettings(c config.Bundles) (bundle.Settings, error) {
	if c.ConfigFile == "" {
		return bundle.Settings{}, nil
	}
	return bundle.Parse(c.ConfigFile, []byte(c.Text), bundle.ParseOptions{Insecure: c.Insecure})
}

// CheckBundles lists what means nothing here in OPA's configuration. An error keeps OPA's
// plugins from starting.
func CheckBundles(c config.Bundles) (finding.List, error) {
	settings, err := BundleSettings(c)
	if err != nil || c.ConfigFile == "" {
		return nil, err
	}
	return settings.Warnings, bundle.Check(settings)
}

// Provenance says where the policy of a snapshot comes from.
type Provenance struct {
	Bundled   bool              // from bundles, and not from files alone
	Revisions map[string]string // of the bundles
}

// Provenance returns where the policy of x comes from.
func (x *Snapshot) Provenance() Provenance {
	return Provenance{Bundled: x.policy.bundled, Revisions: x.policy.revisions}
}

// Contradicts reports whether the bundles of x have that revision and other sources.
func (x *Snapshot) Contradicts(revision, hash string) bool {
	return x.policy.base == revision && x.policy.hash != hash
}

// WithBundles makes a snapshot like x with the policy of o.Bundles. It reads no file, for
// the reason that [Snapshot.Renewed] has.
func (x *Snapshot) WithBundles(ctx context.Context, o Options) (*Snapshot, error) {
	return x.again(o, func(t policyTerms, o Options) (sourced, error) { return t.fromBundles(ctx, x.policy.own, o) })
}

// Renewed makes a snapshot like x with a policy of the same sources, because data is too
// old by now or fresh again. It reads no file: what lies on disk now may be broken, or half
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
