package wait

import (
	"slices"
	"sync"
	"time"
)

// Clock is a clock that moves only when a test says so. Make it with [NewClock].
type Clock struct {
	mu     sync.Mutex
	now    time.Time
	alarms []alarm
}

type alarm struct {
	at  time.Time
	out chan time.Time
}

// NewClock makes a clock that shows the present time and stands still.
func NewClock() *Clock { return &Clock{now: time.Now().Round(0)} }

// Now returns the time that the clock shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// After does what [time.After] does, by this clock.
func (c *Clock) After(d time.Duration) <-chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := alarm{c.now.Add(d), make(chan time.Time, 1)}
	if d <= 0 {
		a.out <- c.now
	} else {
		c.alarms = append(c.alarms, a)
	}
	return a.out
}

// Advance moves the clock forward. Code that computed a time earlier and is just about to
// call [Clock.After] may miss the move, so a test that waits for an effect should advance
// again.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	c.alarms = slices.DeleteFunc(c.alarms, func(a alarm) bool {
		if a.at.After(c.now) {
			return false
		}
		a.out <- c.now
		return true
	})
}
