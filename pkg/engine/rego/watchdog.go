package rego

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

// ErrSaturated is wrapped by the error of an evaluation that was not made, or not to its
// end, since too many of the same place still run after their time was up.
var ErrSaturated = errors.New("rego: too many evaluations run past their time budget")

// defaultAbandoned is how many evaluations may still run after their time is up. OPA looks
// for cancellation between expressions, and one expression can be a regular expression that
// takes seconds. One place may have a sixteenth of them, and one rule half of those that
// the other rules have left: routes are what senders write, and there are as many as they like.
const (
	defaultAbandoned = 64
	places           = 16
)

// place is where an evaluation is: in a rule, for a route. A place with too many
// evaluations that were given up refuses, and no other does: otherwise whoever finds one
// expensive expression could stop all routes.
type place struct {
	rule  int    // its number, or before for what comes before any rule
	route string // host and first segment
}

// longestRoute bounds what a sender can make a [place] hold, in bytes.
const longestRoute = 128

// routeOf returns the host and the first segment of a request.
func routeOf(r request.Request) string {
	first := ""
	if len(r.Segments) > 0 {
		first = r.Segments[0]
	}
	route := r.Host + "/" + first
	if len(route) <= longestRoute { // what nearly all are: copied once, as every evaluation asks
		return route
	}
	return strings.Clone(route[:longestRoute])
}

// before is the rule of an evaluation that has not come to one.
const before = -1

// watchdog bounds the evaluations of one policy, by what they use of the processor.
type watchdog struct {
	limit  time.Duration
	longer int   // how many times limit the clock on the wall may show
	most   int64 // that may be given up before no other is begun
	budget *budget

	total     atomic.Int64 // evaluations that were given up and still run
	mu        sync.Mutex
	abandoned map[place]int64 // of these, how many are where
	byRule    map[int]int64   // the same, on all routes together
}

func newWatchdog(o Options) *watchdog {
	return &watchdog{limit: o.Timeout, longer: patience, most: o.MaxAbandoned, budget: newBudget(clocks()),
		abandoned: map[place]int64{}, byRule: map[int]int64{}}
}

// full reports whether no evaluation may go on at p.
func (w *watchdog) full(p place) bool {
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

// count adds n to the evaluations that were given up at p.
func (w *watchdog) count(p place, n int64) {
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

// The states of an evaluation: whoever leaves first, it or its caller, tells the other.
const (
	running int32 = iota
	finished
	abandoned
)

// position is where one evaluation is at the moment.
type position struct {
	watch *watchdog
	route string
	rule  atomic.Int64
	full  atomic.Bool // it has come to a place that is full
}

func (p *position) place() place { return place{int(p.rule.Load()), p.route} }

// enter notes that the evaluation has come to a rule, and reports whether it may go on.
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

// evaluation is one run in a goroutine of its own.
type evaluation[T any] struct {
	state  atomic.Int32
	done   chan struct{}
	result T
	err    error
}

// guard stops waiting for evaluate when the budget is spent, whether or not OPA has
// noticed. An evaluation that is given up is counted at its place until it ends, and above
// a limit nothing more goes on there: a hostile expression may waste some goroutines, not
// all. A panic is an error.
func guard[T any](ctx context.Context, w *watchdog, route string, evaluate func(context.Context) (T, error)) (
	T, error) {
	var none T
	at := &position{watch: w, route: route}
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
		if !e.state.CompareAndSwap(running, abandoned) { // it has ended at this very moment
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
		return none, fmt.Errorf("rego: %w", ctx.Err())
	case spent:
		return none, policy.ErrTimeout
	}
	return none, e.err
}

// wait returns when done is closed, when ctx ends, or, with true, when an evaluation that
// began at a share has had its limit.
func (w *watchdog) wait(ctx context.Context, done <-chan struct{}, began time.Duration) (spent bool) {
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
			e.err = errors.New("rego: the evaluation panicked")
		}
	}()
	e.result, e.err = evaluate(ctx)
}
