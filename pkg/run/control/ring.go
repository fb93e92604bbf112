// Package control is the socket through which an operator on the same machine looks into a
// running service: recent decisions and their reasons, what is in force, and the log level.
// It changes no decision.
//
// Anyone who can open the socket can read who asked for what. So it is a Unix socket that
// only its owner can open, off unless configured, and never TCP.
package control

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/stepward/stepward/pkg/author/explain"
	"github.com/stepward/stepward/pkg/authz"
)

// Ring keeps the last decisions and passes new ones to its followers. It serves many
// goroutines.
type Ring struct {
	mu        sync.Mutex
	kept      []explain.Explanation // of at most size; next is the oldest once it is full
	asked     []authz.Question      // what each was about; zero if that is too large to keep
	next      int
	size      int
	followers map[chan explain.Explanation]bool
}

// NewRing keeps size decisions.
func NewRing(size int) *Ring {
	return &Ring{size: size, followers: map[chan explain.Explanation]bool{}}
}

// Observe keeps r. A follower that is too slow misses it.
func (r *Ring) Observe(_ context.Context, record *authz.Record) {
	e := explain.Of(*record).WithoutQuery()
	var asked authz.Question // zero if no policy was asked
	if !record.Stages.Evaluated.IsZero() {
		asked = light(record.Question())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.kept) < r.size {
		r.kept, r.asked = append(r.kept, e), append(r.asked, asked)
	} else {
		r.kept[r.next], r.asked[r.next] = e, asked
		r.next = (r.next + 1) % r.size
	}
	for f := range r.followers {
		select {
		case f <- e:
		default:
		}
	}
}

// maxBody is about how many bytes of memory a kept body may take. Clients choose bodies,
// and a thousand of them with a few megabytes each would kill the service.
const maxBody = 32 << 10

// light returns q without what the proxy sent, or nothing if its body is too large to keep.
func light(q authz.Question) authz.Question {
	q.Request.Attributes = nil
	left := maxBody
	weigh(q.Request.Body.JSON, &left)
	for name, values := range q.Request.Body.Form {
		left -= node + len(name)
		for _, v := range values {
			left -= node + len(v)
		}
	}
	if left < 0 {
		return authz.Question{}
	}
	return q
}

// node is about how many bytes a JSON value takes in addition to its text.
const node = 64

// weigh subtracts the size of v from left, and stops when nothing is left.
func weigh(v any, left *int) {
	if *left -= node; *left < 0 {
		return
	}
	switch v := v.(type) {
	case string:
		*left -= len(v)
	case json.Number:
		*left -= len(v)
	case []any:
		for _, x := range v {
			weigh(x, left)
		}
	case map[string]any:
		for name, x := range v {
			*left -= len(name)
			weigh(x, left)
		}
	}
}

// Recent lists the kept decisions, the oldest first.
func (r *Ring) Recent() []explain.Explanation {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append(append([]explain.Explanation{}, r.kept[r.next:]...), r.kept[:r.next]...)
}

// Find returns the decision with that id and what it was about, if it is still kept.
func (r *Ring) Find(id string) (explain.Explanation, authz.Question, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, e := range r.kept {
		if e.DecisionID == id {
			return e, r.asked[i], true
		}
	}
	return explain.Explanation{}, authz.Question{}, false
}

// Follow lists the kept decisions and passes on new ones until stop is called.
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
