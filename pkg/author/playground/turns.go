package playground

import (
	"context"
	"errors"
	"sync"
)

// errNewer says that a question is not answered because a newer one was asked.
var errNewer = errors.New("another question was asked since")

// atOnce limits how many questions, from all pages, are worked on at the same time.
const atOnce = 2

// turns keeps each page to one question at a time. The newest wins.
type turns struct {
	mu    sync.Mutex
	pages map[string]*turn
	slots chan struct{}
}

// turn belongs to a page that asks questions. It is dropped when nobody uses it.
type turn struct {
	busy   chan struct{}
	newer  context.CancelCauseFunc // tells the previous question that another was asked
	asking int
}

func newTurns() *turns {
	return &turns{pages: map[string]*turn{}, slots: make(chan struct{}, atOnce)}
}

// take waits for the turn of a page. The returned context ends when the page asks again,
// with errNewer as its cause. Unless there is an error, the caller must call done.
func (t *turns) take(ctx context.Context, page string) (asked context.Context, done func(), err error) {
	asked, cancel := context.WithCancelCause(ctx)
	t.mu.Lock()
	p := t.pages[page]
	if p == nil {
		p = &turn{busy: make(chan struct{}, 1)}
		t.pages[page] = p
	}
	if p.newer != nil {
		p.newer(errNewer)
	}
	p.newer = cancel
	p.asking++
	t.mu.Unlock()
	leave := func() {
		cancel(nil)
		t.mu.Lock()
		defer t.mu.Unlock()
		if p.asking--; p.asking == 0 {
			delete(t.pages, page)
		}
	}
	if err := acquire(asked, p.busy); err != nil {
		leave()
		return asked, nil, err
	}
	if err := acquire(asked, t.slots); err != nil {
		<-p.busy
		leave()
		return asked, nil, err
	}
	return asked, func() { <-t.slots; <-p.busy; leave() }, nil
}

func acquire(ctx context.Context, slot chan struct{}) error {
	select {
	case slot <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
