// Package revocation remembers what was revoked before it expired: single tokens, sessions,
// and all tokens of a subject up to a moment. Code that learns of a logout or a compromise
// tells an [Index], and every request is checked against it.
//
// The index belongs to this process: it is neither shared between replicas nor kept across
// restarts. To revoke something everywhere, tell every replica, or look it up at the issuer
// (introspection, status lists).
package revocation

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stepward/stepward/pkg/token"
)

// DefaultLimit is how many entries an index holds.
const DefaultLimit = 100_000

// DefaultFor is how long an entry is held if it does not say how long: longer than any
// access token should live.
const DefaultFor = 24 * time.Hour

// ErrFull means that the index is full of entries still in force. The new entry was not
// accepted, and no other was dropped for it.
var ErrFull = errors.New("revocation: the index is full")

// Entry says what is revoked: the issuer's tokens with this jti, of this session, or of
// this subject if issued up to Before. Exactly one of JTI, SID and Subject is set.
type Entry struct {
	Issuer  string    `json:"issuer"` // iss
	JTI     string    `json:"jti,omitempty"`
	SID     string    `json:"sid,omitempty"`
	Subject string    `json:"sub,omitempty"`
	Before  time.Time `json:"before,omitzero"` // of a Subject; zero means the time of the call
	Until   time.Time `json:"until,omitzero"`  // when the entry is dropped; zero means DefaultFor after the call
}

type kind uint8

const (
	jti kind = iota
	sid
	subject
)

// name is the key of a lookup.
type name struct {
	issuer, value string
	kind          kind
}

// Index remembers revocations. Readers take no lock. It serves many goroutines.
type Index struct {
	limit int
	now   func() time.Time
	size  atomic.Int64
	held  sync.Map // of name to Entry

	mu sync.Mutex // of writers
}

// New makes an index of at most limit entries; 0 means DefaultLimit. A nil now means
// time.Now.
func New(limit int, now func() time.Time) *Index {
	if limit == 0 {
		limit = DefaultLimit
	}
	if now == nil {
		now = time.Now
	}
	return &Index{limit: limit, now: now}
}

// Revoke adds e to the index, and returns the entry as added. Of two entries for the same
// thing, the one that revokes more stays. The error is [ErrFull], or says what is wrong
// with e.
func (x *Index) Revoke(e Entry) (Entry, error) {
	n, err := nameOf(e)
	if err != nil {
		return Entry{}, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	now := x.now()
	if e.Subject != "" && e.Before.IsZero() {
		e.Before = now
	}
	if e.Until.IsZero() {
		e.Until = now.Add(DefaultFor)
	}
	if !e.Until.After(now) {
		return Entry{}, errors.New("revocation: an entry that is over already")
	}
	if was, there := x.held.Load(n); there {
		e.Before, e.Until = latest(e.Before, was.(Entry).Before), latest(e.Until, was.(Entry).Until)
		x.held.Store(n, e)
		return e, nil
	}
	if x.size.Load() >= int64(x.limit) && x.purge(now) == 0 {
		return Entry{}, fmt.Errorf("%w: %d entries", ErrFull, x.limit)
	}
	x.held.Store(n, e)
	x.size.Add(1)
	return e, nil
}

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

func nameOf(e Entry) (name, error) {
	var names []name
	for k, value := range []string{jti: e.JTI, sid: e.SID, subject: e.Subject} {
		if value != "" {
			names = append(names, name{e.Issuer, value, kind(k)})
		}
	}
	switch {
	case e.Issuer == "":
		return name{}, errors.New("revocation: no issuer")
	case len(names) != 1:
		return name{}, errors.New("revocation: an entry is for one of jti, sid and sub")
	case len(names[0].value) > 1024 || len(e.Issuer) > 1024:
		return name{}, errors.New("revocation: longer than 1024 bytes")
	case !e.Before.IsZero() && e.Subject == "":
		return name{}, errors.New("revocation: before goes with sub")
	}
	return names[0], nil
}

// purge drops entries that are over, and returns how many.
func (x *Index) purge(now time.Time) (gone int) {
	x.held.Range(func(n, e any) bool {
		if !e.(Entry).Until.After(now) {
			x.held.Delete(n)
			x.size.Add(-1)
			gone++
		}
		return true
	})
	return gone
}

// Revoked reports whether t has been revoked. A token that does not say when it was
// issued counts as older than everything.
func (x *Index) Revoked(t token.Token) bool {
	if x == nil || x.size.Load() == 0 {
		return false
	}
	if id, _ := t.Claims["jti"].(string); x.holds(name{t.Issuer, id, jti}, time.Time{}) {
		return true
	}
	if id, _ := t.Claims["sid"].(string); x.holds(name{t.Issuer, id, sid}, time.Time{}) {
		return true
	}
	return x.holds(name{t.Issuer, t.Subject, subject}, t.IssuedAt)
}

// holds reports an entry in force for a token that was issued at a time.
func (x *Index) holds(n name, issued time.Time) bool {
	if n.value == "" {
		return false
	}
	v, there := x.held.Load(n)
	if !there {
		return false
	}
	e := v.(Entry)
	return e.Until.After(x.now()) && (n.kind != subject || !issued.After(e.Before))
}

// Len returns how many entries are held. Entries that are over are among them until room
// is needed.
func (x *Index) Len() int { return int(x.size.Load()) }

// Entries lists the entries in force, in the order in which they end.
func (x *Index) Entries() []Entry {
	list := []Entry{}
	now := x.now()
	x.held.Range(func(_, e any) bool {
		if e := e.(Entry); e.Until.After(now) {
			list = append(list, e)
		}
		return true
	})
	slices.SortFunc(list, func(a, b Entry) int {
		return cmp.Or(a.Until.Compare(b.Until), cmp.Compare(a.JTI+a.SID+a.Subject, b.JTI+b.SID+b.Subject))
	})
	return list
}
