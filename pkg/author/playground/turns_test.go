package playground

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Of one page the newest question wins, and never two are worked on at once; all pages
// together have no more than there are slots.
func TestTurns(t *testing.T) {
	turns := newTurns()
	first, done, err := turns.take(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error)
	go func() {
		_, _, err := turns.take(t.Context(), "a")
		waiting <- err
	}()
	<-first.Done()
	if !errors.Is(context.Cause(first), errNewer) {
		t.Error(context.Cause(first))
	}
	third := make(chan func())
	go func() {
		_, done, err := turns.take(t.Context(), "a")
		if err != nil {
			t.Error(err)
		}
		third <- done
	}()
	if err := <-waiting; err == nil {
		t.Error("the second is answered though there is a third")
	}
	select {
	case <-third:
		t.Fatal("two questions of a page at once")
	case <-time.After(20 * time.Millisecond): // clock: time to be wrong
	}
	done()
	(<-third)()

	var all sync.WaitGroup
	var now, most atomic.Int64
	for _, page := range []string{"a", "b", "c", "d", "e", "f"} {
		all.Go(func() {
			for range 50 {
				_, done, err := turns.take(t.Context(), page)
				if err != nil {
					t.Error(err)
					return
				}
				for n := now.Add(1); n > most.Load(); {
					most.Store(n)
				}
				now.Add(-1)
				done()
			}
		})
	}
	all.Wait()
	if most.Load() > atOnce {
		t.Errorf("%d at once", most.Load())
	}
	if len(turns.pages) != 0 || len(turns.slots) != 0 {
		t.Errorf("%d pages and %d slots are left", len(turns.pages), len(turns.slots))
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range atOnce {
		if _, done, err := turns.take(ended, "z"); err == nil {
			done()
		}
	}
	if len(turns.pages) != 0 || len(turns.slots) != 0 {
		t.Errorf("who is gone leaves %d pages and %d slots", len(turns.pages), len(turns.slots))
	}
}
