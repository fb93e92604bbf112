package authz

import "sync/atomic"

// Gate admits calls up to a limit. A call that is not admitted is refused at once. If it
// waited, its answer would come after the proxy has stopped listening, at the full cost of
// a useful one.
//
// A Gate outlives the authorizers that share it, and serves many goroutines. A nil
// Gate admits everything.
type Gate struct {
	limit    atomic.Int64
	inFlight atomic.Int64
	answered atomic.Uint64
}

// NewGate admits up to limit calls at once.
func NewGate(limit int) *Gate {
	g := &Gate{}
	g.SetLimit(limit)
	return g
}

// SetLimit admits up to limit calls from now on; calls already inside stay.
func (g *Gate) SetLimit(limit int) { g.limit.Store(int64(limit)) }

// enter reports whether a call is admitted. An admitted call must leave.
func (g *Gate) enter() bool {
	if g == nil {
		return true
	}
	if g.inFlight.Add(1) > g.limit.Load() {
		g.inFlight.Add(-1)
		return false
	}
	return true
}

func (g *Gate) leave() {
	if g != nil {
		g.inFlight.Add(-1)
		g.answered.Add(1)
	}
}

// Load returns how many calls are under way, and how many have been answered so far.
func (g *Gate) Load() (inFlight int64, answered uint64) {
	return g.inFlight.Load(), g.answered.Load()
}
