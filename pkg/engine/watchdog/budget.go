package watchdog

import (
	"sync"
	"time"
)

// patience is how many times its limit an evaluation may take in wall-clock time on a slow
// machine.
const patience = 20

// budget measures how much processor time evaluations have used. A policy should time out
// because of what it does. The wall clock does not measure that: it runs on while an
// evaluation waits for a core, because the machine is slow, a quota stops it, or many share
// it.
//
// Go does not report what one goroutine uses. So the budget divides the time that the
// process uses evenly among the running evaluations, but never runs faster than the wall
// clock.
type budget struct {
	read func() (cpu, wall time.Duration) // both since some fixed time

	mu        sync.Mutex
	running   int           // evaluations, including those that were given up but still run
	cpu, wall time.Duration // when share was last brought up to date
	share     time.Duration // what an evaluation would have used that ran from the start
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

// end counts one evaluation fewer.
func (b *budget) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.update()
	b.running--
}

// since returns how much processor time an evaluation has used since it began at a share.
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

// clocks returns a function that reads the processor time that the process has used, and
// the wall-clock time.
func clocks() func() (cpu, wall time.Duration) {
	start := time.Now()
	return func() (cpu, wall time.Duration) {
		wall = time.Since(start)
		used, known := processorTime()
		if !known {
			used = wall * patience // so that the wall clock decides
		}
		return used, wall
	}
}
