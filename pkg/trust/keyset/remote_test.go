package keyset_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stepward/stepward/pkg/internal/testidp"
	"github.com/stepward/stepward/pkg/internal/wait"
	"github.com/stepward/stepward/pkg/trust/keyset"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// store is a remote set under test.
type store struct {
	*keyset.Remote
	idp     *testidp.IDP
	fetched chan keyset.Fetch
	stop    func()
}

// open runs the remote set of a provider. What c leaves out is that of a test: no
// pause of more than a second.
func open(t *testing.T, idp *testidp.IDP, c keyset.RemoteConfig) *store {
	t.Helper()
	s := &store{idp: idp, fetched: make(chan keyset.Fetch, 10_000)}
	if c.Issuer == "" {
		c.Issuer = idp.URL
	}
	if c.Client == nil {
		c.Client = idp.Client()
	}
	c.OnFetch = func(f keyset.Fetch) { s.fetched <- f }
	s.Remote = keyset.NewRemote(c)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { s.Run(ctx); close(done) }()
	s.stop = func() { cancel(); <-done; c.Client.Close() }
	t.Cleanup(s.stop)
	return s
}

// loaded opens a store and waits for the first fetch, which must be good.
func loaded(t *testing.T, idp *testidp.IDP, c keyset.RemoteConfig) *store {
	t.Helper()
	s := open(t, idp, c)
	if f := <-s.fetched; f.Err != nil {
		t.Fatal(f.Err)
	}
	return s
}

func (s *store) find(t *testing.T, kid string) error {
	t.Helper()
	_, err := s.Key(wait.Context(t), kid, "ES256")
	return err
}

// next returns the next fetch, which is due when d has passed.
func (s *store) next(t *testing.T, clock *wait.Clock, d time.Duration) (f keyset.Fetch) {
	t.Helper()
	clock.Advance(d)
	looks := 0
	wait.Until(t, "a fetch", func() bool {
		select {
		case f = <-s.fetched:
			return true
		default:
			if looks++; looks%200 == 0 { // Run was about to sleep, see [wait.Clock.Advance]
				clock.Advance(d)
			}
			return false
		}
	})
	return f
}

func expect(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: %v; want %v", what, got, want)
	}
}

// An unknown name is asked for at once, once in a cooldown for all of them, and
// answered with certainty only after a fetch that is newer than the question.
func TestUnknownKid(t *testing.T) {
	t.Parallel()
	clock := wait.NewClock()
	s := loaded(t, start(t, true), keyset.RemoteConfig{Now: clock.Now, After: clock.After})
	expect(t, "a key that is known", s.find(t, "es"), nil)
	expect(t, "the first unknown", s.find(t, "x"), keyset.ErrUnknownKey)
	before := s.idp.HitsOf("/jwks")
	for range 50 {
		expect(t, "the same again", s.find(t, "x"), keyset.ErrUnknownKey)
		expect(t, "another within the cooldown", s.find(t, "y"), keyset.ErrUnavailable)
		if t.Failed() {
			return
		}
	}
	if n := s.idp.HitsOf("/jwks"); n != before {
		t.Errorf("%d fetches within the cooldown", n-before)
	}
	<-s.fetched
	// the one for y, when the cooldown is over, without being asked again
	if f := s.next(t, clock, 10*time.Second); f.Err != nil {
		t.Error(f.Err)
	}
	expect(t, "another after it", s.find(t, "y"), keyset.ErrUnknownKey)
	if n := s.idp.HitsOf("/jwks"); n != before+1 {
		t.Errorf("%d fetches for y", n-before)
	}
	if n := s.idp.HitsOf("/.well-known/openid-configuration"); n != 1 {
		t.Errorf("%d discoveries", n)
	}
}

// A key that was asked for during the cooldown is there soon after.
func TestNewKeyInCooldown(t *testing.T) {
	t.Parallel()
	clock := wait.NewClock()
	s := loaded(t, start(t, true), keyset.RemoteConfig{Now: clock.Now, After: clock.After})
	expect(t, "unknown", s.find(t, "x"), keyset.ErrUnknownKey)
	if err := s.idp.AddKey("new"); err != nil {
		t.Fatal(err)
	}
	generation := s.Generation()
	expect(t, "within the cooldown", s.find(t, "new"), keyset.ErrUnavailable)
	<-s.fetched
	s.next(t, clock, 10*time.Second)
	expect(t, "after it", s.find(t, "new"), nil)
	if s.Generation() == generation {
		t.Error("the generation is the same")
	}
}

