package playground

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stepward/stepward/pkg/author/analysis"
	"github.com/stepward/stepward/pkg/author/explain"
	"github.com/stepward/stepward/pkg/author/matrix"
	"github.com/stepward/stepward/pkg/author/scenario"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/pkg/stepup"
	"github.com/stepward/stepward/policies"
)

// The limits of one question. The machine is also busy with a browser.
const (
	policyTimeout   = 2 * time.Second  // of one evaluation
	questionTimeout = 15 * time.Second // of all evaluations for one question
	maxRoutes       = 500
	libraryFolder   = "stepward.lib/"
)

// Played says what answer one kind of client gets, and why.
type Played struct {
	As          string              `json:"as"`
	Answer      scenario.Answer     `json:"answer"`
	Explanation explain.Explanation `json:"explanation"`
	Fired       []rego.Firing       `json:"fired,omitempty"` // rules that held, with the values of their variables
}

// Play asks p about s from each kind of client, in the order of [scenario.Clients]. It
// stops after a kind for which the policy ran out of time, because the others would waste
// just as much. The error means that the scenario cannot be played.
func Play(ctx context.Context, stage func(*rego.Policy) (*scenario.Stage, error), p *rego.Policy, s scenario.Scenario) (
	[]Played, error) {
	var all []Played
	for _, as := range scenario.Clients() {
		var fired firings
		before, err := stage(p.Traced(fired.add))
		if err != nil {
			return nil, err
		}
		s.As = as
		r, err := before.Decide(ctx, s)
		if err != nil {
			return nil, err
		}
		all = append(all, Played{As: as, Answer: scenario.AnswerOf(r), Explanation: explain.Of(r),
			Fired: fired.taken()})
		if r.Reason() == stepup.PolicyTimeout || ctx.Err() != nil {
			break
		}
	}
	return all, ctx.Err()
}

// firings collects rules that held. An evaluation that ran out of time may still report
// some after they were collected.
type firings struct {
	mu   sync.Mutex
	list []rego.Firing
}

func (f *firings) add(x rego.Firing) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, x)
}

func (f *firings) taken() []rego.Firing {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.list)
}

// Result holds the outcome of a workspace. If Clients is empty, Findings or Problem says
// why.
type Result struct {
	Revision string       `json:"policy_revision,omitempty"`
	Findings finding.List `json:"findings,omitempty"` // for which settings or policy are refused
	Warnings finding.List `json:"warnings,omitempty"` // about parts that compile but may not mean what they say
	Problem  string       `json:"problem,omitempty"`  // of the scenario
	Levels   []string     `json:"levels,omitempty"`   // of the ladder, weakest first
	Clients  []Played     `json:"clients,omitempty"`
}

// loaded is a workspace with accepted settings and policy.
type loaded struct {
	config  config.Config
	options rego.Options
	sources []rego.Source
	policy  *rego.Policy
}

func (w Workspace) load(ctx context.Context) (loaded, error) {
	var l loaded
	var err error
	if l.config, err = parseSettings(w.Settings); err != nil {
		return l, err
	}
	ladder, err := l.config.Ladder()
	if err != nil {
		return l, finding.List{{File: settingsFile, Line: 1, Column: 1, Code: "config", Message: err.Error()}}
	}
	l.options = rego.Options{Ladder: ladder, HeaderPrefix: l.config.Upstream.HeaderPrefix, Timeout: policyTimeout,
		Optional: l.config.Policy.OptionalData, FoldPathCase: l.config.Request.PathCase == "fold"}
	library, err := rego.FromFS(policies.Library())
	if err != nil {
		return l, err
	}
	for _, f := range w.Policy {
		l.sources = append(l.sources, rego.Source{Name: f.Name, Text: []byte(f.Text)})
	}
	for _, s := range library {
		l.sources = append(l.sources, rego.Source{Name: libraryFolder + s.Name, Text: s.Text})
	}
	l.policy, err = rego.Load(ctx, l.sources, l.options)
	return l, err
}

// evaluate compiles w and plays its scenario. The error means something that is not w's
// fault.
func (h *handler) evaluate(ctx context.Context, w Workspace) (Result, error) {
	l, err := w.load(ctx)
	if list := (finding.List)(nil); errors.As(err, &list) {
		return Result{Findings: list}, nil
	}
	if err != nil {
		return Result{}, err
	}
	r := Result{Revision: l.policy.Traits().Revision, Levels: l.options.Ladder.Names()}
	keeps := slices.ContainsFunc(l.config.Issuers, func(i config.Issuer) bool { return i.Profile == "keycloak" })
	r.Warnings = slices.DeleteFunc(analysis.Lint(l.sources, analysis.LintOptions{Options: l.options, KeepsACR: keeps,
		Allow: l.config.Request.Allow}), func(f finding.Finding) bool {
		return strings.HasPrefix(f.File, libraryFolder)
	})
	s, err := scenario.Parse(w.Scenario)
	if err != nil {
		r.Problem = err.Error()
		return r, nil
	}
	stage := func(p *rego.Policy) (*scenario.Stage, error) { return h.Stage(l.config, p) }
	if r.Clients, err = Play(ctx, stage, l.policy, s); err != nil {
		if ctx.Err() != nil {
			return Result{}, ctx.Err()
		}
		r.Problem = err.Error()
	}
	return r, nil
}

// Matrix says what each route of a workspace needs. If Lines is empty, there is a Problem,
// or there are no routes.
type Matrix struct {
	Lines   []matrix.Line `json:"lines,omitempty"`
	Public  []string      `json:"public,omitempty"`
	Problem string        `json:"problem,omitempty"`
	Refused bool          `json:"refused,omitempty"` // the Problem is that settings or policy are refused
}

// matrix makes the matrix of w.
func (h *handler) matrix(ctx context.Context, w Workspace) (Matrix, error) {
	if strings.TrimSpace(w.Routes) == "" {
		return Matrix{Problem: "no routes; write one a line, such as POST /payments/**"}, nil
	}
	routes, err := matrix.ParseRoutes(routesFile, []byte(w.Routes))
	if err != nil {
		return Matrix{Problem: err.Error()}, nil
	}
	if len(routes) > maxRoutes {
		return Matrix{Problem: fmt.Sprintf("%d routes, and %d are shown here at most; stepward matrix knows no bound",
			len(routes), maxRoutes)}, nil
	}
	l, err := w.load(ctx)
	if list := (finding.List)(nil); errors.As(err, &list) {
		return Matrix{Problem: "the policy or its settings are refused", Refused: true}, nil
	}
	if err != nil {
		return Matrix{}, err
	}
	a, err := analysis.Load(l.sources, l.options)
	if err != nil {
		return Matrix{}, err
	}
	m, err := matrix.Make(ctx, []*analysis.Analysis{a}, l.options.Ladder, routes, nil)
	if err != nil {
		return Matrix{}, err
	}
	return Matrix{Lines: m.Lines(), Public: m.Public()}, nil
}
