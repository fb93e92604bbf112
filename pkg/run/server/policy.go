package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/extauthz"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/rollout/bundle"
	"github.com/stepward/stepward/pkg/stepup"
	"github.com/stepward/stepward/policies"
)

// loaded is a policy, and what it was made of.
type loaded struct {
	authz.Policy
	bundled   bool              // it comes from bundles
	revisions map[string]string // of the bundles
	base      string            // the bundles' own word for their revision
	hash      string            // of all sources
	missing   []string          // bundles that have not come yet: nothing can be decided
	signals   []signal
	own       []rego.Source // the files beside bundles
	// sources and set are what it was made of, for [Snapshot.renewed]; nil without signals.
	sources []rego.Source
	set     *bundle.Set
}

// labels are those of its rules.
func (l loaded) labels() map[string]map[string]any {
	if p, ok := l.Policy.(*rego.Policy); ok {
		return p.Labels()
	}
	return nil
}

// awaited stands for a policy that is in bundles which have not come yet.
type awaited struct{}

var errAwaited = errors.New("server: no bundle has come yet")

func (awaited) Evaluate(context.Context, policy.Input) (policy.Result, error) {
	return policy.Result{}, errAwaited
}
func (awaited) Traits() policy.Traits { return policy.Traits{Revision: "none"} }

// loadPolicy makes the policy of c, of files and of the bundles that have come.
func loadPolicy(ctx context.Context, c config.Config, ladder stepup.Ladder, o SnapshotOptions) (loaded, error) {
	settings, err := opaSettings(c)
	if err != nil {
		return loaded{}, err
	}
	if settings.Policies() && c.Policy.Default {
		return loaded{}, fmt.Errorf("policy.default does not go with the bundles of %s, which bring the policy",
			c.Bundles.ConfigFile)
	}
	if !settings.Policies() {
		sources, err := sources(c, o.Look)
		if err != nil {
			return loaded{}, err
		}
		return load(ctx, c, ladder, sources, loaded{}, o)
	}
	var own []rego.Source
	if len(c.Policy.Paths) > 0 {
		if own, err = rego.FromLook(o.Look, c.Policy.Paths); err != nil {
			return loaded{}, err
		}
	}
	return fromBundles(ctx, c, ladder, own, o)
}

// fromBundles makes the policy of the bundles that have come, with own files beside them.
func fromBundles(ctx context.Context, c config.Config, ladder stepup.Ladder, own []rego.Source, o SnapshotOptions) (
	loaded, error) {
	l := loaded{bundled: true, own: own}
	if o.Bundles == nil || !o.Bundles.Complete() {
		l.Policy, l.missing = awaited{}, []string{"bundles"}
		if o.Bundles != nil && len(o.Bundles.Missing) > 0 {
			l.missing = o.Bundles.Missing
		}
		return l, nil
	}
	l.revisions = o.Bundles.Revisions
	sources := slices.Concat(own, o.Bundles.Sources)
	if c.Policy.Compat == "" {
		library, err := Library(sources)
		if err != nil {
			return loaded{}, err
		}
		sources = append(sources, library...)
	}
	return load(ctx, c, ladder, sources, l, o)
}

func load(ctx context.Context, c config.Config, ladder stepup.Ladder, sources []rego.Source, l loaded,
	o SnapshotOptions) (loaded, error) {
	opt := loadOptions(c, ladder)
	if l.bundled {
		l.base, l.hash = revisionOf(*o.Bundles, sources), rego.Revision(sources)
		if opt.Revision = l.base; l.base != "" && o.Taken != nil && o.Taken(l.base, l.hash) {
			opt.Revision += "@" + l.hash // else one name would stand for two policies
		}
	}
	l.signals = signals(c, sources, o)
	if len(l.signals) > 0 {
		l.sources, l.set = sources, o.Bundles
		opt.Unknown = map[string]time.Time{}
		for i, s := range l.signals {
			if asOf := s.asOf(); s.expired(o.Now(), asOf) {
				opt.Unknown[s.name], l.signals[i].unknown = asOf, true
			}
		}
	}
	p, err := compile(ctx, c, sources, opt, o)
	if err != nil {
		return loaded{}, err
	}
	l.Policy = p
	return l, nil
}

func loadOptions(c config.Config, ladder stepup.Ladder) rego.Options {
	return rego.Options{Ladder: ladder, HeaderPrefix: c.Upstream.HeaderPrefix, Timeout: time.Duration(c.Policy.Timeout),
		Optional: c.Policy.OptionalData, FoldPathCase: c.Request.PathCase == "fold"}
}

