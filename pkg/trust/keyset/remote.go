package keyset

import (
	"context"
	"crypto/rand"
	"errors"
	"hash/maphash"
	"io"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/stepward/stepward/pkg/trust/outbound"
)

// Bounds say how often keys are fetched, and how long they are trusted. A zero field means
// the default.
type Bounds struct {
	RefreshMin   time.Duration // even if Cache-Control says less; default 1m
	RefreshMax   time.Duration // even if it says more; default 1h
	Cooldown     time.Duration // between fetches that unknown keys cause; default 10s
	RemovedAfter time.Duration // how long a withdrawn key may still be trusted; default 5m
	StaleIfError time.Duration // how long keys are trusted while they cannot be fetched again; default 24h
	Waiters      int           // requests that wait for a fetch at once; default 128
}

// WithDefaults returns b with every default in place.
func (b Bounds) WithDefaults() Bounds {
	for field, value := range map[*time.Duration]time.Duration{
		&b.RefreshMin: time.Minute, &b.RefreshMax: time.Hour, &b.Cooldown: 10 * time.Second,
		&b.RemovedAfter: 5 * time.Minute, &b.StaleIfError: 24 * time.Hour,
	} {
		if *field == 0 {
			*field = value
		}
	}
	if b.Waiters == 0 {
		b.Waiters = 128
	}
	return b
}

// remembered is how many names of unknown keys are kept, for wanted and absent keys each.
const remembered = 1024

// RemoteConfig says where keys come from.
type RemoteConfig struct {
	Issuer    string           // iss; discovery starts there when JWKSURI is empty
	JWKSURI   string           // https, or http on loopback
	Client    *outbound.Client // required
	Bounds    Bounds
	CacheFile string // keeps the last good set across restarts; empty keeps none
	// Now and After are the clock; nil means the real one.
	Now   func() time.Time
	After func(time.Duration) <-chan time.Time
	Rand  io.Reader // spreads fetches of many replicas; nil means crypto/rand
	// OnFetch, if set, is called by Run with each fetch. It must not block.
	OnFetch func(Fetch)
}

// Fetch holds the result of one fetch.
type Fetch struct {
	Err      error // nil when the keys are good
	CacheErr error // nil unless the good keys could not be kept in CacheFile
	// FromCache is set when the keys come from CacheFile, because Err kept them from being
	// fetched.
	FromCache bool
}

// Remote is an issuer's key set, fetched over HTTP. Make it with [NewRemote] and keep it
// fresh with [Remote.Run]. It serves many goroutines. Reading a known key takes no lock and
// waits for nothing.
type Remote struct {
	c       RemoteConfig
	seed    maphash.Seed
	current atomic.Pointer[loaded]
	waiting atomic.Int64
	kick    chan struct{} // tells Run that due may be sooner

	mu     sync.Mutex
	flight *flight   // under way
	next   *flight   // for callers who came after flight began
	due    time.Time // when next must begin because of a key; zero if it need not
	rest   time.Time // no key causes a fetch before this
	// names that recent fetches did not find, and how long we believe that
	absent *simplelru.LRU[uint64, time.Time]
	status Status   // of the last fetch
	known  struct { // what discovery found; only Run uses it
		Metadata
		at time.Time
	}
}

// loaded is a good set, and when it was fetched.
type loaded struct {
	set        Set
	skipped    []Skipped
	at         time.Time
	generation uint64
	text       []byte // as it was fetched; nil when it came from a file
}

// flight is one fetch. Its fields are read after done is closed; wanted is read under the
// lock of the Remote.
type flight struct {
	done   chan struct{}
	err    error
	wanted map[uint64]bool // names that were asked for before it began
}

