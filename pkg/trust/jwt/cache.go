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

// refusedSize and refusedFor bound what is remembered of refusals: enough that a
// flood of one bad token costs next to nothing, and too little for a mistake to last.
const (
	refusedSize = 4_096
	refusedFor  = 10 * time.Second
)

// digest names a token in the cache by its exact bytes. A verified token has one
// spelling only.
type digest [sha256.Size]byte

// verified is a token whose signature and claims have been found good under one
// generation of its issuer's keys. Its times are judged anew each time.
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
	issuer     *issuer // nil where the token did not come to one
	generation uint64
}

// cache remembers the outcome of what is costly about a token, and nothing that
// depends on the time. The two kinds are kept apart, so that a flood of bad tokens
// drives no good one out. It serves many goroutines.
type cache struct {
	mu       sync.Mutex
	last     token.Serial // Of is zero where nothing random was to be had: nothing is numbered
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

// name returns the digest of a token. It is zero without a cache, where nobody needs it.
func (c *cache) name(raw string) digest {
	if c == nil {
		return digest{}
	}
	return sha256.Sum256(view(raw))
}

// find returns what is remembered of a token under the keys that its issuer has now.
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

// keep remembers v and numbers its token. It is called before anybody else sees v.
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

// refuse remembers err unless it may be another one the next second: when a key is not
// known yet, or when we could not tell.
func (c *cache) refuse(d digest, err *token.Error, i *issuer, generation uint64, now time.Time) {
	if c == nil || err.OwnFault() || err.Code == token.UnknownKey {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused.Add(d, refusal{err: err, until: now.Add(refusedFor), issuer: i, generation: generation})
}
