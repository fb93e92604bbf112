package watchdog

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/request"
)

// fakeClocks shows a processor that gives this process rate of every second.
func fakeClocks(rate *float64) func() (cpu, wall time.Duration) {
	last := time.Now()
	var cpu, wall time.Duration
	return func() (time.Duration, time.Duration) {
		passed := time.Since(last) // clock: in a synctest bubble, whose clock is fake
		last = time.Now()
		wall += passed
		cpu += time.Duration(float64(passed) * *rate)
		return cpu, wall
	}
}

// An evaluation is timed out for what it does, not for a machine that stands still or that
// others share. Beside each that is spared stands the one that is not.
func TestTimedOutForWhatItDoes(t *testing.T) {
	const limit = 100 * time.Millisecond
	for name, x := range map[string]struct {
		rate   float64       // cores that the process gets
		others int           // that evaluate beside it
		takes  time.Duration // on the wall
		longer int
		out    bool
	}{
		"a quick one":                              {rate: 1, takes: 90 * time.Millisecond},
		"a slow one":                               {rate: 1, takes: 110 * time.Millisecond, out: true},
		"a tenth of a core":                        {rate: 0.1, takes: 900 * time.Millisecond},
		"a tenth of a core, too slow":              {rate: 0.1, takes: 1100 * time.Millisecond, out: true},
		"two cores that eight share":               {rate: 2, others: 7, takes: 390 * time.Millisecond},
		"two cores that eight share, too slow":     {rate: 2, others: 7, takes: 410 * time.Millisecond, out: true},
		"two cores, one of which another uses":     {rate: 2, takes: 90 * time.Millisecond},
		"two cores, too slow on its own":           {rate: 2, takes: 110 * time.Millisecond, out: true},
		"a machine that stands still":              {rate: 0, takes: 1900 * time.Millisecond},
		"a machine that stands still for too long": {rate: 0, takes: 2100 * time.Millisecond, out: true},
		"one that waits, where the wall decides":   {rate: 0, longer: 1, takes: 110 * time.Millisecond, out: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := New(limit, 16)
				w.budget = newBudget(fakeClocks(&x.rate))
				if x.longer > 0 {
					w.longer = x.longer
				}
				for range x.others {
					w.budget.begin()
				}
				got, err := Run(t.Context(), w, request.Request{Host: "a"}, func(context.Context) (int, error) {
					time.Sleep(x.takes) // clock: in a synctest bubble, whose clock is fake
					return 1, nil
				})
				if x.out && (!errors.Is(err, policy.ErrTimeout) || got != 0) || !x.out && (err != nil || got != 1) {
					t.Errorf("%d, %v", got, err)
				}
				time.Sleep(time.Minute) // clock: in a synctest bubble, whose clock is fake
				synctest.Wait()
				if w.total.Load() != 0 || len(w.abandoned) != 0 {
					t.Errorf("%d evaluations are still counted", w.total.Load())
				}
			})
		})
	}
}

// Evaluations that were given up are counted by place; only a full place refuses, until
// there are too many in total.
func TestPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(time.Millisecond, 32) // clock: in a synctest bubble, whose clock is fake
		// 32 evaluations may be given up, two of them at one place.
		rate := 1.0
		w.budget = newBudget(fakeClocks(&rate))
		run := func(route string, rules ...int) error {
			_, err := Run(t.Context(), w, request.Request{Host: route}, func(ctx context.Context) (int, error) {
				for _, r := range rules {
					if !Enter(ctx, r) {
						return 0, errors.New("the place is full")
					}
				}
				if len(rules) > 0 && rules[len(rules)-1] == 7 { // the hostile rule
					time.Sleep(time.Hour) // clock: in a synctest bubble, whose clock is fake
				}
				return 1, nil
			})
			return err
		}
		for range 2 {
			if err := run("/a", 1, 7); !errors.Is(err, policy.ErrTimeout) || errors.Is(err, ErrSaturated) {
				t.Fatalf("a hostile one: %v", err)
			}
		}
		if err := run("/a", 1, 7); !errors.Is(err, ErrSaturated) || !errors.Is(err, policy.ErrTimeout) {
			t.Errorf("the third: %v", err)
		}
		if err := run("/a", 7); !errors.Is(err, ErrSaturated) {
			t.Errorf("a harmless one at the same place cannot be told apart: %v", err)
		}
		for _, x := range [][]int{{}, {1}, {1, 2}} {
			if err := run("/a", x...); err != nil {
				t.Errorf("rules %v of the same route: %v", x, err)
			}
		}
		for n := range 7 { // the same rule elsewhere has room of its own
			for range 2 {
				if err := run(string(rune('b'+n)), 7); !errors.Is(err, policy.ErrTimeout) ||
					errors.Is(err, ErrSaturated) {
					t.Fatalf("route %d: %v", n, err)
				}
			}
		}
		if err := run("/new", 7); !errors.Is(err, ErrSaturated) { // there are as many routes as a sender likes
			t.Errorf("more than half of all by one rule: %v", err)
		}
		if err := run("/new", 1, 2); err != nil {
			t.Errorf("another rule on a new route: %v", err)
		}
		time.Sleep(2 * time.Hour) // clock: in a synctest bubble, whose clock is fake
		synctest.Wait()
		err := run("/a", 1, 2)
		synctest.Wait()
		if err != nil || len(w.abandoned)+len(w.byRule) != 0 {
			t.Errorf("after they have ended: %v, %v, %v", err, w.abandoned, w.byRule)
		}
	})
}

// An attacker who finds a few expensive rules, and writes as many routes as they like, leaves
// room for the rules that they did not find. All together are still bounded.
func TestManyHostileRules(t *testing.T) {
	for _, hostile := range []int{1, 2, 3, 4, 5} {
		w := New(time.Millisecond, 64) // clock: nothing is evaluated
		give := func(rule int) (given int) {
			for route := range 1000 {
				if p := (place{rule, string(rune(route))}); !w.full(p) {
					w.count(p, 1)
					given++
				}
			}
			return given
		}
		for rule := range hostile {
			give(rule)
		}
		if w.full(place{hostile, "/"}) || w.full(place{before, "/"}) {
			t.Errorf("%d hostile rules stop the others: %v", hostile, w.byRule)
		}
		if given := give(hostile); given == 0 || w.total.Load() > w.most {
			t.Errorf("after %d hostile rules: %d more, %d of %d in all", hostile, given, w.total.Load(), w.most)
		}
	}
	w := New(time.Millisecond, 4) // clock: nothing is evaluated
	for rule := range 100 {
		if p := (place{rule, "/"}); !w.full(p) {
			w.count(p, 1)
		}
	}
	if w.total.Load() != w.most || !w.full(place{before, "/"}) {
		t.Errorf("%d of %d", w.total.Load(), w.most)
	}
}
