// Package watchdog limits what evaluations of a policy may cost.
//
// [Run] makes one evaluation in its own goroutine and stops waiting when its time budget is
// spent, whether or not the engine has noticed. An evaluation that is given up still runs.
// So a [Watchdog] counts such evaluations by rule and by route. Where there are too many,
// it lets no more begin: one expensive expression must not stop all routes.
//
// watchdog.go holds the limits and the run, budget.go the time that an evaluation has used.
package watchdog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/request"
)

// ErrSaturated is wrapped in the error of an evaluation that was not made, or was ended
// early, because too many evaluations at the same place are still running after their time
// was up.
var ErrSaturated = errors.New("policy: too many evaluations run past their time budget")

// places divides the number of evaluations that may still run after their time is up: one
// place may have a sixteenth of them. One rule may have half of what the other rules have
// left, because the sender chooses the route, and can make up many.
const places = 16

// place says where an evaluation is: in which rule, and for which route.
type place struct {
	rule  int    // its number; before, until the evaluation reaches a rule
	route string // host and first segment
}

// longestRoute limits how much a sender can make a [place] hold, in bytes.
const longestRoute = 128

// routeOf returns the host and the first segment of r.
func routeOf(r request.Request) string {
	first := ""
	if len(r.Segments) > 0 {
		first = r.Segments[0]
	}
	route := r.Host + "/" + first
	if len(route) <= longestRoute { // as nearly all are; every evaluation asks, so copy only once
		return route
	}
	return strings.Clone(route[:longestRoute])
}

// before is the rule number until an evaluation reaches a rule.
const before = -1

// Watchdog limits the evaluations of one policy by the processor time that they use. Its
// methods may be called from many goroutines.
type Watchdog struct {
	limit  time.Duration
	longer int   // how many times limit an evaluation may take in wall-clock time
	most   int64 // how many may be given up before no more begin
	budget *budget

	total     atomic.Int64 // evaluations that were given up but still run
	mu        sync.Mutex
	abandoned map[place]int64 // how many of these are at each place
	byRule    map[int]int64   // the same, on all routes together
}

// New returns a Watchdog with a time limit for each evaluation. Once most evaluations have
// been given up and still run, no more begin.
func New(limit time.Duration, most int64) *Watchdog {
	return &Watchdog{limit: limit, longer: patience, most: most, budget: newBudget(clocks()),
		abandoned: map[place]int64{}, byRule: map[int]int64{}}
}

// ByWall makes w measure evaluations by the wall clock alone. It is for policies that may
// wait for the network: an evaluation that waits uses no processor. Call it before the
// first evaluation.
func (w *Watchdog) ByWall() { w.longer = 1 }

// full reports whether no more evaluations may run at p.
func (w *Watchdog) full(p place) bool {
	total := w.total.Load()
	if total == 0 || total >= w.most {
		return total > 0
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	rule := w.byRule[p.rule]
	others := total - rule
	return w.abandoned[p] >= max(1, w.most/places) || rule >= max(1, (w.most-others)/2)
}

// count adds n to the number of evaluations that were given up at p.
func (w *Watchdog) count(p place, n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.total.Add(n)
	if w.abandoned[p] += n; w.abandoned[p] == 0 {
		delete(w.abandoned, p)
	}
	if w.byRule[p.rule] += n; w.byRule[p.rule] == 0 {
		delete(w.byRule, p.rule)
	}
}

// The states of an evaluation. The evaluation and its caller both leave; the first to do so
// tells the other.
const (
	running int32 = iota
	finished
	abandoned
)

// position follows one evaluation from rule to rule.
type position struct {
	watch *Watchdog
	route string
	rule  atomic.Int64
	full  atomic.Bool // it has reached a place that is full
}

func (p *position) place() place { return place{int(p.rule.Load()), p.route} }

// Enter notes that the evaluation of ctx has reached the rule with this number, and reports
// whether it may go on. Outside [Run] every evaluation may.
func Enter(ctx context.Context, rule int) bool {
	p, watched := ctx.Value(positionKey{}).(*position)
	return !watched || p.enter(rule)
}

// enter notes that the evaluation has reached a rule, and reports whether it may go on.
func (p *position) enter(rule int) bool {
	p.rule.Store(int64(rule))
	if p.watch.full(p.place()) {
		p.full.Store(true)
		return false
	}
	return true
}

// positionKey is the key of a [position] in a context.
type positionKey struct{}

// evaluation holds the result of one run in its own goroutine.
type evaluation[T any] struct {
	state  atomic.Int32
	done   chan struct{}
	result T
	err    error
}

// Run makes one evaluation for r. It stops waiting when the budget is spent, and returns an
// error that wraps [policy.ErrTimeout]. An evaluation that is given up counts at its place
// until it ends. Above a limit nothing more runs there: a hostile expression may waste some
// goroutines, but not all of them. A panic becomes an error.
func Run[T any](ctx context.Context, w *Watchdog, r request.Request, evaluate func(context.Context) (T, error)) (
	T, error) {
	var none T
	at := &position{watch: w, route: routeOf(r)}
	if !at.enter(before) {
		return none, fmt.Errorf("%w: %w", ErrSaturated, policy.ErrTimeout)
	}
	bounded, cancel := context.WithCancel(context.WithValue(ctx, positionKey{}, at))
	defer cancel()
	e := &evaluation[T]{done: make(chan struct{})}
	began := w.budget.begin()
	var left place // where it was given up
	go func() {
		e.run(bounded, evaluate)
		w.budget.end()
		if !e.state.CompareAndSwap(running, finished) {
			w.count(left, -1)
		}
		close(e.done)
	}()
	spent := w.wait(ctx, e.done, began)
	if spent || ctx.Err() != nil {
		left = at.place()
		w.count(left, 1)
		if !e.state.CompareAndSwap(running, abandoned) { // it ended at that very moment
			w.count(left, -1)
			<-e.done
		}
	}
	switch {
	case e.state.Load() == finished && e.err == nil:
		return e.result, nil
	case at.full.Load():
		return none, fmt.Errorf("%w: %w", ErrSaturated, policy.ErrTimeout)
	case ctx.Err() != nil:
		return none, fmt.Errorf("policy: %w", ctx.Err())
	case spent:
		return none, policy.ErrTimeout
	}
	return none, e.err
}

// wait returns when done is closed, when ctx ends, or when an evaluation that began at this
// share has used up its limit. Only in the last case is spent true.
func (w *Watchdog) wait(ctx context.Context, done <-chan struct{}, began time.Duration) (spent bool) {
	start := time.Now()
	timer := time.NewTimer(w.limit)
	defer timer.Stop()
	for {
		select {
		case <-done:
			return false
		case <-ctx.Done():
			return false
		case <-timer.C:
		}
		left := w.limit - w.budget.since(began)
		if left <= 0 || time.Since(start) >= w.limit*time.Duration(w.longer) {
			return true
		}
		timer.Reset(max(left, time.Millisecond))
	}
}

func (e *evaluation[T]) run(ctx context.Context, evaluate func(context.Context) (T, error)) {
	defer func() {
		if recover() != nil {
			e.err = errors.New("policy: the evaluation panicked")
		}
	}()
	e.result, e.err = evaluate(ctx)
}