// Who waits for a fetch gets an answer before its deadline, and only so many wait.
func TestWaiting(t *testing.T) {
	t.Parallel()
	s := loaded(t, start(t, true), keyset.RemoteConfig{Bounds: keyset.Bounds{Waiters: 3}})
	release := make(chan struct{})
	s.idp.Fail(func(w http.ResponseWriter, r *http.Request) { <-release; w.WriteHeader(500) })
	wait.Until(t, "an answer before the deadline", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second) // clock: a busy machine may miss it, and is asked again
		defer cancel()
		_, err := s.Key(ctx, "x", "ES256")
		expect(t, "a fetch that hangs", err, keyset.ErrUnavailable)
		return ctx.Err() == nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*wait.Bound)
	defer cancel()
	ask := func(kid string) error { _, err := s.Key(ctx, kid, "ES256"); return err }
	var unavailable sync.WaitGroup
	for range 3 {
		unavailable.Go(func() { ask("y") })
	}
	wait.Until(t, "all three wait", func() bool { return s.Waiting() == 3 })
	answers := make(chan error, 2)
	go func() { answers <- ask("z"); answers <- ask("es") }()
	expect(t, "one too many", wait.For(t, "an answer to one too many", answers), keyset.ErrUnavailable)
	expect(t, "a key that is known", wait.For(t, "an answer to who waits for nothing", answers), nil)
	close(release)
	unavailable.Wait()
}

// TestFlood asks for a minute of 5,000 unknown names a second: no more than 6 fetches, none
// of them is answered with certainty before its fetch, and a new key gets through.
func TestFlood(t *testing.T) {
	t.Parallel()
	idp, clock := start(t, true), wait.NewClock()
	s := loaded(t, idp, keyset.RemoteConfig{Now: clock.Now, After: clock.After})
	before := idp.HitsOf("/jwks")
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	published, usable := 0, 0 // after how many fetches
	look := func() {
		if _, err := s.Key(gone, "fresh", "ES256"); err == nil {
			usable = idp.HitsOf("/jwks")
		} else if errors.Is(err, keyset.ErrUnknownKey) {
			t.Error("a new key was refused with certainty")
		}
	}
	var asking sync.WaitGroup
	for n := range 6000 {
		if clock.Advance(10 * time.Millisecond); n == 1500 {
			if err := idp.AddKey("fresh"); err != nil {
				t.Fatal(err)
			}
			published = idp.HitsOf("/jwks")
		}
		for i := range 50 {
			kid := fmt.Sprintf("%d-%d", n, i)
			if i == 0 { // most are answered at once; those that wait do so beside
				asking.Go(func() { s.find(t, kid) })
				continue
			}
			s.Key(gone, kid, "ES256")
		}
		expect(t, "a key that is known", s.find(t, "es"), nil)
		if published > 0 && usable == 0 {
			look()
		}
	}
	asking.Wait()
	if got := idp.HitsOf("/jwks") - before; got > 6 {
		t.Errorf("%d fetches", got)
	}
	wait.Until(t, "the new key is usable", func() bool {
		if usable == 0 {
			clock.Advance(time.Second)
			look()
		}
		return usable > 0
	})
	if usable-published > 2 { // one may have been under way
		t.Errorf("a new key was usable only after %d fetches", usable-published)
	}
}

