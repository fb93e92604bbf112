// Package matrix says which route needs what of whom, before anybody asks: for each route,
// method and kind of caller the level, age, methods and scopes that the policy requires,
// by which rule, and the conditions that only a concrete request settles. Two matrices
// compare to what became weaker.
//
// routes.go reads routes from where they are written, print.go shows a matrix.
package matrix

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/stepup"
)

// Callers are the kinds of caller that a matrix tells apart.
var Callers = []string{"nobody", "user", "program"}

// Matrix is what a policy requires of each row.
type Matrix struct {
	Revision string `json:"policy_revision"`
	Rows     []Row  `json:"rows"`
}

// Row is one route, method and kind of caller.
type Row struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	Host   string `json:"host,omitempty"`
	Caller string `json:"caller"`

	// Level is the strictest level that is always required, "none" where no rule says
	// anything in any case, and "unsettled" where nothing can be said.
	Level   string   `json:"level"`
	MaxAge  *int64   `json:"max_age,omitempty"` // seconds
	AMR     []string `json:"amr,omitempty"`
	Scope   []string `json:"scope,omitempty"`
	More    []string `json:"more,omitempty"`   // other demands: acr, audience, issuer, sender_constrained, token_age
	Denied  []string `json:"denied,omitempty"` // rules that always refuse
	Rules   []string `json:"rules,omitempty"`  // that always hold
	If      []If     `json:"if,omitempty"`     // what holds under conditions
	Problem string   `json:"problem,omitempty"`
	From    string   `json:"from,omitempty"` // where the route is written
}

// If is what a rule adds, and when.
type If struct {
	Entry string   `json:"entry"` // require or deny
	Adds  string   `json:"adds"`
	When  []string `json:"when"`
	Rule  string   `json:"rule"`
	// Opens is set where a requirement makes the route public; Computed where what it
	// requires depends on the request, so that it may.
	Opens    bool `json:"opens,omitempty"`
	Computed bool `json:"computed,omitempty"`
}

// None and Unsettled are in the place of a level.
const (
	None      = "none"
	Unsettled = "unsettled"
)

// Public reports whether everybody is let in: nothing above anonymous is ever required.
func (r Row) Public() bool {
	return r.Level == stepup.Anonymous && len(r.Denied) == 0 && !slices.ContainsFunc(
		r.If, func(i If) bool { return !i.Opens })
}

// Make asks a policy about every route. It is given loaded more than once to be asked
// at once, since one cannot be; see [rego.Policy.Partial]. progress, if set, is told after
// each route.
func Make(ctx context.Context, policies []*rego.Policy, ladder stepup.Ladder, routes []Route,
	progress func(done, all int)) (Matrix, error) {
	m := Matrix{Revision: policies[0].Traits().Revision}
	free := make(chan *rego.Policy, len(policies))
	for _, p := range policies {
		free <- p
	}
	made := make([][]Row, len(routes))
	var mu sync.Mutex
	done := 0
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(len(policies))
	for n, r := range routes {
		all.Go(func() error {
			p := <-free
			defer func() { free <- p }()
			rows, err := rowsOf(ctx, p, ladder, r)
			mu.Lock()
			defer mu.Unlock()
			made[n] = rows
			if done++; progress != nil {
				progress(done, len(routes))
			}
			return err
		})
	}
	if err := all.Wait(); err != nil {
		return m, err
	}
	m.Rows = slices.Concat(made...)
	slices.SortStableFunc(m.Rows, func(a, b Row) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method))
	})
	return m, nil
}

func rowsOf(ctx context.Context, p *rego.Policy, ladder stepup.Ladder, r Route) ([]Row, error) {
	var rows []Row
	for _, method := range r.methods() {
		for _, caller := range Callers {
			row, err := makeRow(ctx, p, ladder, r, method, caller)
			if err != nil {
				return nil, err
			}
			rows = append(rows, row)
		}
	}
	return rows, nil
}

