// Package matrix says what each route needs, and from whom, before any request comes in:
// for each route, method and kind of caller, it lists the requirements of the policy, their
// rules, and the conditions that only a concrete request settles. [Diff] compares two
// matrices and finds what became weaker.
//
// routes.go reads routes from files, and needs.go and print.go show a matrix.
package matrix

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/stepward/stepward/pkg/author/analysis"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/stepup"
)

// Callers are the kinds of caller that a matrix tells apart.
var Callers = []string{"nobody", "user", "program"}

// Matrix holds what a policy requires for each row.
type Matrix struct {
	Revision string `json:"policy_revision"`
	Rows     []Row  `json:"rows"`
}

// Row is one route, method and kind of caller. Its requirements are values; needs.go sums
// them up, and print.go writes the text.
type Row struct {
	Method, Path, Host, Caller string

	// Level is the strictest level that is always required, [None] if no rule says
	// anything in any case, and [Unsettled] if nothing can be said.
	Level    string
	Required []stepup.Requirement // what rules always require
	Denied   []stepup.Denial      // by rules that always refuse
	If       []If                 // demands under conditions
	Problem  string               // why nothing can be said
	From     string               // where the route is written

	more []string // demands of a row read from JSON: see [Row.UnmarshalJSON]
}

// If says what a rule adds, and when.
type If struct {
	Entry string `json:"entry"` // require or deny
	// Adds is the member as the rule writes it: JSON, or Rego if Computed.
	Adds string   `json:"adds"`
	When []string `json:"when"`
	Rule string   `json:"rule"`
	// Opens is set if a requirement makes the route public. Computed is set if the
	// requirement depends on the request, so that it may.
	Opens    bool `json:"opens,omitempty"`
	Computed bool `json:"computed,omitempty"`
}

// None and Unsettled take the place of a level.
const (
	None      = "none"
	Unsettled = "unsettled"
)

// Public reports whether everybody is let in: nothing above anonymous is ever required.
func (r Row) Public() bool {
	return r.Level == stepup.Anonymous && len(r.Denied) == 0 && !slices.ContainsFunc(
		r.If, func(i If) bool { return !i.Opens })
}

// Make asks a policy about every route. All analyses must be of that policy. Each asks
// about one route at a time, so several are faster. progress, if set, is called after each
// route.
func Make(ctx context.Context, analyses []*analysis.Analysis, ladder stepup.Ladder, routes []Route,
	progress func(done, all int)) (Matrix, error) {
	m := Matrix{Revision: analyses[0].Traits().Revision}
	free := make(chan *analysis.Analysis, len(analyses))
	for _, p := range analyses {
		free <- p
	}
	made := make([][]Row, len(routes))
	var mu sync.Mutex
	done := 0
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(len(analyses))
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

func rowsOf(ctx context.Context, p *analysis.Analysis, ladder stepup.Ladder, r Route) ([]Row, error) {
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

func makeRow(
	ctx context.Context,
	p *analysis.Analysis,
	ladder stepup.Ladder,
	r Route,
	method, caller string,
) (Row, error) {
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
	asksFirst := slices.ContainsFunc(list, func(c analysis.Conditional) bool {
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

// member returns the object that a rule yields, or nil if that depends on the request.
func member(c analysis.Conditional) map[string]any {
	var o map[string]any
	if !c.Known || json.Unmarshal([]byte(c.Value), &o) != nil {
		return nil
	}
	return o
}

// opens reports whether a requirement makes a route public.
func opens(c analysis.Conditional) bool {
	return c.Entry == "require" && member(c)["level"] == stepup.Anonymous
}

// always reports whether a refusal may be judged before anybody signs in.
func always(c analysis.Conditional) bool { return !c.Known || member(c)["always"] == true }

// add adds a member that applies to every such request.
func (r *Row) add(c analysis.Conditional, ladder stepup.Ladder) error {
	var value any
	d := json.NewDecoder(strings.NewReader(c.Value))
	d.UseNumber()
	if err := d.Decode(&value); err != nil {
		return fmt.Errorf("matrix: %w", err)
	}
	if c.Entry == "deny" {
		d, err := policy.DecodeDenial(value, c.Rule)
		if err != nil {
			return err
		}
		r.Denied = append(r.Denied, d)
		return nil
	}
	q, err := policy.DecodeRequirement(value, c.Rule, ladder)
	if err != nil {
		return err
	}
	if q.Shadow {
		return nil // observed, not enforced
	}
	r.Required = append(r.Required, q)
	level := q.Level
	if level == "" {
		level = stepup.Authenticated
	}
	if r.Level == None || rank(ladder, level) > rank(ladder, r.Level) {
		r.Level = level
	}
	return nil
}

// rank orders levels. A route without any rule is refused, so it ranks above every level.
// An unsettled one ranks below all, because it may be anything.
func rank(ladder stepup.Ladder, level string) int {
	switch level {
	case Unsettled:
		return -1
	case None:
		return len(ladder.Names())
	}
	return slices.Index(ladder.Names(), level)
}
