package divergence

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stepward/stepward/pkg/rollout/decisionlog"
)

// The most that a tally keeps, however much it counts.
const (
	maxGroups   = 500 // by route, rule, client and issuer; later ones are counted together
	maxExamples = 5   // of each kind
)

// others names the group of everything that found no place.
const others = "(others)"

// Tally counts comparisons. It serves many goroutines. The zero Tally is empty.
type Tally struct {
	mu       sync.Mutex
	report   Report
	groups   [4]map[string]*Group
	examples map[Kind][]Example
}

// Report holds the results of comparing.
type Report struct {
	Revision  string           `json:"policy_revision"` // of the policy that did not decide
	Against   map[string]int64 `json:"against"`         // decisions, by the revision that made them
	Since     time.Time        `json:"since,omitzero"`
	Until     time.Time        `json:"until,omitzero"`
	Decisions int64            `json:"decisions"`            // compared
	Kinds     map[Kind]int64   `json:"kinds"`                // of those, by how they differ
	Erased    int64            `json:"erased,omitempty"`     // of those, with a part of the input masked
	Left      map[string]int64 `json:"left_out,omitempty"`   // not compared, by why
	Suspended bool             `json:"suspended,omitempty"`  // the policy failed so often that it rests
	Faults    map[string]int64 `json:"new_faults,omitempty"` // why the policy failed

	Routes  []Group   `json:"routes"` // those with differences first
	Rules   []Group   `json:"rules"`  // behind differences
	Clients []Group   `json:"clients"`
	Issuers []Group   `json:"issuers"`
	Samples []Example `json:"examples"`
}

// Group says what decisions have in common, and how they differ.
type Group struct {
	Name      string         `json:"name"`
	Decisions int64          `json:"decisions"`
	Kinds     map[Kind]int64 `json:"kinds,omitempty"` // without those that are the same
}

// differences counts the group's decisions that differ.
func (g Group) differences() (n int64) {
	for _, of := range g.Kinds {
		n += of
	}
	return n
}

// Example is one decision that differs, with nothing in it that names a person.
type Example struct {
	Kind       Kind                `json:"kind"`
	DecisionID string              `json:"decision_id"`
	Time       time.Time           `json:"time"`
	Route      string              `json:"route"`
	Client     string              `json:"client"`
	Issuer     string              `json:"issuer_name,omitempty"`
	Was        decisionlog.Outcome `json:"was"`
	Is         decisionlog.Outcome `json:"is"`
	Fault      string              `json:"fault,omitempty"`
}

// Add counts c.
func (t *Tally) Add(c Comparison) {
	k := c.Kind()
	t.mu.Lock()
	defer t.mu.Unlock()
	r := &t.report
	r.Decisions++
	increment(&r.Kinds, k, len(kinds)*len(kinds), "", 1)
	increment(&r.Against, c.Revision, 20, others, 1)
	if c.Erased {
		r.Erased++
	}
	if r.Since.IsZero() || c.Time.Before(r.Since) {
		r.Since = c.Time
	}
	if c.Time.After(r.Until) {
		r.Until = c.Time
	}
	route := c.Method + " " + c.Route
	for i, name := range []string{route, c.Rule(), c.Client, c.Issuer} {
		if i != 1 || k != Same {
			t.group(i, name, k)
		}
	}
	if k == Same {
		return
	}
	if c.Fault != "" {
		increment(&r.Faults, c.Fault, 20, others, 1)
	}
	if t.examples == nil {
		t.examples = map[Kind][]Example{}
	}
	// The earliest, so that the order of counting does not matter.
	t.examples[k] = append(t.examples[k], Example{
		Kind: k, DecisionID: c.DecisionID, Time: c.Time, Route: route, Client: c.Client, Issuer: c.Issuer, Was: c.Was,
		Is: c.Is, Fault: c.Fault,
	})
	slices.SortFunc(t.examples[k], func(a, b Example) int {
		return cmp.Or(a.Time.Compare(b.Time), strings.Compare(a.DecisionID, b.DecisionID))
	})
	if len(t.examples[k]) > maxExamples {
		t.examples[k] = t.examples[k][:maxExamples]
	}
}

func (t *Tally) group(i int, name string, k Kind) {
	if name == "" {
		name = "(none)"
	}
	if t.groups[i] == nil {
		t.groups[i] = map[string]*Group{}
	}
	g := t.groups[i][name]
	if g == nil {
		if len(t.groups[i]) >= maxGroups {
			name = others
		}
		if g = t.groups[i][name]; g == nil {
			g = &Group{Name: name}
			t.groups[i][name] = g
		}
	}
	g.Decisions++
	if k != Same {
		increment(&g.Kinds, k, len(kinds)*len(kinds), "", 1)
	}
}

// increment counts n under key, or under rest if there is no place for another key.
func increment[K ~string](m *map[K]int64, key K, most int, rest K, n int64) {
	if *m == nil {
		*m = map[K]int64{}
	}
	if _, there := (*m)[key]; !there && len(*m) >= most {
		key = rest
	}
	(*m)[key] += n
}

// Leave counts n decisions that were not compared, by reason: a word or two of our own.
func (t *Tally) Leave(why string, n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	increment(&t.report.Left, why, 20, others, n)
}

// Report returns the counts so far, for a policy of that revision.
func (t *Tally) Report(revision string) Report {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.report
	r.Revision = revision
	r.Against, r.Kinds, r.Left, r.Faults = maps.Clone(r.Against), maps.Clone(r.Kinds), maps.Clone(r.Left),
		maps.Clone(r.Faults)
	for i, into := range []*[]Group{&r.Routes, &r.Rules, &r.Clients, &r.Issuers} {
		*into = []Group{}
		for _, g := range t.groups[i] {
			*into = append(*into, Group{Name: g.Name, Decisions: g.Decisions, Kinds: maps.Clone(g.Kinds)})
		}
		slices.SortFunc(*into, func(a, b Group) int {
			return cmp.Or(cmp.Compare(b.differences(), a.differences()), cmp.Compare(b.Decisions, a.Decisions),
				strings.Compare(a.Name, b.Name))
		})
	}
	r.Samples = []Example{}
	for _, k := range Kinds() {
		r.Samples = append(r.Samples, t.examples[k]...)
	}
	return r
}

// Differences counts the decisions that would differ.
func (r Report) Differences() int64 { return r.Decisions - r.Kinds[Same] }

// Share returns the part of the decisions that differ in this way, from 0 to 1.
func (r Report) Share(k Kind) float64 {
	if r.Decisions == 0 {
		return 0
	}
	return float64(r.Kinds[k]) / float64(r.Decisions)
}
