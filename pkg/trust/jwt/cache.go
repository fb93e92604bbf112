package jwt

import (
	"crypto/sha256"
	"encoding/binary"
	"io"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/stepward/stepward/pkg/token"
	"github.com/stepward/stepward/pkg/trust/statuslist"
)

// DefaultCacheSize is how many verified tokens are remembered.
const DefaultCacheSize = 20_000

// refusedSize and refusedFor limit how many refusals are remembered, and for how long:
// enough that a flood of one bad token costs next to nothing, and too little for a mistake
// to last.
const (
	refusedSize = 4_096
	refusedFor  = 10 * time.Second
)

// digest names a token in the cache by its exact bytes. A verified token has only one
// spelling.
type digest [sha256.Size]byte

// verified is a token whose signature and claims were good under one generation of its
// issuer's keys. Its times are checked again on every call.
type verified struct {
	token        token.Token
	notBefore    time.Time
	issuer       *issuer
	confirmation confirmation
	list         *statuslist.Reference // nil when it names none
	generation   uint64
}

// refusal is why a token was refused, for as long as it is remembered.
type refusal struct {
	err        *token.Error
	until      time.Time
	issuer     *issuer // nil if the token did not get that far
	generation uint64
}

// cache remembers the outcome of the costly checks of a token, and nothing that depends on
// the time. It keeps good and bad tokens apart, so that a flood of bad tokens cannot push
// out good ones. It serves many goroutines.
type cache struct {
	mu       sync.Mutex
	last     token.Serial // Of is zero if no randomness was available: nothing is numbered
	verified *simplelru.LRU[digest, *verified]
	refused  *simplelru.LRU[digest, refusal]
}

// newCache remembers size verified tokens; a negative size none at all.
func newCache(size int, random io.Reader) *cache {
	if size < 0 {
		return nil
	}
	good, _ := simplelru.NewLRU[digest, *verified](size, nil) // the size is positive
	bad, _ := simplelru.NewLRU[digest, refusal](refusedSize, nil)
	c := &cache{verified: good, refused: bad}
	var of [8]byte
	if _, err := io.ReadFull(random, of[:]); err == nil {
		c.last.Of = binary.BigEndian.Uint64(of[:])
	}
	return c
}

// name returns the digest of a token. Without a cache nobody needs it, and it is zero.
func (c *cache) name(raw string) digest {
	if c == nil {
		return digest{}
	}
	return sha256.Sum256(view(raw))
}

// find returns what is remembered about a token under its issuer's current keys.
func (c *cache) find(d digest, now time.Time) (*verified, *token.Error) {
	if c == nil {
		return nil, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if v, ok := c.verified.Get(d); ok {
		if v.generation == v.issuer.Keys.Generation() {
			return v, nil
		}
		c.verified.Remove(d)
	}
	if r, ok := c.refused.Get(d); ok {
		if now.Before(r.until) && (r.issuer == nil || r.generation == r.issuer.Keys.Generation()) {
			return nil, r.err
		}
		c.refused.Remove(d)
	}
	return nil, nil
}

// keep remembers v and numbers its token. It must be called before anyone sees v.
func (c *cache) keep(d digest, v *verified) {
	if c == nil || v.generation == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last.Of != 0 {
		c.last.N++
		v.token.Serial = c.last
	}
	c.verified.Add(d, v)
}

// refuse remembers err unless the next try could turn out differently: because a key is not
// known yet, or because we could not tell.
func (c *cache) refuse(d digest, err *token.Error, i *issuer, generation uint64, now time.Time) {
	if c == nil || err.OwnFault() || err.Code == token.UnknownKey {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused.Add(d, refusal{err: err, until: now.Add(refusedFor), issuer: i, generation: generation})
}
