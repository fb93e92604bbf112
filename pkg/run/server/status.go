package server

import (
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/stepward/stepward/pkg/rollout/bundle"
	"github.com/stepward/stepward/pkg/rollout/divergence"
	"github.com/stepward/stepward/pkg/run/admin"
	"github.com/stepward/stepward/pkg/run/control"
	"github.com/stepward/stepward/pkg/run/snapshot"
	"github.com/stepward/stepward/pkg/run/telemetry"
	"github.com/stepward/stepward/pkg/trust/keyset"
)

// inForce says what decides now.
func (s *Server) inForce() any {
	x := s.enforced()
	in := map[string]any{
		"version": s.options.Version, "policy_revision": s.Revision(), "configuration": x.Config.Sources,
		"levels": x.Authorizer.Ladder.Names(),
		"checks": s.checks(), "revisions": s.revisions.list(), "data": x.Data(),
	}
	if s.bundles != nil {
		in["bundles"] = s.bundles.Status()
	}
	return in
}

// checks lists the reasons for readiness. A failed reload is listed, but does not change
// readiness.
func (s *Server) checks() []admin.Check {
	list := []admin.Check{{Name: "policy", Ready: true, Detail: "revision " + s.Revision()}}
	for _, k := range s.enforced().Keys {
		list = append(list, admin.Check{Name: "keys of " + k.Name, Ready: s.Ready() || k.Optional || k.Source.Loaded(),
			Detail: keyDetail(k.Source.Status())})
	}
	list = append(list, s.sourceChecks()...)
	if last := s.last.Load(); last != nil {
		list = append(list, admin.Check{Name: "reload", Ready: true, Detail: s.reloadDetail(*last)})
	}
	if s.draining.Load() {
		list = append(list, admin.Check{Name: "draining", Detail: "the service stops"})
	}
	if s.stalled.Load() {
		list = append(list, admin.Check{Name: "answers", Detail: "no call has been answered for a while"})
	}
	return append(list, admin.Check{Name: "serving", Ready: s.Ready()})
}

// reloadDetail says how the last reload ended.
func (s *Server) reloadDetail(last attempt) string {
	at := last.at.UTC().Format(time.RFC3339)
	if last.err != nil {
		return "failed at " + at + "; the last good configuration stays in force: " + last.err.Error()
	}
	if pending := s.pending.Load(); pending != nil {
		return "waits for " + strings.Join(pending.Waiting(), ", ") + "; the last good configuration stays in force"
	}
	return "done at " + at
}

// keyDetail describes the state of an issuer's keys.
func keyDetail(k keyset.Status) string {
	at := k.At.UTC().Format(time.RFC3339)
	switch {
	case k.At.IsZero() && !k.Usable:
		return "not fetched yet: " + k.Err.Error()
	case !k.Usable:
		return fmt.Sprintf("too old to be trusted, fetched at %s; its tokens are answered with 503: %v", at, k.Err)
	case k.At.IsZero():
		return fmt.Sprintf("%d keys from a file", k.Count)
	case k.Cached:
		return fmt.Sprintf("%d keys of an earlier run, fetched at %s: %v", k.Count, at, k.Err)
	case k.Err != nil:
		return fmt.Sprintf("%d keys, fetched at %s; the last fetch failed: %v", k.Count, at, k.Err)
	}
	return fmt.Sprintf("%d keys, fetched at %s", k.Count, at)
}

// fetched logs and counts a fetch of keys. After a good one it warns about needed features
// that the issuer does not declare.
func (s *Server) fetched(issuer string, f keyset.Fetch) {
	s.metrics.Refreshed(issuer, f.Err)
	log := s.log.With(zap.String("issuer_name", issuer))
	switch {
	case f.FromCache:
		log.Warn("keys could not be fetched; keys from an earlier run are in use", zap.Error(f.Err))
	case f.Err != nil:
		log.Warn("keys could not be fetched; those that were fetched before stay in use", zap.Error(f.Err))
	default:
		log.Debug("keys fetched")
		s.warnOf(issuer)
	}
	if f.CacheErr != nil {
		log.Warn("the file of last good keys is of no use", zap.Error(f.CacheErr))
	}
	if told := s.options.Snapshot.OnFetch; told != nil {
		told(issuer, f)
	}
}

