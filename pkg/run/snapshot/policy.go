package snapshot

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/rollout/bundle"
	"github.com/stepward/stepward/policies"
)

// sourced is a policy, with what it was made from.
type sourced struct {
	authz.Policy
	bundled   bool              // it comes from bundles
	revisions map[string]string // of the bundles
	base      string            // the bundles' own word for their revision
	hash      string            // of all sources
	missing   []string          // bundles that have not arrived yet: nothing can be decided
	signals   []signal
	own       []rego.Source // the files next to the bundles
	// sources and set are what it was made from, for [Snapshot.Renewed]; nil without
	// signals.
	sources []rego.Source
	set     *bundle.Set
}

// labels returns the labels of its rules.
func (s sourced) labels() map[string]map[string]any {
	if p, ok := s.Policy.(*rego.Policy); ok {
		return p.Labels()
	}
	return nil
}

// policyTerms is the part of a configuration that says which policies there are and how
// they are loaded.
type policyTerms struct {
	config.Policy
	bundles config.Bundles
	maxAge  map[string]config.Duration // of members of data
	rego    rego.Options
}

func policyTermsOf(c config.Config) (policyTerms, error) {
	ladder, err := c.Ladder()
	return policyTerms{
		Policy: c.Policy, bundles: c.Bundles, maxAge: c.Data.MaxAge,
		rego: rego.Options{Ladder: ladder, HeaderPrefix: c.Upstream.HeaderPrefix,
			Timeout: time.Duration(c.Policy.Timeout), Optional: c.Policy.OptionalData,
			FoldPathCase: c.Request.PathCase == "fold"},
	}, err
}

// enforced makes the policy that decides, from files and the bundles that have arrived.
func (t policyTerms) enforced(ctx context.Context, o Options) (sourced, error) {
	bundled, err := t.bundled()
	if err != nil {
		return sourced{}, err
	}
	if !bundled {
		sources, err := sourcesOf(t.Policy, o.Look)
		if err != nil {
			return sourced{}, err
		}
		return t.assemble(ctx, sources, sourced{}, o)
	}
	var own []rego.Source
	if len(t.Paths) > 0 {
		if own, err = rego.FromLook(o.Look, t.Paths); err != nil {
			return sourced{}, err
		}
	}
	return t.fromBundles(ctx, own, o)
}

// candidate makes the candidate policy, which decides nothing, or returns nil if none is
// configured. It is given up after one evaluation that runs past its time.
func (t policyTerms) candidate(ctx context.Context, o Options) (authz.Policy, error) {
	if len(t.Candidate.Paths) == 0 {
		return nil, nil
	}
	c, options := t.Policy, t.rego
	c.Paths, c.Default = c.Candidate.Paths, false
	options.MaxAbandoned = 1
	return loadFiles(ctx, c, options, o)
}

// assemble compiles sources, without the members of data that are too old to be believed,
// and completes s.
func (t policyTerms) assemble(ctx context.Context, sources []rego.Source, s sourced, o Options) (sourced, error) {
	options := t.rego
	if s.bundled {
		s.base, s.hash = revisionOf(*o.Bundles, sources), rego.Revision(sources)
		options.Revision = s.base
		if s.base != "" && o.Taken != nil && o.Taken(s.base, s.hash) {
			options.Revision += "@" + s.hash // otherwise one name would stand for two policies
		}
	}
	s.signals = signals(t.maxAge, sources, o)
	if len(s.signals) > 0 {
		s.sources, s.set = sources, o.Bundles
		options.Unknown = map[string]time.Time{}
		for i, x := range s.signals {
			if asOf := x.asOf(); x.expired(o.Now(), asOf) {
				options.Unknown[x.name], s.signals[i].unknown = asOf, true
			}
		}
	}
	p, err := compile(ctx, t.Policy, sources, options, o)
	if err != nil {
		return sourced{}, err
	}
	s.Policy = p
	return s, nil
}

// LoadPolicy loads the policy in the files of c, of the kind that c says. A policy for
// opa-envoy-plugin may read the clock now; nil means time.Now. An error in the policy is a
// [finding.List].
func LoadPolicy(ctx context.Context, c config.Policy, o rego.Options, now func() time.Time) (authz.Policy, error) {
	return loadFiles(ctx, c, o, Options{Now: now}.withDefaults())
}

// loadFiles loads the policy in the files of c.
func loadFiles(ctx context.Context, c config.Policy, o rego.Options, with Options) (authz.Policy, error) {
	sources, err := sourcesOf(c, with.Look)
	if err != nil {
		return nil, err
	}
	return compile(ctx, c, sources, o, with)
}

// compile loads sources as a policy of the kind that c says.
func compile(ctx context.Context, c config.Policy, sources []rego.Source, o rego.Options, with Options) (
	authz.Policy, error) {
	if c.Compat == config.OPAEnvoy {
		return compileCompat(ctx, c, sources, o, with)
	}
	p, err := rego.Load(ctx, sources, o)
	if err != nil {
		return nil, err // a nil *rego.Policy in the interface would not be nil
	}
	return p, nil
}

// errNoPolicy refuses a configuration that does not say what decides.
var errNoPolicy = errors.New(
	"policy: no policy is named: policy.paths names your own, policy.default: true the one that Stepward ships")

// sourcesOf reads the sources of a policy that are not in bundles.
func sourcesOf(c config.Policy, look *files.Look) ([]rego.Source, error) {
	if c.Compat == config.OPAEnvoy {
		return rego.FromLook(look, c.Paths)
	}
	if len(c.Paths) == 0 && !c.Default {
		return nil, errNoPolicy
	}
	return withLibrary(c.Paths, look)
}

// Sources reads the files of the policy at paths, or of the shipped one without paths, and
// the library.
func Sources(paths []string) ([]rego.Source, error) { return withLibrary(paths, files.NewLook()) }

func withLibrary(paths []string, look *files.Look) ([]rego.Source, error) {
	library, err := rego.FromFS(policies.Library())
	if err != nil {
		return nil, err
	}
	var own []rego.Source
	if len(paths) == 0 {
		own, err = rego.FromFS(policies.Default())
	} else {
		own, err = rego.FromLook(look, paths)
	}
	return append(own, library...), err
}

// Library returns the packages that every policy can import, without the packages that own
// already has: a bundle that was built with the library brings it along.
func Library(own []rego.Source) ([]rego.Source, error) {
	library, err := rego.FromFS(policies.Library())
	if err != nil {
		return nil, err
	}
	brought := rego.Packages(own)
	library = slices.DeleteFunc(library, func(s rego.Source) bool {
		return slices.ContainsFunc(rego.Packages([]rego.Source{s}), func(name string) bool {
			return slices.Contains(brought, name)
		})
	})
	for i := range library {
		library[i].Shipped = true
	}
	return library, nil
}
