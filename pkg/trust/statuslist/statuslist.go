// Package statuslist looks up tokens in the lists in which issuers mark tokens that are no
// longer good (draft-ietf-oauth-status-list). A token names a list and an index in it. The
// list is a signed JWT that holds a few bits for every token.
//
// [Lists] fetches the lists of one issuer and keeps them for as long as they say. It does
// not verify signatures itself: [Config.Verify] does.
package statuslist

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/sync/singleflight"

	"github.com/stepward/stepward/pkg/config/address"
	"github.com/stepward/stepward/pkg/trust/outbound"
)

// The errors of a lookup.
var (
	// ErrUnavailable means that no trustworthy list could be fetched. It says nothing about
	// the token.
	ErrUnavailable = errors.New("statuslist: no list")
	// ErrReference means that the token names a list that its issuer may not have, or an
	// index that the list does not have.
	ErrReference = errors.New("statuslist: a reference that leads nowhere")
)

// Type is the header typ of a list, and its media type after application/ (§5.1).
const Type = "statuslist+jwt"

const (
	maxAnswer = 4 << 20
	maxBits   = 16 << 20 // bytes of a list, decompressed: 134 million tokens of one bit
	maxLists  = 32
)

// How long a list is kept.
const (
	defaultTTL = 5 * time.Minute
	minTTL     = 10 * time.Second
	maxTTL     = time.Hour
	// graceIfError is how long a list is used beyond its ttl if it does not say when it
	// ends and cannot be fetched again.
	graceIfError = 5 * time.Minute
	retryAfter   = 2 * time.Second // after a failure
)

// Reference says where the status of a token is: status.status_list (§6.2).
type Reference struct {
	URI   string
	Index int64
}

// Of returns the reference in a token's claims, if there is one. A status claim of another
// kind counts as none. The error wraps [ErrReference]: a reference that cannot be read is
// not the same as none.
func Of(claims map[string]any) (Reference, bool, error) {
	status, _ := claims["status"].(map[string]any)
	raw, there := status["status_list"]
	if !there {
		return Reference{}, false, nil
	}
	list, _ := raw.(map[string]any)
	uri, _ := list["uri"].(string)
	idx, _ := list["idx"].(json.Number)
	n, err := idx.Int64()
	if err != nil || n < 0 || uri == "" {
		return Reference{}, false, fmt.Errorf("%w: status_list has no idx or uri", ErrReference)
	}
	return Reference{URI: uri, Index: n}, true, nil
}

// Config says whose lists to read, and how.
type Config struct {
	Client *outbound.Client // required
	Hosts  []string         // that may serve lists of the issuer
	// Verify returns the claims of a list that the issuer signed and whose typ is [Type];
	// required.
	Verify func(ctx context.Context, raw string) (map[string]any, error)
	Now    func() time.Time // nil means time.Now
}

// Lists holds the lists of one issuer. It serves many goroutines.
type Lists struct {
	c      Config
	flight singleflight.Group

	mu    sync.Mutex
	lists *simplelru.LRU[string, *list]
	retry *simplelru.LRU[string, time.Time] // when to try again after a failed fetch
}

// list is one list, as it was fetched.
type list struct {
	bits    int // of one status
	data    []byte
	refresh time.Time // when to fetch it again
	until   time.Time // when to stop using it
}

// New makes the lists that c describes.
func New(c Config) *Lists {
	if c.Now == nil {
		c.Now = time.Now
	}
	lists, _ := simplelru.NewLRU[string, *list](maxLists, nil)
	retry, _ := simplelru.NewLRU[string, time.Time](maxLists, nil)
	return &Lists{c: c, lists: lists, retry: retry}
}

// Valid reports whether the status at r is 0, the only status of a good token (§7.1). The
// error wraps [ErrUnavailable] or [ErrReference]. A known list is read at once, and fetched
// again in the background when it is due.
func (l *Lists) Valid(ctx context.Context, r Reference) (bool, error) {
	if err := l.allowed(r.URI); err != nil {
		return false, err
	}
	now := l.c.Now()
	known, due := l.known(r.URI, now)
	if due {
		done := l.fetch(ctx, r.URI)
		if known == nil {
			wait, cancel := outbound.Sooner(ctx)
			defer cancel()
			select {
			case <-done:
			case <-wait.Done():
			}
			known, _ = l.known(r.URI, now)
		}
	}
	if known == nil {
		return false, fmt.Errorf("%w from %s", ErrUnavailable, r.URI)
	}
	return known.valid(r.Index)
}

// allowed refuses lists on hosts that the issuer may not use: a token must not send us
// wherever it likes.
func (l *Lists) allowed(uri string) error {
	u, err := url.Parse(uri)
	if err != nil || address.CheckURL(uri) != nil || !slices.Contains(l.c.Hosts, u.Hostname()) {
		return fmt.Errorf("%w: the list is at no host of its issuer", ErrReference)
	}
	return nil
}