func makeRow(ctx context.Context, p *rego.Policy, ladder stepup.Ladder, r Route, method, caller string) (Row, error) {
	row := Row{Method: method, Path: r.Path, Host: r.Host, Caller: caller, From: r.From, Level: None}
	input, unknown := r.input(method, caller)
	list, err := p.Partial(ctx, input, unknown)
	if ctx.Err() != nil {
		return row, ctx.Err()
	}
	if err != nil {
		row.Level, row.Problem = Unsettled, err.Error()
		return row, nil
	}
	asksFirst := slices.ContainsFunc(list, func(c rego.Conditional) bool {
		return c.Entry == "require" &&
			len(c.When) == 0 && !opens(c)
	})
	for _, c := range list {
		if caller == "nobody" && c.Entry == "deny" && asksFirst && !always(c) {
			continue // judged only once the caller is known
		}
		if len(c.When) > 0 || !c.Known {
			row.If = append(row.If, If{Entry: c.Entry, Adds: c.Value, When: c.When, Rule: c.Rule, Opens: opens(c),
				Computed: !c.Known})
			continue
		}
		if err := row.add(c, ladder); err != nil {
			row.Problem = err.Error()
		}
	}
	slices.SortFunc(row.If, func(a, b If) int {
		return cmp.Or(cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Adds, b.Adds), slices.Compare(a.When, b.When))
	})
	row.If = slices.CompactFunc(row.If, func(a, b If) bool {
		return a.Rule == b.Rule && a.Adds == b.Adds &&
			slices.Equal(a.When, b.When)
	})
	if row.Problem != "" {
		row.Level = Unsettled
	}
	return row, nil
}

// member is the object that a rule yields, or nil where that depends on the request.
func member(c rego.Conditional) map[string]any {
	var o map[string]any
	if !c.Known || json.Unmarshal([]byte(c.Value), &o) != nil {
		return nil
	}
	return o
}

// opens reports whether a requirement makes a route public.
func opens(c rego.Conditional) bool {
	return c.Entry == "require" && member(c)["level"] == stepup.Anonymous
}

// always reports whether a refusal may be judged before anybody signs in.
func always(c rego.Conditional) bool { return !c.Known || member(c)["always"] == true }

// add takes a member that holds for every such request.
func (r *Row) add(c rego.Conditional, ladder stepup.Ladder) error {
	var value any
	d := json.NewDecoder(strings.NewReader(c.Value))
	d.UseNumber()
	if err := d.Decode(&value); err != nil {
		return fmt.Errorf("matrix: %w", err)
	}
	if c.Entry == "deny" {
		if _, err := policy.DecodeDenial(value, c.Rule); err != nil {
			return err
		}
		r.Denied = append(r.Denied, c.Rule)
		return nil
	}
	q, err := policy.DecodeRequirement(value, c.Rule, ladder)
	if err != nil {
		return err
	}
	if q.Shadow {
		return nil // observed, not enforced
	}
	r.Rules = append(r.Rules, c.Rule)
	level := q.Level
	if level == "" {
		level = stepup.Authenticated
	}
	if r.Level == None || rank(ladder, level) > rank(ladder, r.Level) {
		r.Level = level
	}
	if age, set := q.MaxAge.Get(); set {
		if s := int64(age / time.Second); r.MaxAge == nil || s < *r.MaxAge {
			r.MaxAge = &s
		}
	}
	r.AMR, r.Scope = union(r.AMR, q.AMR), union(r.Scope, q.Scope)
	r.More = union(r.More, more(value))
	return nil
}

// more are the demands of a member that have no column of their own.
func more(value any) []string {
	o, _ := value.(map[string]any)
	var list []string
	for _, name := range []string{"acr", "audience", "issuer", "sender_constrained", "token_age"} {
		if v, there := o[name]; there {
			text, err := json.Marshal(v)
			if err != nil {
				continue
			}
			list = append(list, name+" "+string(text))
		}
	}
	return list
}

func union(a, b []string) []string {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

// rank orders levels. What no rule says anything about is refused, and so stronger than
// any level; what cannot be settled is weaker than all, since it may be anything.
func rank(ladder stepup.Ladder, level string) int {
	switch level {
	case Unsettled:
		return -1
	case None:
		return len(ladder.Names())
	}
	return slices.Index(ladder.Names(), level)
}