// warnOf warns once about each thing that the configuration needs but the issuer's metadata
// does not name.
func (s *Server) warnOf(issuer string) {
	x := s.newest()
	for n, k := range x.Keys {
		if k.Name != issuer {
			continue
		}
		for _, p := range snapshot.MetadataPoints(x.Config.Levels, x.Config.Issuers[n], k.Source.Status().Metadata) {
			if _, said := s.warned.LoadOrStore(issuer+"\x00"+p.Detail, true); !said && p.Grade != "ok" {
				s.log.Warn(p.Detail, zap.String("issuer_name", issuer), zap.String("hint", p.Hint))
			}
		}
	}
}

// states describes the state of each issuer, for people.
func (s *Server) states() []control.Issuer {
	x := s.enforced()
	list := make([]control.Issuer, len(x.Keys))
	for n, k := range x.Keys {
		st := k.Source.Status()
		i := control.Issuer{Name: k.Name, Issuer: x.Config.Issuers[n].Issuer, Usable: st.Usable, State: keyDetail(st),
			Keys: st.Keys, FetchedAt: st.At}
		for _, skipped := range st.Skipped {
			i.Skipped = append(i.Skipped, fmt.Sprintf("at place %d: %s", skipped.Index,
				strings.TrimPrefix(skipped.Why.Error(), "keyset: ")))
		}
		if st.Err != nil {
			i.Error = st.Err.Error()
		}
		for _, p := range snapshot.MetadataPoints(x.Config.Levels, x.Config.Issuers[n], st.Metadata) {
			if p.Grade != "ok" {
				i.Warnings = append(i.Warnings, p.Detail)
			}
		}
		list[n] = i
	}
	return list
}

// keyStatuses returns the state of each issuer's keys, for metrics.
func (s *Server) keyStatuses() map[string]keyset.Status {
	all := map[string]keyset.Status{}
	for _, k := range s.enforced().Keys {
		all[k.Name] = k.Source.Status()
	}
	return all
}

// sampled logs an answer that the candidate policy would have given otherwise.
func (s *Server) sampled(candidate string, c divergence.Comparison) {
	s.log.Info("the candidate policy would have answered otherwise",
		zap.String("difference", string(c.Kind())), zap.String("decision_id", c.DecisionID),
		zap.String("route", c.Method+" "+c.Route),
		zap.String("was", string(c.Was.Reason)), zap.String("would_be", string(c.Is.Reason)),
		zap.String("rule", c.Rule()), zap.String("policy_revision", c.Revision),
		zap.String("candidate_revision", candidate), zap.String("detail", c.Fault))
}

// candidateReport returns what is known about the candidate policy, and false if there is
// none.
func (s *Server) candidateReport() (divergence.Report, bool) {
	if shadow := s.enforced().Shadow(); shadow != nil {
		return shadow.Report(), true
	}
	return divergence.Report{}, false
}

// sources returns the state of bundles and data, for metrics.
func (s *Server) sources() []telemetry.Source {
	var list []telemetry.Source
	if s.bundles != nil {
		for _, b := range s.bundles.Status() {
			list = append(list, telemetry.Source{Kind: "bundle", Name: b.Name, At: s.confirmed(b.Name),
				Failing: b.Error != ""})
		}
	}
	for _, d := range s.enforced().Data() {
		list = append(list, telemetry.Source{Kind: "data", Name: d.Name, At: d.AsOf, Failing: d.Unknown})
	}
	return list
}

// sourceChecks shows the state of bundles and data. A bundle that cannot be fetched again
// does not change readiness: the last good one decides.
func (s *Server) sourceChecks() []admin.Check {
	var list []admin.Check
	if s.bundles != nil {
		for _, b := range s.bundles.Status() {
			list = append(list, admin.Check{Name: "bundle " + b.Name, Ready: s.Ready() || !b.Activated.IsZero(),
				Detail: bundleDetail(b)})
		}
	}
	for _, d := range s.enforced().Data() {
		list = append(list, admin.Check{Name: "data " + d.Name, Ready: true, Detail: d.String()})
	}
	return list
}

func bundleDetail(b bundle.Status) string {
	text := "not activated yet"
	if !b.Activated.IsZero() {
		text = fmt.Sprintf("revision %q, activated at %s", b.Revision, b.Activated.UTC().Format(time.RFC3339))
	}
	if b.Error != "" {
		text += "; the last attempt failed: " + b.Error
	}
	return text
}