// known returns the list at uri if it may still be used, and whether it is time to fetch
// it.
func (l *Lists) known(uri string, now time.Time) (*list, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	x, _ := l.lists.Get(uri)
	if x != nil && !now.Before(x.until) {
		x = nil
	}
	due := x == nil || !now.Before(x.refresh)
	if at, there := l.retry.Peek(uri); there && now.Before(at) {
		due = false
	}
	return x, due
}

// fetch gets a list, once for all callers who ask at the same time. If ctx ends, it goes on
// for at most the client's timeout.
func (l *Lists) fetch(ctx context.Context, uri string) <-chan singleflight.Result {
	return l.flight.DoChan(uri, func() (_ any, err error) {
		defer func() {
			if recover() != nil { // otherwise a panic would end the process
				err = ErrUnavailable
			}
			if err != nil {
				l.mu.Lock()
				l.retry.Add(uri, l.c.Now().Add(retryAfter))
				l.mu.Unlock()
			}
		}()
		if _, due := l.known(uri, l.c.Now()); !due { // it came between our look and this call
			return nil, nil
		}
		x, err := l.get(context.WithoutCancel(ctx), uri)
		if err != nil {
			return nil, err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.retry.Remove(uri)
		l.lists.Add(uri, x)
		return nil, nil
	})
}

func (l *Lists) get(ctx context.Context, uri string) (*list, error) {
	at := l.c.Now()
	res, err := l.c.Client.Get(ctx, uri, "application/"+Type, maxAnswer)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")) // empty when it is none
	if res.Status != http.StatusOK || kind != "application/"+Type {
		return nil, fmt.Errorf("%w: the answer is %d, %q", ErrUnavailable, res.Status, kind)
	}
	claims, err := l.c.Verify(ctx, strings.TrimSpace(string(res.Body)))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return read(claims, uri, at)
}

// read reads a list from its claims (§5.1). sub names the list, so that one cannot be
// served instead of another.
func read(claims map[string]any, uri string, at time.Time) (*list, error) {
	if claims["sub"] != uri {
		return nil, fmt.Errorf("%w: it is another list", ErrUnavailable)
	}
	members, _ := claims["status_list"].(map[string]any)
	text, _ := members["lst"].(string)
	number, _ := members["bits"].(json.Number)
	x := &list{}
	switch number {
	case "1", "2", "4", "8":
		x.bits = int(number[0] - '0')
	default:
		return nil, fmt.Errorf("%w: bits is not 1, 2, 4 or 8", ErrUnavailable)
	}
	issued, ok := seconds(claims, "iat")
	if !ok || issued.After(at.Add(time.Minute)) {
		return nil, fmt.Errorf("%w: it does not say when it was issued, or it is from the future", ErrUnavailable)
	}
	var err error
	if x.data, err = inflate(text); err != nil {
		return nil, err
	}
	ttl := defaultTTL
	if n, ok := claims["ttl"].(json.Number); ok {
		if s, err := n.Int64(); err == nil {
			ttl = min(max(time.Duration(min(s, 1<<31))*time.Second, minTTL), maxTTL)
		}
	}
	x.refresh, x.until = at.Add(ttl), at.Add(ttl+graceIfError)
	if _, there := claims["exp"]; there {
		exp, ok := seconds(claims, "exp")
		if !ok || !at.Before(exp) {
			return nil, fmt.Errorf("%w: it has expired", ErrUnavailable)
		}
		x.until = earlier(exp, at.Add(24*time.Hour))
		x.refresh = earlier(x.refresh, exp)
	}
	return x, nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func seconds(claims map[string]any, name string) (time.Time, bool) {
	n, _ := claims[name].(json.Number)
	s, err := n.Float64()
	if err != nil || s < 0 || s > 1<<40 {
		return time.Time{}, false
	}
	return time.Unix(int64(s), 0), true
}

// inflate decodes and decompresses lst. A small list may become very large.
func inflate(text string) ([]byte, error) {
	packed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || text == "" {
		return nil, fmt.Errorf("%w: lst is not base64url", ErrUnavailable)
	}
	r, err := zlib.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("%w: lst is not compressed", ErrUnavailable)
	}
	data, err := io.ReadAll(io.LimitReader(r, maxBits+1))
	if err != nil || len(data) > maxBits || len(data) == 0 {
		return nil, fmt.Errorf("%w: lst is damaged or too large", ErrUnavailable)
	}
	return data, nil
}

// valid reports whether the status at index is 0: the first is in the lowest bits of the
// first byte (§4.1).
func (x *list) valid(index int64) (bool, error) {
	each := int64(8 / x.bits)
	if index/each >= int64(len(x.data)) {
		return false, fmt.Errorf("%w: idx is beyond the end of the list", ErrReference)
	}
	status := x.data[index/each] >> (int(index%each) * x.bits) & byte(1<<x.bits-1)
	return status == 0, nil
}
