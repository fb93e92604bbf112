package jwt

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"sync"
	"time"
)

// MemoryReplays remembers proofs in this process; other replicas do not know them. It holds
// two generations, each for as long as a proof must be remembered. When it is full it
// refuses: otherwise an attacker could flush old proofs by filling it.
//
// It uses the wall clock, because proofs are dated by it. If the clock is set back, an old
// proof becomes valid again when the clock reaches its time once more. So nothing is
// forgotten until then.
type MemoryReplays struct {
	now  func() time.Time
	size int

	mu       sync.Mutex
	keep     time.Duration // the longest keep so far
	since    time.Time     // every use from this time on is remembered
	began    time.Time     // of the newer generation
	last     time.Time     // the latest time at which a proof was used
	new, old map[[sha256.Size]byte]struct{}
}

// DefaultReplays is how many proofs are remembered in a generation.
const DefaultReplays = 200_000

// errReplaysFull means that more proofs were presented than we can remember.
var errReplaysFull = errors.New("jwt: too many DPoP proofs to remember; if the clock was set back by hours, restart")

// NewMemoryReplays makes a memory that holds size proofs in a generation, from now on.
func NewMemoryReplays(size int, now func() time.Time) *MemoryReplays {
	at := now().Round(0) // without the monotonic clock: only the wall clock can be set back
	return &MemoryReplays{now: now, size: size, since: at, began: at, new: map[[sha256.Size]byte]struct{}{}}
}

// Since implements [Replays].
func (m *MemoryReplays) Since() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.since
}

// First implements [Replays]. If keep shrinks, as after a reload with a shorter window, the
// longer one stays in force. If it grows, Since shows what was forgotten before.
func (m *MemoryReplays) First(_ context.Context, key [sha256.Size]byte, keep time.Duration) (bool, error) {
	now := m.now().Round(0)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keep = max(m.keep, keep)
	switch age := now.Sub(m.began); {
	case age >= 2*m.keep:
		if m.last.After(m.since) {
			m.since = m.last
		}
		m.began, m.new, m.old = now, map[[sha256.Size]byte]struct{}{}, nil
	case age >= m.keep:
		if m.old != nil {
			m.since = m.began
		}
		m.began, m.new, m.old = now, map[[sha256.Size]byte]struct{}{}, m.new
	}
	_, before := m.new[key]
	_, longBefore := m.old[key]
	if before || longBefore {
		return false, nil
	}
	if len(m.new) >= m.size {
		return false, errReplaysFull
	}
	m.new[key] = struct{}{}
	if now.After(m.last) {
		m.last = now
	}
	return true, nil
}

// NonceLifetime is how long a nonce may be used.
const NonceLifetime = 5 * time.Minute

// Nonces makes nonces that every replica with the same keys accepts, without remembering
// any: a nonce is the time and a MAC over it (RFC 9449 §8, §9).
type Nonces struct{ keys [][]byte }

// NewNonces returns Nonces that are made with the first of the keys and accepted with any
// of them.
func NewNonces(keys [][]byte) (*Nonces, error) {
	for _, k := range keys {
		if len(k) != 32 {
			return nil, errors.New("jwt: a nonce key is not of 32 bytes")
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("jwt: no nonce key")
	}
	return &Nonces{keys: keys}, nil
}

// Issue makes a nonce for the time now.
func (n *Nonces) Issue(now time.Time) string {
	at := binary.BigEndian.AppendUint64(nil, uint64(now.UnixMilli()))
	return base64.RawURLEncoding.EncodeToString(append(at, mac(n.keys[0], at)...))
}

// Valid reports whether s was made by one of the keys, is not too old, and was not made
// before since.
func (n *Nonces) Valid(s string, since, now time.Time) bool {
	at, ok := n.issued(s)
	return ok && !at.After(now.Add(NonceLifetime/10)) && now.Sub(at) <= NonceLifetime &&
		!at.Before(since.Truncate(time.Millisecond))
}

func (n *Nonces) issued(s string) (time.Time, bool) {
	b, err := strict.DecodeString(s)
	if err != nil || len(b) != 8+16 {
		return time.Time{}, false
	}
	for _, k := range n.keys {
		if hmac.Equal(mac(k, b[:8]), b[8:]) {
			return time.UnixMilli(int64(binary.BigEndian.Uint64(b))), true
		}
	}
	return time.Time{}, false
}

func mac(key, text []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(text)
	return h.Sum(nil)[:16]
}
