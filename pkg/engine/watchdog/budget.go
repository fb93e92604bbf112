package watchdog

import (
	"sync"
	"time"
)

// patience is how many times its limit an evaluation may take by the clock on the wall, on a
// machine that is slow.
const patience = 20

// budget measures how much of the processor evaluations have had. A policy is timed out for
// what it does. The clock on the wall is no measure of that: it runs on while an evaluation
// waits for a core, because the machine is slow, a quota stops it, or many share it.
//
// Go does not say what one goroutine uses. So the budget takes what the process uses, and
// shares it evenly among the evaluations that run, but never faster than the wall.
type budget struct {
	read func() (cpu, wall time.Duration) // both since some fixed time

	mu        sync.Mutex
	running   int           // evaluations, including those that were given up and still run
	cpu, wall time.Duration // when share was last brought up to date
	share     time.Duration // what one evaluation would have had that has run all along
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

// since returns how much of the processor an evaluation has had since it began at a share.
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

// clocks returns a function that reads how much of the processor the process has used, and
// the time on the wall.
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
