package bundle

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/storage"

	"github.com/stepward/stepward/pkg/engine/rego"
)

// activation is what a bundle brings into the store.
type activation struct {
	name, revision string
	roots          []string
	modules        map[string]string
	data           map[string]any
	delta          bool // the bundle before is not taken away first, as of one that says only what has changed
}

// activate does in one transaction what OPA's activator does, and commits it.
func activate(t *testing.T, g *gate, gone []string, all ...activation) error {
	t.Helper()
	ctx := t.Context()
	txn, err := g.NewTransaction(ctx, storage.WriteParams)
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range gone {
		must(bundle.EraseManifestFromStore(ctx, g, txn, name))
	}
	for _, a := range all {
		if !a.delta {
			must(bundle.EraseManifestFromStore(ctx, g, txn, a.name))
		}
		must(bundle.WriteManifestToStore(ctx, g, txn, a.name, bundle.Manifest{Revision: a.revision, Roots: &a.roots}))
		for id, text := range a.modules {
			must(g.UpsertPolicy(ctx, txn, id, []byte(text)))
		}
		for name, v := range a.data {
			must(g.Write(ctx, txn, storage.AddOp, storage.Path{name}, v))
		}
	}
	return g.Commit(ctx, txn)
}

// gated returns a gate, the last set that it handed out, and the error with which it
// refuses.
func gated(names ...string) (g *gate, last *Set, refuse *error) {
	last, refuse = &Set{}, new(error)
	g = newGate(func(_ context.Context, s Set) error {
		if *refuse == nil {
			*last = s
		}
		return *refuse
	}, func() []string { return names })
	return g, last, refuse
}

func sourceNames(s Set) []string {
	var names []string
	for _, x := range s.Sources {
		names = append(names, x.Name)
	}
	return names
}

var good = activation{name: "authz", revision: "1", roots: []string{"stepward/policy", "lists", "system/log"},
	modules: map[string]string{"authz/policy.rego": "package stepward.policy", "authz/mask.rego": "package system.log"},
	data:    map[string]any{"lists": map[string]any{"blocked": []any{"alice"}}}}

// A set holds the policies and data of every bundle, but nothing of OPA's own and nothing
// of the library that was there before.
func TestGateHandsOut(t *testing.T) {
	g, last, _ := gated("authz", "risk")
	if err := g.supply(t.Context(), []rego.Source{{Name: "lib/net.rego", Text: []byte("package stepward.lib.net")},
		{Name: "lib/net_test.rego", Text: []byte("package nothing")},
		{Name: "lib/data.json", Text: []byte("{}")}}); err != nil {
		t.Fatal(err)
	}
	if err := activate(t, g, nil, good); err != nil {
		t.Fatal(err)
	}
	if want := []string{"bundles:authz/policy.rego", "bundles:data.json"}; !slices.Equal(sourceNames(*last), want) {
		t.Errorf("%q; want %q", sourceNames(*last), want)
	}
	if text := string(last.Sources[1].Text); text != `{"lists":{"blocked":["alice"]}}` || !last.Sources[1].Bundled {
		t.Errorf("data: %s", text)
	}
	if last.Complete() || !slices.Equal(last.Missing, []string{"risk"}) || last.Owner("lists") != "authz" {
		t.Errorf("%+v", last)
	}
	risk := activation{name: "risk", revision: "7", roots: []string{"risk"}, data: map[string]any{
		"risk": map[string]any{"alice": 1}}}
	if err := activate(t, g, nil, risk); err != nil {
		t.Fatal(err)
	}
	if !last.Complete() || !maps.Equal(last.Revisions, map[string]string{"authz": "1", "risk": "7"}) {
		t.Errorf("%+v", last)
	}
}

// A refused transaction has no effect: the store holds what was there before.
func TestGateRefuses(t *testing.T) {
	g, last, refuse := gated("authz")
	if err := activate(t, g, nil, good); err != nil {
		t.Fatal(err)
	}
	*refuse = errors.New("not to our liking")
	worse := good
	worse.revision, worse.modules = "2", map[string]string{"authz/policy.rego": "package stepward.policy\n\n# worse"}
	if err := activate(t, g, nil, worse); !errors.Is(err, *refuse) {
		t.Fatalf("%v", err)
	}
	*refuse = nil
	other := activation{name: "other", revision: "9", roots: []string{"other"}}
	if err := activate(t, g, nil, other); err != nil {
		t.Fatal(err)
	}
	if last.Revisions["authz"] != "1" || strings.Contains(string(last.Sources[0].Text), "worse") {
		t.Errorf("what was refused is there: %+v", last)
	}
}

// A delta bundle is refused, whatever is in it, and nobody is asked.
func TestGateRefusesDeltas(t *testing.T) {
	g, last, _ := gated("authz")
	if err := activate(t, g, nil, good); err != nil {
		t.Fatal(err)
	}
	delta := good
	delta.revision, delta.delta = "2", true
	if err := activate(t, g, nil, delta); !errors.Is(err, errDelta) {
		t.Fatalf("%v", err)
	}
	if last.Revisions["authz"] != "1" {
		t.Errorf("%+v", last)
	}
}

// A bundle that is no longer configured goes even if the rest is refused; the caller that
// refuses keeps its last good set.
func TestGateForgets(t *testing.T) {
	g, last, refuse := gated("authz")
	risk := activation{name: "risk", revision: "7", roots: []string{"risk"}}
	if err := activate(t, g, nil, good, risk); err != nil {
		t.Fatal(err)
	}
	*refuse = errors.New("it needs risk")
	if err := activate(t, g, []string{"risk"}); err != nil {
		t.Fatalf("the bundle stays: %v", err)
	}
	if len(last.Revisions) != 2 {
		t.Errorf("a set was taken that was refused: %+v", last)
	}
	*refuse = nil
	if err := activate(t, g, nil, good); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(last.Revisions, map[string]string{"authz": "1"}) {
		t.Errorf("%+v", last.Revisions)
	}
}

// A transaction that touches no bundle asks nobody, and leaves no marks for the next.
func TestGateIgnoresOtherWrites(t *testing.T) {
	g, _, refuse := gated()
	*refuse = errors.New("never asked")
	write := func(path ...string) {
		t.Helper()
		if err := storage.Txn(t.Context(), g, storage.WriteParams, func(txn storage.Transaction) error {
			return g.Write(t.Context(), txn, storage.AddOp, path, map[string]any{})
		}); err != nil {
			t.Fatalf("%q: %v", path, err)
		}
	}
	write("system")
	write("system", "bundles")
	write("lists")
	txn, err := g.NewTransaction(t.Context(), storage.WriteParams)
	if err != nil {
		t.Fatal(err)
	}
	if err := bundle.WriteManifestToStore(t.Context(), g, txn, "authz", bundle.Manifest{}); err != nil {
		t.Fatal(err)
	}
	g.Abort(t.Context(), txn)
	write("lists", "after")
}

// Modules for OPA's own plugins are known by their package, not by their name.
func TestSystemModules(t *testing.T) {
	for text, want := range map[string]bool{"package system": true, "package system.log": true,
		"package systematic": false, "package stepward.system": false, "no module": false} {
		if got := system(rego.Source{Name: "system/log.rego", Text: []byte(text)}); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
