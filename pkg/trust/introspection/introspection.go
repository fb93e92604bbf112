// Package introspection asks an issuer about a token (RFC 7662): whether it is active, and
// what it says. This is how we read opaque tokens, and the current state of the session
// behind a JWT.
//
// A [Client] authenticates to one issuer and asks it once for many callers that bring the
// same token. It remembers the answer for a short while, but never longer than the token
// lives. It judges only whether the answer is well-formed. Package jwt checks what the
// answer says in the same way as the claims of a JWT.
package introspection

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/sync/singleflight"

	"github.com/stepward/stepward/pkg/internal/strictjson"
	"github.com/stepward/stepward/pkg/trust/outbound"
)

// ErrUnavailable means that the issuer did not answer, or not with a valid introspection
// response. It says nothing about the token.
var ErrUnavailable = errors.New("introspection: no answer")

const (
	maxAnswer = 256 << 10
	// maxActive and maxInactive limit how many answers of each kind are remembered.
	maxActive   = 20_000
	maxInactive = 4_096
	// inactiveFor is how long we do not ask again about a token that was not active. It is
	// short, because the token may become active.
	inactiveFor = 10 * time.Second
)

// Defaults of a Config.
const (
	DefaultCacheMax = 30 * time.Second
	DefaultMaxCalls = 64
)

// JWTType is the media type of a signed answer (RFC 9701 §5).
const JWTType = "application/token-introspection+jwt"

// Config says whom to ask and how.
type Config struct {
	Endpoint string           // introspection_endpoint
	Client   *outbound.Client // required
	// Authenticate adds our authentication to a call's header and form (RFC 7662 §2.1);
	// required.
	Authenticate func(h http.Header, form url.Values) error
	// Signed reads a signed answer (RFC 9701) and returns its token_introspection. With it,
	// an answer that is not signed does not count.
	Signed   func(ctx context.Context, answer string) (map[string]any, error)
	CacheMax time.Duration // 0 means DefaultCacheMax
	MaxCalls int           // at once; 0 means DefaultMaxCalls
	Now      func() time.Time
	// OnAnswer, if set, is told about each call to the issuer. It must not block.
	OnAnswer func(active bool, err error)
}

// Client asks one issuer. It serves many goroutines.
type Client struct {
	c      Config
	calls  chan struct{}
	flight singleflight.Group

	// The two kinds are remembered separately, so that a flood of made-up tokens cannot
	// push out good answers.
	mu               sync.Mutex
	active, inactive *simplelru.LRU[[sha256.Size]byte, Answer]
}

// Answer holds what the issuer said.
type Answer struct {
	Active bool
	// Claims holds the members of an active answer, with numbers as json.Number. Nobody may
	// change them.
	Claims map[string]any
	until  time.Time
}

