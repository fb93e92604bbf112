package server

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/run/control"
	"github.com/stepward/stepward/pkg/run/snapshot"
)

// keptRevisions is how many policies stay loaded, including the one in force.
const keptRevisions = 5

// revisions keeps the last policies, so that the policy that made a decision can explain
// it. It serves many goroutines.
type revisions struct {
	mu   sync.Mutex
	kept []kept // the newest first
}

// kept is a policy that was enforced.
type kept struct {
	at       time.Time
	snapshot *snapshot.Snapshot
}

func (k kept) revision() string { return k.snapshot.Authorizer.Policy.Traits().Revision }

// enforce notes that x is in force. A policy that comes back moves to the front.
func (r *revisions) enforce(x *snapshot.Snapshot, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := []kept{{at: at, snapshot: x}}
	for _, k := range r.kept {
		if k.revision() != list[0].revision() && len(list) < keptRevisions {
			list = append(list, k)
		}
	}
	r.kept = list
}

// taken reports whether a bundle's revision already names other loaded sources.
func (r *revisions) taken(revision, hash string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.kept, func(k kept) bool { return k.snapshot.Contradicts(revision, hash) })
}

// list returns the loaded policies, the newest first.
func (r *revisions) list() []control.Revision {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []control.Revision
	for i, k := range r.kept {
		from, where := "files", k.snapshot.Provenance()
		if where.Bundled {
			from = "bundles"
		}
		list = append(list, control.Revision{Revision: k.revision(), EnforcedAt: k.at, InForce: i == 0, From: from,
			Bundles: where.Revisions})
	}
	return list
}

// find returns the policy of a revision, if it is still loaded.
func (r *revisions) find(revision string) (k kept, inForce, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, k := range r.kept {
		if k.revision() == revision {
			return k, i == 0, true
		}
	}
	return kept{}, false, false
}

// again judges a question with the policy that first judged it, and reports which rules
// held with which values.
func (s *Server) again(ctx context.Context, revision string, q authz.Question) control.Again {
	k, inForce, ok := s.revisions.find(revision)
	if !ok {
		return control.Again{State: "no longer loaded"}
	}
	out := control.Again{State: "loaded, and no longer in force"}
	if inForce {
		out.State = "in force"
	}
	p, ok := k.snapshot.Authorizer.Policy.(*rego.Policy)
	if !ok || q.Request.Method == "" {
		return out // the question never reached the policy
	}
	traced := p.Traced(func(f rego.Firing) { out.Rules = append(out.Rules, f) })
	out.Reason = string(k.snapshot.Authorizer.Judge(ctx, traced, q).Reason())
	return out
}
