package files

import (
	"context"
	"fmt"
	"time"
)

// Rest is how long files must not have changed before they are taken.
const Rest = 250 * time.Millisecond

// Limit is how long a start waits for files that keep changing.
const Limit = 10 * time.Second

// Terms are when files are taken. Zero fields mean [Rest], [Limit] and the machine's own
// clock.
type Terms struct {
	Rest  time.Duration // between two looks that find the same, and since the last change
	Limit time.Duration // after which [Settle] gives up, and a [Settler] complains
	Now   func() time.Time
	Sleep func(context.Context, time.Duration) error // waits, or ends with the context
}

func (t Terms) withDefaults() Terms {
	if t.Rest <= 0 {
		t.Rest = Rest
	}
	if t.Limit <= 0 {
		t.Limit = Limit
	}
	if t.Now == nil {
		t.Now = time.Now
	}
	if t.Sleep == nil {
		t.Sleep = sleep
	}
	return t
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// MovingError is of files that keep changing.
type MovingError struct {
	Name string // of one of them
	For  time.Duration
}

func (e *MovingError) Error() string {
	return fmt.Sprintf(
		"%s keeps changing, for %s by now: files are taken when they have not changed for a while; is somebody still writing, or is the clock of its disk wrong?", e.Name, e.For.Round(time.Second))
}

// Settler tells which look can be taken: the second of two that have found the same, with
// rest between them, and nothing in it that was written less than that ago. A time in the
// future says nothing about a file; it is then the two looks that count.
type Settler struct {
	terms    Terms
	first    *Look
	at       time.Time // end of first
	restless time.Time // since when nothing could be taken; zero while nothing is tried
	told     bool      // that it lasts too long
}

// NewSettler makes one that has seen nothing.
func NewSettler(t Terms) *Settler { return &Settler{terms: t.withDefaults()} }

// Offer reports whether l, which was begun at a time, can be taken. Otherwise moving is the
// name of a file that it waits for, and an error comes when that has lasted too long: once,
// until something is taken.
func (s *Settler) Offer(l *Look, begun time.Time) (taken bool, moving string, err error) {
	now := s.terms.Now()
	if s.restless.IsZero() {
		s.restless = begun
	}
	switch {
	case s.first == nil:
		s.first, s.at = l, now
	default:
		if moving = s.first.Differs(l); moving != "" {
			s.first, s.at = l, now
		} else if moving = l.since(now.Add(-s.terms.Rest), now); moving == "" && begun.Sub(s.at) >= s.terms.Rest {
			s.Forget()
			l.Seal()
			return true, "", nil
		}
	}
	if lasted := now.Sub(s.restless); lasted > s.terms.Limit && moving != "" && !s.told {
		s.told, err = true, &MovingError{Name: moving, For: lasted}
	}
	return false, moving, err
}

// Due reports whether a look at this time can be one that is taken: it is no use sooner.
func (s *Settler) Due(now time.Time) bool { return s.first == nil || now.Sub(s.at) >= s.terms.Rest }

// Forget begins anew.
func (s *Settler) Forget() { *s = Settler{terms: s.terms} }

// Settle reads until what is read can be taken. An error is a [MovingError], or that of ctx;
// what read itself comes to is its own matter.
func Settle(ctx context.Context, t Terms, read func(*Look)) (*Look, error) {
	t = t.withDefaults()
	s := NewSettler(t)
	for {
		l, begun := NewLook(), t.Now()
		read(l)
		taken, _, err := s.Offer(l, begun)
		if taken || err != nil {
			return l, err
		}
		if err := t.Sleep(ctx, t.Rest); err != nil {
			return nil, err
		}
	}
}

// Glance is [Settle] for who reads once and serves nothing: where the last change is long
// over, the second look follows at once.
func Glance(ctx context.Context, t Terms, read func(*Look)) (*Look, error) {
	t = t.withDefaults()
	first, begun := NewLook(), t.Now()
	read(first)
	second := NewLook()
	read(second)
	if now := t.Now(); first.Differs(second) == "" && second.since(begun.Add(-t.Rest), now) == "" {
		second.Seal()
		return second, nil
	}
	return Settle(ctx, t, read)
}
