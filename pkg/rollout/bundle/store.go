package bundle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"

	"github.com/stepward/stepward/pkg/engine/rego"
)

// errDelta refuses a bundle that contains only changes. Otherwise the active policy would
// be made of many documents, and no single signature would cover it.
var errDelta = errors.New("bundle: a delta bundle; Stepward takes whole ones only")

// gate is OPA's store. Before it commits a transaction that has activated a bundle, it asks
// whether to serve the new set. A refused transaction has no effect.
//
// The store has one writer at a time, so the marks of a transaction are the gate's own.
type gate struct {
	storage.Store
	accept func(context.Context, Set) error
	names  func() []string // of the bundles that are configured

	// settling is held while an accepted set is being committed: it already decides, but
	// OPA's plugins do not know it yet.
	settling sync.Mutex

	mu     sync.Mutex
	erased map[string]bool // bundles whose manifest was taken away in this transaction
	put    map[string]bool // bundles whose manifest was written
}

func newGate(accept func(context.Context, Set) error, names func() []string) *gate {
	g := &gate{Store: inmem.New(), accept: accept, names: names}
	g.clear()
	return g
}

func (g *gate) clear() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.erased, g.put = map[string]bool{}, map[string]bool{}
}

// supply puts modules into the store that bundles may import. A bundle whose roots include
// their packages replaces them.
func (g *gate) supply(ctx context.Context, sources []rego.Source) error {
	return storage.Txn(ctx, g.Store, storage.WriteParams, func(txn storage.Transaction) error {
		for _, s := range sources {
			if strings.HasSuffix(s.Name, ".rego") && !strings.HasSuffix(s.Name, "_test.rego") {
				if err := g.Store.UpsertPolicy(ctx, txn, libraryPrefix+s.Name, s.Text); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// libraryPrefix begins the ids of modules that came with Stepward and not from a bundle.
const libraryPrefix = "stepward-library/"

// Write notes which bundle's manifest is written. Activating a whole bundle first removes
// the old manifest; activating a delta bundle does not.
func (g *gate) Write(ctx context.Context, txn storage.Transaction, op storage.PatchOp, path storage.Path,
	value any) error {
	if len(path) >= 3 && path[0] == "system" && path[1] == "bundles" {
		g.mu.Lock()
		switch {
		case op == storage.RemoveOp:
			g.erased[path[2]] = true
		case len(path) == 4 && path[3] == "manifest":
			g.put[path[2]] = true
		}
		g.mu.Unlock()
	}
	return g.Store.Write(ctx, txn, op, path, value)
}

// NewTransaction implements [storage.Store].
func (g *gate) NewTransaction(ctx context.Context, params ...storage.TransactionParams) (storage.Transaction, error) {
	txn, err := g.Store.NewTransaction(ctx, params...)
	if err == nil && len(params) > 0 && params[0].Write {
		g.clear()
	}
	return txn, err
}

// Commit asks before it commits.
func (g *gate) Commit(ctx context.Context, txn storage.Transaction) error {
	g.mu.Lock()
	put, erased := slices.Sorted(maps.Keys(g.put)), maps.Clone(g.erased)
	g.mu.Unlock()
	if len(put) == 0 && len(erased) == 0 {
		return g.Store.Commit(ctx, txn)
	}
	g.settling.Lock()
	defer g.settling.Unlock()
	err := error(nil)
	if slices.ContainsFunc(put, func(name string) bool { return !erased[name] }) {
		err = errDelta
	}
	if err == nil {
		err = g.propose(ctx, txn)
	}
	// A bundle that is no longer configured is gone, whether or not the rest is good. If
	// OnChange refused the rest, it has reported that, and the last good set stays in
	// force.
	if err != nil && len(put) > 0 {
		g.Store.Abort(ctx, txn)
		return err
	}
	return g.Store.Commit(ctx, txn)
}

// settled waits until no commit is under way.
func (g *gate) settled() {
	g.settling.Lock()
	defer g.settling.Unlock()
}

// propose offers the content that the store will have.
func (g *gate) propose(ctx context.Context, txn storage.Transaction) error {
	set, err := g.read(ctx, txn)
	if err != nil {
		return err
	}
	return g.accept(ctx, set)
}

// read returns the content of the store in txn.
func (g *gate) read(ctx context.Context, txn storage.Transaction) (Set, error) {
	set := Set{Revisions: map[string]string{}}
	for _, part := range []func(context.Context, storage.Transaction, *Set) error{
		g.readPolicies, g.readData, g.readManifests,
	} {
		if err := part(ctx, txn, &set); err != nil {
			return Set{}, err
		}
	}
	for _, name := range g.names() {
		if _, there := set.Revisions[name]; !there {
			set.Missing = append(set.Missing, name)
		}
	}
	slices.Sort(set.Missing)
	return set, nil
}

// readPolicies makes sources of the modules of all bundles, without the modules for OPA
// itself.
func (g *gate) readPolicies(ctx context.Context, txn storage.Transaction, set *Set) error {
	ids, err := g.Store.ListPolicies(ctx, txn)
	if err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	slices.Sort(ids)
	for _, id := range ids {
		if strings.HasPrefix(id, libraryPrefix) {
			continue
		}
		text, err := g.Store.GetPolicy(ctx, txn, id)
		if err != nil {
			return fmt.Errorf("bundle: %w", err)
		}
		s := rego.Source{Name: sourcePrefix + strings.TrimPrefix(id, "/"), Text: slices.Clone(text), Bundled: true}
		if !system(s) {
			set.Sources = append(set.Sources, s)
		}
	}
	return nil
}

// readManifests reads the revision and the roots of each bundle.
func (g *gate) readManifests(ctx context.Context, txn storage.Transaction, set *Set) error {
	active, err := bundle.ReadBundleNamesFromStore(ctx, g.Store, txn)
	if err != nil && !storage.IsNotFound(err) {
		return fmt.Errorf("bundle: %w", err)
	}
	for _, name := range active {
		revision, err := bundle.ReadBundleRevisionFromStore(ctx, g.Store, txn, name)
		if err != nil {
			return fmt.Errorf("bundle: %w", err)
		}
		set.Revisions[name] = revision
		roots, err := bundle.ReadBundleRootsFromStore(ctx, g.Store, txn, name)
		if err != nil {
			return fmt.Errorf("bundle: %w", err)
		}
		set.roots = append(set.roots, owned{name: name, roots: roots})
	}
	return nil
}

// system reports whether a module is for OPA's plugins, as data.system.log.mask is. Such a
// module gets other input than a policy.
func system(s rego.Source) bool {
	return slices.ContainsFunc(rego.Packages([]rego.Source{s}), func(name string) bool {
		return name == "data.system" || strings.HasPrefix(name, "data.system.")
	})
}

// readData makes one source of the data of all bundles, without OPA's own data.
func (g *gate) readData(ctx context.Context, txn storage.Transaction, set *Set) error {
	v, err := g.Store.Read(ctx, txn, storage.RootPath)
	if err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	document, ok := v.(map[string]any)
	if !ok {
		return errors.New("bundle: data is not an object")
	}
	document = maps.Clone(document)
	delete(document, "system")
	if len(document) == 0 {
		return nil
	}
	text, err := json.Marshal(document)
	if err != nil {
		return fmt.Errorf("bundle: data: %w", err)
	}
	set.Sources = append(set.Sources, rego.Source{Name: sourcePrefix + "data.json", Text: text, Bundled: true})
	return nil
}
