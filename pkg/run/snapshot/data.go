package snapshot

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/engine/rego"
)

// signal is a member of data that is believed only for a while.
type signal struct {
	name    string
	maxAge  time.Duration
	source  string // the file, or the bundle
	asOf    func() time.Time
	unknown bool // it was too old when the policy was loaded
}

// expired reports whether data from that time is too old. A time in the future is not
// believed: it says nothing about the age of the data.
func (s signal) expired(now, asOf time.Time) bool {
	return now.Sub(asOf) > s.maxAge || asOf.After(now)
}

// signals lists the members of data whose age is watched, in order of name. A member
// without a source counts as infinitely old.
func signals(maxAge map[string]config.Duration, sources []rego.Source, o Options) []signal {
	if len(maxAge) == 0 {
		return nil
	}
	owners := rego.Owners(sources)
	var list []signal
	for _, name := range slices.Sorted(maps.Keys(maxAge)) {
		s := signal{name: name, maxAge: time.Duration(maxAge[name]), source: "nowhere", asOf: never}
		owner, there := owners[name]
		switch {
		case there && owner.Bundled:
			b := o.Bundles.Owner(name)
			s.source, s.asOf = "bundle "+b, confirmation(b, o)
		case there:
			s.source = owner.Name
			// The time is that of the file in force, not of the file now on disk.
			s.asOf = func() time.Time { return owner.Written }
		}
		list = append(list, s)
	}
	return list
}

func never() time.Time { return time.Time{} }

// confirmation returns when the server of bundle b last said what it should be.
func confirmation(b string, o Options) func() time.Time {
	if o.Confirmed == nil {
		return never
	}
	return func() time.Time { return o.Confirmed(b) }
}

// DataStatus describes the state of a member of data that is believed only for a while.
type DataStatus struct {
	Name    string    `json:"name"`
	Source  string    `json:"source"`
	AsOf    time.Time `json:"as_of,omitzero"`
	MaxAge  string    `json:"max_age"`
	Unknown bool      `json:"unknown"`
}

// String returns what an operator wants to know, in one line.
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

// Data lists the state of the members of data whose age is watched.
func (x *Snapshot) Data() []DataStatus {
	list := make([]DataStatus, 0, len(x.policy.signals))
	for _, s := range x.policy.signals {
		list = append(list, DataStatus{Name: s.name, Source: s.source, AsOf: s.asOf(),
			MaxAge: config.Duration(s.maxAge).String(), Unknown: s.unknown})
	}
	return list
}

// Outdated reports whether, since the policy was loaded, a member of data has become too
// old or fresh again.
func (x *Snapshot) Outdated(now time.Time) bool {
	return slices.ContainsFunc(x.policy.signals, func(s signal) bool { return s.expired(now, s.asOf()) != s.unknown })
}
