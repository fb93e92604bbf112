package server_test

import (
	"context"
	"sync"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/internal/testbundles"
	"github.com/stepward/stepward/pkg/run/server"
)

// Every decision is logged and observed with the revision that made it: at start, after a
// reload, and when a bundle has come into force.
func TestEveryDecisionIsObserved(t *testing.T) {
	t.Parallel()
	control := testbundles.New()
	defer control.Close()
	control.Put("authz.tar.gz", testbundles.Pack(bundled("a")))
	for name, v := range map[string]struct {
		files  map[string]string
		change func(folder)
	}{
		"files": {variant("a"), func(f folder) { write(t, f.dir, variant("b")); f.Reload() }},
		"bundles": {fromBundles(opaConfig(control, "")), func(folder) {
			control.Put("authz.tar.gz", testbundles.Pack(bundled("b")))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			core, logged := observer.New(zap.InfoLevel)
			var observed sync.Map // revisions by decision id
			f := serveFolder(t, v.files, server.Options{Decisions: zap.New(core),
				Observe: func(_ context.Context, r *authz.Record) { observed.Store(r.ID, r.Revision) }})
			look := func(revision string) {
				t.Helper()
				id := f.check(t, "/public", nil).GetDynamicMetadata().GetFields()["decision_id"].GetStringValue()
				if by, _ := observed.Load(id); id == "" || by != revision {
					t.Errorf("decision %q is observed as one of %v; want %s", id, by, revision)
				}
				entry := logged.FilterField(zap.String("decision_id", id)).FilterField(
					zap.String("policy_revision", revision))
				if entry.Len() != 1 {
					t.Errorf("decision %q is logged %d times as one of %s", id, entry.Len(), revision)
				}
			}
			first := f.Revision()
			look(first)
			v.change(f)
			eventually(t, "another policy is in force", func() bool { return f.Revision() != first })
			look(f.Revision())
		})
	}
}