// LintOptions are what a policy is looked over with under c.
func LintOptions(c config.Config, o rego.Options) rego.LintOptions {
	opt := rego.LintOptions{Options: o, Allow: c.Request.Allow}
	for _, i := range c.Issuers {
		opt.KeepsACR = opt.KeepsACR || i.Profile == "keycloak"
		opt.Issuers, opt.IssuerNames = append(opt.Issuers, i.Issuer), append(opt.IssuerNames, i.Name)
	}
	return opt
}

// candidate is the policy that decides nothing, or nil. One evaluation that runs on after
// its time is enough of it.
func candidate(ctx context.Context, c config.Config, ladder stepup.Ladder, o SnapshotOptions) (authz.Policy, error) {
	if len(c.Policy.Candidate.Paths) == 0 {
		return nil, nil
	}
	c.Policy.Paths, c.Policy.Default = c.Policy.Candidate.Paths, false
	opt := loadOptions(c, ladder)
	opt.MaxAbandoned = 1
	return loadPolicyOf(ctx, c, opt, o)
}

// LoadPolicy loads the policy that is in the files of c, of the kind that it says. now is
// the clock that one of opa-envoy-plugin may read; nil means time.Now. An error of the
// policy is a [finding.List].
func LoadPolicy(ctx context.Context, c config.Config, o rego.Options, now func() time.Time) (authz.Policy, error) {
	return loadPolicyOf(ctx, c, o, SnapshotOptions{Now: now}.withDefaults())
}

func loadPolicyOf(ctx context.Context, c config.Config, o rego.Options, with SnapshotOptions) (authz.Policy, error) {
	sources, err := sources(c, with.Look)
	if err != nil {
		return nil, err
	}
	return compile(ctx, c, sources, o, with)
}

// sources are those of the policy of c that are not in bundles.
func sources(c config.Config, look *files.Look) ([]rego.Source, error) {
	if c.Policy.Compat == config.OPAEnvoy {
		return rego.FromLook(look, c.Policy.Paths)
	}
	if len(c.Policy.Paths) == 0 && !c.Policy.Default {
		return nil, errNoPolicy
	}
	return sourcesOf(c.Policy.Paths, look)
}

// errNoPolicy is of a configuration that leaves open what decides.
var errNoPolicy = errors.New(
	"policy: no policy is named: policy.paths names your own, policy.default: true the one that Stepward ships")

// compile loads sources as a policy of the kind that c says.
func compile(ctx context.Context, c config.Config, sources []rego.Source, o rego.Options, with SnapshotOptions) (
	authz.Policy, error) {
	if c.Policy.Compat != config.OPAEnvoy {
		p, err := rego.Load(ctx, sources, o)
		if err != nil {
			return nil, err // and no policy that is nil in an interface that is not
		}
		return p, nil
	}
	compat, err := compatOf(c, o, with.Look)
	if err != nil {
		return nil, err
	}
	compat.Now = with.Now
	p, err := rego.LoadCompat(ctx, sources, compat)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Compat is what a policy of opa-envoy-plugin is loaded with under c.
func Compat(c config.Config, o rego.Options) (rego.CompatOptions, error) {
	return compatOf(c, o, files.NewLook())
}

func compatOf(c config.Config, o rego.Options, look *files.Look) (rego.CompatOptions, error) {
	options := rego.CompatOptions{Options: o, Path: c.Policy.Path, Body: request.BodyDecoding{Skip: c.Policy.SkipBody},
		Network: c.Policy.Network}
	if c.Policy.ProtoDescriptor == "" {
		return options, nil
	}
	text, err := look.Read(c.Policy.ProtoDescriptor, maxDescriptors)
	if err == nil {
		options.Body.Message, err = extauthz.Messages(text)
	}
	if err != nil {
		err = fmt.Errorf("policy.proto_descriptor: %w", err)
	}
	return options, err
}

// maxDescriptors bounds a file of descriptors of messages, in bytes.
const maxDescriptors = 32 << 20

// maxRevision is how long a bundle's own word for its revision may be in what is logged
// and shown.
const maxRevision = 128

// revisionOf is the bundles' own revision, made printable, with that of the files beside
// them. It is empty where a bundle has none; one is then made of all sources.
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
		return "" // what is cut off could be what differs
	}
	own := slices.DeleteFunc(slices.Clone(sources), func(s rego.Source) bool { return s.Bundled || s.Shipped })
	if len(own) > 0 {
		name += ",files=" + rego.Revision(own)
	}
	return name
}

// opaSettings is OPA's configuration, which is empty where none is named.
func opaSettings(c config.Config) (bundle.Settings, error) {
	if c.Bundles.ConfigFile == "" {
		return bundle.Settings{}, nil
	}
	return bundle.Parse(c.Bundles.ConfigFile, []byte(c.Bundles.Text), bundle.ParseOptions{Insecure: c.Bundles.Insecure})
}