// New makes a client from c.
func New(c Config) *Client {
	if c.CacheMax == 0 {
		c.CacheMax = DefaultCacheMax
	}
	if c.MaxCalls == 0 {
		c.MaxCalls = DefaultMaxCalls
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.OnAnswer == nil {
		c.OnAnswer = func(bool, error) {}
	}
	active, _ := simplelru.NewLRU[[sha256.Size]byte, Answer](maxActive, nil) // the sizes are positive
	inactive, _ := simplelru.NewLRU[[sha256.Size]byte, Answer](maxInactive, nil)
	return &Client{c: c, calls: make(chan struct{}, c.MaxCalls), active: active, inactive: inactive}
}

// Introspect asks about a token. Any error wraps [ErrUnavailable]: then nobody knows
// whether the token is good.
//
// If ctx ends, a call under way goes on for at most the client's timeout, and its answer is
// remembered.
func (c *Client) Introspect(ctx context.Context, raw string) (Answer, error) {
	digest := sha256.Sum256([]byte(raw))
	if a, ok := c.known(digest); ok {
		return a, nil
	}
	wait, cancel := outbound.Sooner(ctx)
	defer cancel()
	done := c.flight.DoChan(string(digest[:]), func() (_ any, err error) {
		defer func() {
			if recover() != nil { // otherwise a panic would end the process
				err = fmt.Errorf("%w: a panic", ErrUnavailable)
			}
		}()
		if a, ok := c.known(digest); ok { // an answer came between our look and this call
			return a, nil
		}
		a, err := c.ask(context.WithoutCancel(ctx), raw)
		c.c.OnAnswer(a.Active, err)
		if err == nil {
			c.keep(digest, a)
		}
		return a, err
	})
	select {
	case r := <-done:
		if r.Err != nil {
			return Answer{}, r.Err
		}
		return r.Val.(Answer), nil
	case <-wait.Done():
		return Answer{}, fmt.Errorf("%w in time", ErrUnavailable)
	}
}

func (c *Client) known(digest [sha256.Size]byte) (Answer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.c.Now()
	if a, ok := c.active.Get(digest); ok {
		if now.Before(a.until) {
			return a, true
		}
		c.active.Remove(digest)
	}
	a, ok := c.inactive.Get(digest)
	return a, ok && now.Before(a.until)
}

func (c *Client) keep(digest [sha256.Size]byte, a Answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.Active {
		c.active.Add(digest, a)
		return
	}
	c.active.Remove(digest)
	c.inactive.Add(digest, a)
}

// ask calls the issuer.
func (c *Client) ask(ctx context.Context, raw string) (Answer, error) {
	select {
	case c.calls <- struct{}{}:
		defer func() { <-c.calls }()
	default:
		return Answer{}, fmt.Errorf("%w: %d calls are under way", ErrUnavailable, cap(c.calls))
	}
	req, err := c.request(ctx, raw)
	if err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	at := c.c.Now() // taken before the answer, which is no newer than this
	res, err := c.c.Client.Do(req, maxAnswer)
	if err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	claims, err := c.read(ctx, res)
	if err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return answer(claims, at, c.c.CacheMax)
}

func (c *Client) request(ctx context.Context, raw string) (*http.Request, error) {
	h, form := http.Header{}, url.Values{"token": {raw}, "token_type_hint": {"access_token"}}
	if err := c.c.Authenticate(h, form); err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.c.Endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, errors.New("the endpoint is not a URL")
	}
	r.Header = h
	h.Set("Content-Type", "application/x-www-form-urlencoded")
	h.Set("Accept", "application/json")
	if c.c.Signed != nil {
		h.Set("Accept", JWTType)
	}
	return r, nil
}

// read returns the answer's members once it is sure that the answer is of the requested
// kind.
func (c *Client) read(ctx context.Context, res outbound.Response) (map[string]any, error) {
	switch res.Status {
	case http.StatusOK:
	case http.StatusUnauthorized, http.StatusForbidden:
		return nil, fmt.Errorf("the issuer answers %d: it does not accept our client_id and its credential", res.Status)
	default:
		return nil, fmt.Errorf("the issuer answers %d", res.Status)
	}
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")) // empty when it is none
	want := "application/json"
	if c.c.Signed != nil {
		want = JWTType
	}
	if kind != want {
		return nil, fmt.Errorf("the answer is %q and not %s", kind, want)
	}
	if c.c.Signed != nil {
		return c.c.Signed(ctx, strings.TrimSpace(string(res.Body)))
	}
	return Parse(res.Body)
}

// Parse reads the body of an answer (RFC 7662 §2.2). active must be there, and be
// true or false.
func Parse(body []byte) (map[string]any, error) {
	o, err := strictjson.Object(body)
	if err != nil {
		return nil, fmt.Errorf("the answer: %w", err)
	}
	if _, ok := o["active"].(bool); !ok {
		return nil, errors.New("the answer does not say whether the token is active")
	}
	return o, nil
}

// answer makes an Answer of claims. An active token is remembered no longer than it lives.
func answer(claims map[string]any, at time.Time, longest time.Duration) (Answer, error) {
	active, ok := claims["active"].(bool)
	if !ok {
		return Answer{}, fmt.Errorf("%w: the answer does not say whether the token is active", ErrUnavailable)
	}
	if !active {
		return Answer{until: at.Add(min(longest, inactiveFor))}, nil
	}
	a := Answer{Active: true, Claims: claims, until: at.Add(longest)}
	if n, ok := claims["exp"].(json.Number); ok {
		if seconds, err := n.Int64(); err == nil && time.Unix(seconds, 0).Before(a.until) {
			a.until = time.Unix(seconds, 0)
		}
	}
	return a, nil
}
