// Package control is the socket by which an operator on the same machine looks into
// a running service: recent decisions and why they were made, what is in force, and
// the level of the log. It changes no decision.
//
// Whoever can open the socket reads who asked for what. So it is a Unix socket for
// its owner alone, off unless it is configured, and never TCP.
package control

import (
	"context"
	"sync"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/explain"
)

// Ring keeps the last decisions and hands new ones to whoever follows. It serves
// many goroutines.
type Ring struct {
	mu        sync.Mutex
	kept      []explain.Explanation // of at most size; next is the oldest once it is full
	next      int
	size      int
	followers map[chan explain.Explanation]bool
}

// NewRing keeps size decisions.
func NewRing(size int) *Ring {
	return &Ring{size: size, followers: map[chan explain.Explanation]bool{}}
}

// Observe keeps r. A follower that is too slow for it misses it.
func (r *Ring) Observe(_ context.Context, record authz.Record) {
	e := explain.Of(record).WithoutQuery()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.kept) < r.size {
		r.kept = append(r.kept, e)
	} else {
		r.kept[r.next] = e
		r.next = (r.next + 1) % r.size
	}
	for f := range r.followers {
		select {
		case f <- e:
		default:
		}
	}
}

// Recent lists what is kept, the oldest first.
func (r *Ring) Recent() []explain.Explanation {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append(append([]explain.Explanation{}, r.kept[r.next:]...), r.kept[:r.next]...)
}

// Find is the decision of that id, if it is still kept.
func (r *Ring) Find(id string) (explain.Explanation, bool) {
	for _, e := range r.Recent() {
		if e.DecisionID == id {
			return e, true
		}
	}
	return explain.Explanation{}, false
}

// Follow lists what is kept and hands on what comes, until stop is called.
func (r *Ring) Follow() (recent []explain.Explanation, more <-chan explain.Explanation, stop func()) {
	c := make(chan explain.Explanation, 256)
	r.mu.Lock()
	r.followers[c] = true
	r.mu.Unlock()
	return r.Recent(), c, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.followers, c)
	}
}
