package rego

import (
	"sync"
	"time"
)

// patience is how much longer by the clock on the wall than its limit an evaluation may
// take on a machine that is slow.
const patience = 20

// budget tells how much of the processor evaluations have had. A policy is timed out for
// what it does: on a machine that is slow, that a quota stops, or that many evaluations
// share, the clock on the wall runs on while an evaluation waits for a core.
//
// Go does not tell what one goroutine uses. So the budget counts what the process uses,
// shared evenly among the evaluations that run, and never faster than the wall.
type budget struct {
	read func() (cpu, wall time.Duration) // both since some fixed time

	mu        sync.Mutex
	running   int           // evaluations, also those that were given up and still run
	cpu, wall time.Duration // when share was last brought up to date
	share     time.Duration // that one evaluation would have had which has run all along
}

func newBudget(read func() (cpu, wall time.Duration)) *budget {
	b := &budget{read: read}
	b.cpu, b.wall = read()
	return b
}

// begin counts one more evaluation and returns what share is now.
func (b *budget) begin() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.update()
	b.running++
	return b.share
}

// end counts one evaluation less.
func (b *budget) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.update()
	b.running--
}

// since returns how much of the processor an evaluation has had that began at a share.
func (b *budget) since(begin time.Duration) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.update()
	return b.share - begin
}

func (b *budget) update() {
	cpu, wall := b.read()
	b.share += max(0, min((cpu-b.cpu)/time.Duration(max(1, b.running)), wall-b.wall))
	b.cpu, b.wall = cpu, wall
}

// clocks returns how much of the processor the process has used, and the time on the wall.
func clocks() func() (cpu, wall time.Duration) {
	start := time.Now()
	return func() (cpu, wall time.Duration) {
		wall = time.Since(start)
		used, known := processorTime()
		if !known {
			used = wall * patience // so that the wall decides
		}
		return used, wall
	}
}