// NewRemote makes the key set of c. It has no keys until Run has fetched them.
func NewRemote(c RemoteConfig) *Remote {
	c.Bounds = c.Bounds.WithDefaults()
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.After == nil {
		c.After = time.After
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.OnFetch == nil {
		c.OnFetch = func(Fetch) {}
	}
	absent, _ := simplelru.NewLRU[uint64, time.Time](remembered, nil) // the size is positive
	return &Remote{c: c, seed: maphash.MakeSeed(), kick: make(chan struct{}, 1), absent: absent}
}

// Loaded reports whether there have ever been keys.
func (r *Remote) Loaded() bool { return r.current.Load() != nil }

// usable returns the keys, unless there have never been any or they have been impossible to
// refresh for too long.
func (r *Remote) usable() *loaded {
	l := r.current.Load()
	if l == nil || r.c.Now().Sub(l.at) > r.c.Bounds.StaleIfError {
		return nil
	}
	return l
}

// Generation changes after every change of the keys. It is 0 while there are no keys to
// trust, and nothing may be remembered then.
func (r *Remote) Generation() uint64 {
	if l := r.usable(); l != nil {
		return l.generation
	}
	return 0
}

// Key returns the key named kid; see [Set.Find].
//
// A known key is returned at once, whatever goes on in the background. For an unknown key
// we ask the issuer, at most once per cooldown for all such keys together, and Key waits
// for the answer until shortly before ctx's deadline. The error is [ErrUnknownKey] only
// after a fetch that is newer than the call, or for a name that we asked for a moment ago.
// In every other case it is [ErrUnavailable]: the key may well exist by now.
func (r *Remote) Key(ctx context.Context, kid, algorithm string) (Key, error) {
	l := r.usable()
	if l == nil {
		return Key{}, ErrUnavailable
	}
	k, err := l.set.Find(kid, algorithm)
	if err == nil {
		return k, nil
	}
	ctx, cancel := outbound.Sooner(ctx)
	defer cancel()
	name := r.name(kid, algorithm)
	for {
		f, err := r.join(name)
		if err != nil {
			return Key{}, err
		}
		if err := r.wait(ctx, f); err != nil {
			return Key{}, err
		}
		if l = r.usable(); l == nil {
			return Key{}, ErrUnavailable
		}
		if k, err := l.set.Find(kid, algorithm); err == nil {
			return k, nil
		}
	}
}

// Doubt says that a signature did not fit the key named kid: another key may have replaced
// it under the same name. Keys are fetched again, within the same bounds as for an unknown
// key; nobody waits for it.
func (r *Remote) Doubt(kid string) { r.join(maphash.String(r.seed, "\x01"+kid)) }

// name stands for an unknown key. Without a kid the algorithm identifies it.
func (r *Remote) name(kid, algorithm string) uint64 {
	if kid != "" {
		algorithm = ""
	}
	return maphash.String(r.seed, algorithm+"\x00"+kid)
}

// join returns the fetch that will tell whether there is such a key. If no fetch is allowed
// yet, it returns an error, and a fetch is made as soon as one is.
func (r *Remote) join(name uint64) (*flight, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.c.Now()
	if until, there := r.absent.Get(name); there && now.Before(until) {
		return nil, ErrUnknownKey
	}
	if r.next == nil {
		r.next = &flight{done: make(chan struct{}), wanted: map[uint64]bool{}}
	}
	if len(r.next.wanted) < remembered {
		r.next.wanted[name] = true
	}
	if r.due.IsZero() {
		if r.due = now; r.rest.After(now) {
			r.due = r.rest
		}
		select {
		case r.kick <- struct{}{}:
		default: // Run has not taken the last one yet, and will see due
		}
	}
	switch {
	case r.flight != nil:
		return r.flight, nil
	case now.Before(r.rest):
		return nil, ErrUnavailable
	}
	return r.next, nil
}

// wait returns when f is done. The error is ErrUnavailable if f was not in time or failed.
func (r *Remote) wait(ctx context.Context, f *flight) error {
	defer r.waiting.Add(-1)
	if r.waiting.Add(1) > int64(r.c.Bounds.Waiters) {
		return ErrUnavailable
	}
	select {
	case <-f.done:
	case <-ctx.Done():
		return ErrUnavailable
	}
	if f.err != nil {
		return ErrUnavailable
	}
	return nil
}

// begin makes the next fetch the current one. From now on a caller may ask for a key that
// this fetch does not see.
func (r *Remote) begin() *flight {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.next
	if f == nil {
		f = &flight{done: make(chan struct{})}
	}
	r.flight, r.next, r.due = f, nil, time.Time{}
	return f
}

// end installs the result of a fetch, and wakes its waiters.
func (r *Remote) end(f *flight, found *loaded, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.c.Now()
	until := now.Add(r.c.Bounds.Cooldown)
	if len(f.wanted) > 0 {
		r.rest = until
	}
	if f.err = err; err == nil {
		for name := range f.wanted {
			r.absent.Add(name, until)
		}
		r.replace(found, until)
	}
	if r.next != nil && len(r.next.wanted) == 0 {
		r.next, r.due = nil, time.Time{} // everything requested meanwhile is here
	}
	if r.next != nil && r.due.Before(r.rest) {
		r.due = r.rest
	}
	r.flight = nil
	close(f.done)
}

// replace trusts the keys of found and no others. It remembers names that are gone, and
// forgets that names in found were missing.
func (r *Remote) replace(found *loaded, until time.Time) {
	found.generation = 1
	if was := r.current.Load(); was != nil {
		found.generation = was.generation
		if !reflect.DeepEqual(was.set.keys, found.set.keys) {
			found.generation++
		}
		for kid := range was.set.named {
			r.absent.Add(r.name(kid, ""), until)
		}
	}
	r.current.Store(found)
	for kid := range found.set.named {
		name := r.name(kid, "")
		r.absent.Remove(name)
		if r.next != nil {
			delete(r.next.wanted, name)
		}
	}
}

// errNoKeys is the error before the first fetch.
var errNoKeys = errors.New("keyset: not fetched yet")
