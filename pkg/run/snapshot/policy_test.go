package snapshot

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/rollout/bundle"
)

const anonymous = "package stepward.policy\n\nimport rego.v2\n\nrequire contains {\"level\": \"anonymous\"}\n"

// set returns a complete set of one bundle with that revision and policy.
func set(revision, policy string) *bundle.Set {
	return &bundle.Set{Revisions: map[string]string{"authz": revision}, Sources: []rego.Source{
		{Name: "bundles:authz/policy.rego", Text: []byte(policy), Bundled: true}}}
}

// fromBundles returns a configuration whose policy comes from bundles, with more of policy's own
// members.
func fromBundles(t testing.TB, dir, more string) config.Config {
	t.Helper()
	const opa = "services: { c: { url: \"https://c.example.com\" } }\nbundles: { authz: { service: c } }\n"
	put(t, dir, "opa.yaml", opa)
	c := parse(t, dir, strings.Replace(corp(""), "policy: { default: true }", "policy: { timeout: 100ms"+more+
		" }\nbundles: { config_file: opa.yaml }", 1))
	c.Bundles.Text = opa
	return c
}

// What decides is named, also where a configuration is made without a file.
func TestNoPolicyNamed(t *testing.T) {
	levels := []config.Level{{Name: "mfa", ACR: []string{"2"}}, {Name: "phishing-resistant", ACR: []string{"3"}}}
	o := Options{Observe: Unobserved}
	if _, err := New(t.Context(), config.Config{}.WithDefaults(), o); err == nil || !strings.Contains(
		err.Error(), "no policy is named") {
		t.Errorf("%v", err)
	}
	if _, err := New(t.Context(), config.Config{Policy: config.Policy{Default: true}, Levels: levels}.WithDefaults(),
		o); err != nil {
		t.Error(err)
	}
	for name, c := range map[string]config.Config{
		"nowhere": {Policy: config.Policy{Paths: []string{filepath.Join(t.TempDir(), "nowhere")}}, Levels: levels},
		"candidate": {Policy: config.Policy{Default: true, Candidate: config.Candidate{
			Paths: []string{filepath.Join(t.TempDir(), "nowhere")}}}, Levels: levels},
	} {
		if x, err := New(t.Context(), c.WithDefaults(), o); err == nil || x != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Nothing is let in before bundles have come; then the policy is theirs, by their own
// revision, with the files beside them, and a revision that names other sources already
// gets the sources' own name as well.
func TestPolicyOfBundles(t *testing.T) {
	dir := t.TempDir()
	file := put(t, dir, "more.rego",
		"package stepward.route.more\n\nimport rego.v2\n\nrequire contains {\"level\": \"mfa\"}\n")
	o := Options{Observe: Unobserved}
	first, err := New(t.Context(), fromBundles(t, dir, ""), o)
	if err != nil {
		t.Fatal(err)
	}
	revision := func(x *Snapshot) string { return x.Authorizer.Policy.Traits().Revision }
	waiting := first.Waiting()
	if !slices.Contains(waiting, "bundle bundles") || revision(first) != "none" || !first.Provenance().Bundled {
		t.Errorf("waits for %q with %s", waiting, revision(first))
	}
	with := func(s *bundle.Set) Options { more := o; more.Bundles = s; return more }
	next, err := first.WithBundles(t.Context(),
		with(&bundle.Set{Revisions: map[string]string{"authz": "r1"}, Missing: []string{"risk"}}))
	if err != nil || !slices.Contains(next.Waiting(), "bundle risk") {
		t.Errorf("waits for %q: %v", next.Waiting(), err)
	}
	next, err = first.WithBundles(t.Context(), with(set("r1", anonymous)))
	if err != nil || revision(next) != "r1" || next.Provenance().Revisions["authz"] != "r1" {
		t.Fatalf("%v", err)
	}
	if revision(first) != "none" {
		t.Error("the snapshot before was changed")
	}
	hash := next.policy.hash
	if next.Contradicts("r1", hash) || !next.Contradicts("r1", "other") || next.Contradicts("r2", "other") {
		t.Error("a revision names what it does not")
	}
	taken := with(set("r1", anonymous+"\ndeny contains {\"code\": \"closed\"}\n"))
	taken.Taken = next.Contradicts
	other, err := next.WithBundles(t.Context(), taken)
	if err != nil || revision(other) != "r1@"+other.policy.hash || other.policy.hash == hash {
		t.Errorf("%v", err)
	}
	if _, err := next.WithBundles(t.Context(),
		with(set("r2", "package stepward.policy\n\nrequire contains 1"))); err == nil {
		t.Error("a broken bundle is taken")
	}
	beside, err := New(t.Context(), fromBundles(t, dir, ", paths: ["+file+"]"), with(set("r1", anonymous)))
	if err != nil || !strings.HasPrefix(revision(beside), "r1,files=") {
		t.Errorf("%v", err)
	}
	lost, two := fromBundles(t, dir, ""), fromBundles(t, dir, "")
	lost.Policy.Paths, two.Policy.Default = []string{filepath.Join(dir, "nowhere")}, true
	if _, err := New(t.Context(), lost, o); err == nil {
		t.Error("a file beside the bundles is missing, and nobody is told")
	}
	if _, err := New(t.Context(), two, o); err == nil || !strings.Contains(
		err.Error(), "policy.default does not go with the bundles") {
		t.Errorf("%v", err)
	}
}

// A revision is shown as it is where it is plain, and made of the sources where it is not.
func TestRevisionOfBundles(t *testing.T) {
	for name, want := range map[string]string{
		"":                       "",
		"r1":                     "r1",
		"two words\n\"quoted\"":  "two_words__quoted_",
		"ünïcode\\":              "_n_code_",
		strings.Repeat("x", 128): strings.Repeat("x", 128),
		strings.Repeat("x", 129): "", // what is cut off could be what differs
	} {
		if got := revisionOf(*set(name, anonymous), nil); got != want {
			t.Errorf("%q is shown as %q; want %q", name, got, want)
		}
	}
}

// The library accompanies a policy, except for packages that the policy brings itself.
func TestLibraryBesideAPolicy(t *testing.T) {
	all, err := Library(nil)
	if err != nil || len(all) < 2 || !all[0].Shipped {
		t.Fatalf("%d sources, %v", len(all), err)
	}
	brought := rego.Source{Name: "mine.rego", Text: all[0].Text}
	rest, err := Library([]rego.Source{brought})
	if err != nil || len(rest) >= len(all) || slices.ContainsFunc(rest, func(s rego.Source) bool {
		return s.Name == all[0].Name
	}) {
		t.Errorf("%d of %d, %v", len(rest), len(all), err)
	}
	for name, paths := range map[string][]string{"shipped": nil, "own": {put(t, t.TempDir(), "p.rego", anonymous)}} {
		sources, err := Sources(paths)
		if err != nil || len(sources) <= len(all)-1 {
			t.Errorf("%s: %d sources, %v", name, len(sources), err)
		}
	}
	if _, err := Sources([]string{filepath.Join(t.TempDir(), "nowhere")}); err == nil {
		t.Error("there are sources nowhere")
	}
}

// A command loads the policy of files as the service does.
func TestLoadPolicy(t *testing.T) {
	terms, err := policyTermsOf(parse(t, t.TempDir(), corp("")))
	if err != nil {
		t.Fatal(err)
	}
	path := put(t, t.TempDir(), "p.rego", anonymous)
	p, err := LoadPolicy(t.Context(), config.Policy{Paths: []string{path}}, terms.rego, nil)
	if err != nil || p.Traits().Revision == "" {
		t.Fatalf("%v", err)
	}
	if p, err := LoadPolicy(t.Context(), config.Policy{}, terms.rego, nil); err == nil || p != nil {
		t.Errorf("%v", err)
	}
	path = put(t, t.TempDir(), "p.rego", "package stepward.policy\n\nrequire contains {\"levle\": 1}\n")
	if p, err := LoadPolicy(t.Context(), config.Policy{Paths: []string{path}}, terms.rego, nil); err == nil ||
		p != nil {
		t.Errorf("a broken policy is one: %v", err)
	}
}

// OPA's configuration is looked over, and an error keeps its plugins from starting.
func TestCheckBundles(t *testing.T) {
	const services = "services: { c: { url: \"https://c.example.com\" } }\n"
	for text, want := range map[string]struct {
		warnings int
		fails    bool
	}{
		services + "bundles: { authz: { service: c } }":              {0, false},
		services + "bundles: { authz: { service: c } }\ncaching: {}": {1, false},
		services + "bundles: { authz: { service: nowhere } }":        {0, true},
		services: {0, true},
	} {
		warnings, err := CheckBundles(config.Bundles{ConfigFile: "opa.yaml", Text: text})
		if len(warnings) != want.warnings || (err != nil) != want.fails {
			t.Errorf("%s: %v, %v", text, warnings, err)
		}
	}
	if warnings, err := CheckBundles(config.Bundles{}); warnings != nil || err != nil {
		t.Errorf("without a configuration: %v, %v", warnings, err)
	}
}

// Data is believed for as long as allowed after its file was written or its bundle's server
// confirmed it; missing data, and data from the future, is not.
func TestSignals(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	sources := []rego.Source{
		{Name: "risk.json", Text: []byte(`{"risk": {}}`), Written: now.Add(-time.Minute)},
		{Name: "bundles:data.json", Text: []byte(`{"lists": {}}`), Bundled: true},
	}
	confirmed := now.Add(-time.Hour)
	o := Options{Bundles: set("r1", ""), Confirmed: func(string) time.Time { return confirmed }}
	hour := config.Duration(time.Hour)
	list := signals(map[string]config.Duration{"risk": hour, "lists": hour, "nothing": hour}, sources, o)
	x := &Snapshot{policy: sourced{signals: list}}
	var shown []string
	for _, d := range x.Data() {
		shown = append(shown, d.Name+": "+d.String())
	}
	if want := []string{
		"lists: believed; as of 2027-01-15T07:00:00Z, from bundle , at most 1h",
		"nothing: believed; never seen, from nowhere, at most 1h",
		"risk: believed; as of 2027-01-15T07:59:00Z, from risk.json, at most 1h",
	}; !slices.Equal(shown, want) {
		t.Errorf("%q;\nwant %q", shown, want)
	}
	for i, want := range []struct{ at, later, earlier bool }{{false, true, true}, {true, true, true},
		{false, true, true}} {
		s := list[i]
		if s.expired(now, s.asOf()) != want.at || s.expired(now.Add(time.Hour), s.asOf()) != want.later ||
			s.expired(now.Add(-2*time.Hour), s.asOf()) != want.earlier {
			t.Errorf("%s: %v", s.name, s.asOf())
		}
	}
	if !x.Outdated(now) {
		t.Error("what nobody brings is believed")
	}
	list[1].unknown = true
	if x.Outdated(now) {
		t.Error("nothing has changed since the policy was loaded")
	}
	confirmed = now.Add(-2 * time.Hour)
	if !x.Outdated(now) {
		t.Error("the bundle is too old, and believed")
	}
	if o.Confirmed = nil; !signals(map[string]config.Duration{"lists": hour}, sources, o)[0].asOf().IsZero() {
		t.Error("nobody has confirmed it")
	}
	if signals(nil, sources, o) != nil {
		t.Error("data is watched that nobody names")
	}
	if d := (DataStatus{Unknown: true}).String(); !strings.HasPrefix(d, "unknown: too old; never seen") {
		t.Errorf("%s", d)
	}
}

// Only a sealed look is read: nothing that is made from it goes to the disk.
func TestSealedLook(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "p.rego", anonymous)
	put(t, dir, "stepward.yaml", strings.Replace(corp(""), "default: true", "paths: [p.rego]", 1)+
		"levels: [{ name: mfa, acr: [\"2\"] }]\n")
	load := func(l *files.Look) (config.Config, error) {
		return config.Load(filepath.Join(dir, "stepward.yaml"), config.Options{Look: l})
	}
	c, look, err := Read(t.Context(), load, files.Terms{Rest: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	first, err := New(t.Context(), c, Options{Observe: Unobserved, Look: look})
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir, "p.rego", "broken since")
	again, err := New(t.Context(), c, Options{Observe: Unobserved, Look: look})
	if err != nil || again.Authorizer.Policy.Traits().Revision != first.Authorizer.Policy.Traits().Revision {
		t.Errorf("the file was read again: %v", err)
	}
	if _, err := New(t.Context(), c, Options{Observe: Unobserved}); err == nil {
		t.Error("a look of its own does not read the file")
	}
}
