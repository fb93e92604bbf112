package rego

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/stepward/stepward/pkg/policy"
)

// ErrSaturated is wrapped by the error of an evaluation that was not begun,
// since too many are still running after their time was up.
var ErrSaturated = errors.New("rego: too many evaluations run past their time budget")

// defaultAbandoned is how many evaluations may still run after their time is up.
// OPA looks for cancellation between expressions, and one expression can be a
// regular expression that takes seconds.
const defaultAbandoned = 16

// watchdog bounds the evaluations of one policy by the clock on the wall.
type watchdog struct {
	limit time.Duration
	most  int64 // that may be abandoned before no other is begun
	// abandoned counts evaluations that were given up and still run.
	abandoned atomic.Int64
}

func newWatchdog(o Options) *watchdog { return &watchdog{limit: o.Timeout, most: o.MaxAbandoned} }

// The states of an evaluation: whoever leaves first, it or who waits for it,
// tells the other.
const (
	running int32 = iota
	finished
	abandoned
)

// evaluation is one run in a goroutine of its own.
type evaluation[T any] struct {
	state  atomic.Int32
	done   chan struct{}
	result T
	err    error
}

// guard stops waiting for evaluate when the budget is spent, whether or not OPA has
// noticed. An evaluation that is given up is counted until it ends, and above a limit
// nothing more is begun: a hostile expression may waste some goroutines, not all. A panic
// is an error.
func guard[T any](ctx context.Context, w *watchdog, evaluate func(context.Context) (T, error)) (T, error) {
	var none T
	if w.abandoned.Load() >= w.most {
		return none, fmt.Errorf("%w: %w", ErrSaturated, policy.ErrTimeout)
	}
	bounded, cancel := context.WithTimeout(ctx, w.limit)
	defer cancel()
	e := &evaluation[T]{done: make(chan struct{})}
	go func() {
		e.run(bounded, evaluate)
		if !e.state.CompareAndSwap(running, finished) {
			w.abandoned.Add(-1)
		}
		close(e.done)
	}()
	select {
	case <-e.done:
		if e.err == nil {
			return e.result, nil
		}
	case <-bounded.Done():
		if e.state.CompareAndSwap(running, abandoned) {
			w.abandoned.Add(1)
		} else {
			<-e.done
		}
	}
	switch {
	case ctx.Err() != nil:
		return none, fmt.Errorf("rego: %w", ctx.Err())
	case bounded.Err() != nil:
		return none, policy.ErrTimeout
	}
	return none, e.err
}

func (e *evaluation[T]) run(ctx context.Context, evaluate func(context.Context) (T, error)) {
	defer func() {
		if recover() != nil {
			e.err = errors.New("rego: the evaluation panicked")
		}
	}()
	e.result, e.err = evaluate(ctx)
}
