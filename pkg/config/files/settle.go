package files

import (
	"context"
	"fmt"
	"time"
)

// Rest is how long files must stay unchanged before they are accepted.
const Rest = 250 * time.Millisecond

// Limit is how long start-up waits for files that keep changing.
const Limit = 10 * time.Second

// Terms say when files are accepted. Zero fields mean [Rest], [Limit] and the machine's own
// clock.
type Terms struct {
	Rest  time.Duration // between two looks that find the same, and since the last change
	Limit time.Duration // then [Settle] gives up, and a [Settler] complains
	Now   func() time.Time
	Sleep func(context.Context, time.Duration) error // waits, or returns when the context ends
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

// MovingError says that files keep changing.
type MovingError struct {
	Name string // of one of them
	For  time.Duration
}

// Error names a file, and gives a possible cause.
func (e *MovingError) Error() string {
	return fmt.Sprintf("%s has kept changing for %s, and files are taken once they have stopped: "+
		"is somebody still writing, or is the clock of its disk wrong?", e.Name, e.For.Round(time.Second))
}

// Settler says which look can be accepted: the second of two that found the same, if Rest
// lies between them and nothing in the second was written more recently than that. A time
// in the future says nothing about a file; then only the two looks count.
type Settler struct {
	terms    Terms
	first    *Look
	at       time.Time // end of first
	restless time.Time // when the first look that was not accepted began; zero if none
	told     bool      // the complaint that it takes too long has been made
}

// NewSettler makes a settler that has seen nothing yet.
func NewSettler(t Terms) *Settler { return &Settler{terms: t.withDefaults()} }

// Offer reports whether l, a look that began at the given time, can be accepted. If not,
// moving names a file that it waits for. Once that takes too long it returns an error, but
// only one until a look has been accepted.
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

// Due reports whether a look at this time could be accepted. An earlier one is useless.
func (s *Settler) Due(now time.Time) bool { return s.first == nil || now.Sub(s.at) >= s.terms.Rest }

// Forget starts over.
func (s *Settler) Forget() { *s = Settler{terms: s.terms} }

// Settle reads until the look can be accepted. Its error is a [MovingError] or the error of
// ctx. It does not care what read does with the files.
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

// Glance does what [Settle] does, for commands that read once and serve nothing: if the
// last change was long ago, the second look follows at once.
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