// Library is the packages that every policy can import, without those that own has
// itself: a bundle that was built with the library brings it along.
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

// signal is a member of data that is believed for a while only.
type signal struct {
	name    string
	maxAge  time.Duration
	source  string // the file, or the bundle
	asOf    func() time.Time
	unknown bool // it was too old when the policy was loaded
}

// expired reports whether data of that time is too old. A time in the future is not
// believed: how old the data is nobody knows then, and it could be as old as can be.
func (s signal) expired(now, asOf time.Time) bool {
	return now.Sub(asOf) > s.maxAge || asOf.After(now)
}

// signals are the members of data whose age is watched, in order of name. Where nobody
// brings one, it is as old as can be.
func signals(c config.Config, sources []rego.Source, o SnapshotOptions) []signal {
	if len(c.Data.MaxAge) == 0 {
		return nil
	}
	owners := rego.Owners(sources)
	var list []signal
	for _, name := range slices.Sorted(maps.Keys(c.Data.MaxAge)) {
		s := signal{name: name, maxAge: time.Duration(c.Data.MaxAge[name]), source: "nowhere", asOf: func() time.Time {
			return time.Time{}
		}}
		owner, there := owners[name]
		switch {
		case there && owner.Bundled:
			b := o.Bundles.Owner(name)
			s.source = "bundle " + b
			s.asOf = func() time.Time {
				if o.Confirmed == nil {
					return time.Time{}
				}
				return o.Confirmed(b)
			}
		case there:
			s.source = owner.Name
			s.asOf = func() time.Time { return owner.Written } // of what is in force, and not of what lies there by now
		}
		list = append(list, s)
	}
	return list
}

// DataStatus is how a member of data stands that is believed for a while only.
type DataStatus struct {
	Name    string    `json:"name"`
	Source  string    `json:"source"`
	AsOf    time.Time `json:"as_of,omitzero"`
	MaxAge  string    `json:"max_age"`
	Unknown bool      `json:"unknown"`
}

// Data is how the members of data stand whose age is watched.
func (s *Snapshot) Data() []DataStatus {
	list := make([]DataStatus, 0, len(s.policy.signals))
	for _, x := range s.policy.signals {
		list = append(list, DataStatus{Name: x.name, Source: x.source, AsOf: x.asOf(), MaxAge: config.Duration(
			x.maxAge).String(), Unknown: x.unknown})
	}
	return list
}

// outdated reports whether a member of data has become too old since the policy was
// loaded, or is fresh again.
func (s *Snapshot) outdated(now time.Time) bool {
	return slices.ContainsFunc(s.policy.signals, func(x signal) bool { return x.expired(now, x.asOf()) != x.unknown })
}

// renewed is x with a policy of the same sources, made anew as data is too old by now, or
// fresh again. It reads no file: what lies on disk now may be broken, or half written.
func (x *Snapshot) renewed(ctx context.Context, o SnapshotOptions) (*Snapshot, error) {
	ladder, err := x.Config.Ladder()
	if err != nil {
		return nil, err
	}
	o.Bundles = x.policy.set
	policy, err := load(ctx, x.Config, ladder, x.policy.sources,
		loaded{bundled: x.policy.bundled, revisions: x.policy.revisions, own: x.policy.own}, o.withDefaults())
	if err != nil {
		return nil, err
	}
	return x.with(policy), nil
}

// bundled is x with the policy of o.Bundles. It reads no file, as renewed does not.
func (x *Snapshot) bundled(ctx context.Context, o SnapshotOptions) (*Snapshot, error) {
	ladder, err := x.Config.Ladder()
	if err != nil {
		return nil, err
	}
	policy, err := fromBundles(ctx, x.Config, ladder, x.policy.own, o.withDefaults())
	if err != nil {
		return nil, err
	}
	return x.with(policy), nil
}

// with is x with another policy. Nobody observes it yet.
func (x *Snapshot) with(policy loaded) *Snapshot {
	next, a := *x, *x.Authorizer
	a.Policy, a.Observe = policy.Policy, nil
	next.policy, next.Authorizer, next.shadow = policy, &a, nil
	return &next
}

func (d DataStatus) String() string {
	age := "never seen"
	if !d.AsOf.IsZero() {
		age = "as of " + d.AsOf.UTC().Format(time.RFC3339)
	}
	state := "believed"
	if d.Unknown {
		state = "unknown: too old"
	}
	return fmt.Sprintf("%s; %s, from %s, at most %s", state, age, d.Source, d.MaxAge)
}