// K8: rotations under load. Nobody is refused with certainty, a new key is there
// within a cooldown, and an old one is gone within its bound.
func TestRotations(t *testing.T) {
	t.Parallel()
	idp := start(t, true)
	const cooldown = 100 * time.Millisecond
	s := loaded(t, idp, keyset.RemoteConfig{
		Bounds: keyset.Bounds{Cooldown: cooldown, RefreshMin: 200 * time.Millisecond,
			RemovedAfter: 200 * time.Millisecond}})
	var current atomic.Pointer[string]
	first := "es"
	current.Store(&first)
	ctx, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	var wrong, late, right atomic.Int64
	for range 4 {
		load.Go(func() {
			for ctx.Err() == nil {
				kid := *current.Load()
				switch err := s.find(t, kid); {
				case err == nil:
					right.Add(1)
				case errors.Is(err, keyset.ErrUnknownKey) && *current.Load() == kid:
					wrong.Add(1)
				default:
					late.Add(1)
				}
				time.Sleep(time.Millisecond) // clock: others want to run
			}
		})
	}
	rotations := 50
	if testing.Short() {
		rotations = 10
	}
	for n := range rotations {
		was, next := *current.Load(), fmt.Sprintf("es-%d", n)
		if err := idp.AddKey(next); err != nil {
			t.Fatal(err)
		}
		current.Store(&next) // signs at once with what it has just published
		wait.Until(t, "the new key is usable", func() bool { return s.find(t, next) == nil })
		idp.RemoveKey(was)
		wait.Until(t, "the old key is trusted no longer", func() bool { return s.find(t, was) != nil })
	}
	cancel()
	load.Wait()
	if wrong.Load() > 0 || right.Load() == 0 {
		t.Errorf("%d wrong refusals, %d right answers", wrong.Load(), right.Load())
	}
	t.Logf("%d right, %d asked to come back", right.Load(), late.Load())
}

// K3: the provider is gone. Inside the limit nobody notices; beyond it nobody is
// trusted, and nobody is told that it is their fault.
func TestOutage(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct{ limit, outage time.Duration }{"an hour": {2 * time.Hour, time.Hour},
		"a day": {25 * time.Hour, 24 * time.Hour}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			idp := start(t, true)
			clock := wait.NewClock()
			s := loaded(t, idp, keyset.RemoteConfig{Now: clock.Now, After: clock.After, Bounds: keyset.Bounds{
				StaleIfError: x.limit}})
			generation := s.Generation()
			idp.Close()
			if f := s.next(t, clock, 5*time.Minute); f.Err == nil {
				t.Fatal("fetched from a provider that is gone")
			}
			for passed := time.Duration(0); passed < x.outage; passed += time.Minute {
				if err := s.find(t, "es"); err != nil || s.Generation() != generation {
					t.Fatalf("after %s: %v, generation %d", passed, err, s.Generation())
				}
				clock.Advance(time.Minute)
			}
			clock.Advance(x.limit)
			expect(t, "beyond the limit", s.find(t, "es"), keyset.ErrUnavailable)
			if s.Generation() != 0 || s.Status().Usable || !s.Loaded() {
				t.Errorf("generation %d, %+v: what was verified before is still trusted", s.Generation(), s.Status())
			}
			if err := idp.Up(); err != nil {
				t.Fatal(err)
			}
			for s.next(t, clock, 30*time.Second).Err != nil {
			}
			expect(t, "when it is back", s.find(t, "es"), nil)
		})
	}
}

// K8: another key under the same name is a new key, and the old one is trusted no
// longer.
func TestSameNameOtherKey(t *testing.T) {
	t.Parallel()
	clock := wait.NewClock()
	s := loaded(t, start(t, true), keyset.RemoteConfig{Now: clock.Now, After: clock.After})
	was, err := s.Key(t.Context(), "es", "ES256")
	if err != nil {
		t.Fatal(err)
	}
	generation := s.Generation()
	if err := s.idp.AddKey("es"); err != nil {
		t.Fatal(err)
	}
	before := s.idp.HitsOf("/jwks")
	for range 100 {
		s.Doubt("es") // each signature by the new key does
	}
	wait.For(t, "a fetch", s.fetched)
	is, err := s.Key(t.Context(), "es", "ES256")
	if err != nil || fmt.Sprint(is.Public) == fmt.Sprint(was.Public) || s.Generation() == generation {
		t.Errorf("the old key is still there: %v", err)
	}
	if n := s.idp.HitsOf("/jwks") - before; n > 2 {
		t.Errorf("%d fetches", n)
	}
}
