package keyset

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// How often keys are fetched, and how much of an answer is read.
const (
	RefreshMin     = time.Minute      // however short a Cache-Control says
	RefreshMax     = time.Hour        // however long
	RefreshDefault = 5 * time.Minute  // when it does not say, or says no-cache
	Cooldown       = 10 * time.Second // between fetches for unknown keys
	retryMin       = time.Second      // after a failure, doubling
	retryMax       = 30 * time.Second
	maxAnswer      = 512 << 10
	fetchTimeout   = 10 * time.Second
)

// Remote is an issuer's key set, fetched over HTTP. Make it with [NewRemote] and
// keep it fresh with [Remote.Run].
type Remote struct {
	issuer  string
	uri     string // jwks_uri; empty until discovered
	client  *http.Client
	now     func() time.Time
	refresh func(error)

	current    atomic.Pointer[Set]
	generation atomic.Uint64
	kick       chan struct{}

	mu      sync.Mutex
	pending chan struct{} // closed when the fetch that was asked for is done; nil when none is
	last    time.Time     // when the last fetch ended
	failed  bool          // whether the last fetch failed
}

// RemoteConfig says where keys come from.
type RemoteConfig struct {
	Issuer  string       // iss; discovery starts there when JWKSURI is empty
	JWKSURI string       // https, or http on loopback
	Client  *http.Client // nil means one of its own; redirects to other hosts are never followed
	Now     func() time.Time
	// OnRefresh, if set, is told of each fetch: nil when the keys are good. It
	// is called from Run and must not block.
	OnRefresh func(error)
}

// NewRemote is the key set of c. It has no keys until Run has fetched them.
func NewRemote(c RemoteConfig) *Remote {
	client := &http.Client{}
	if c.Client != nil {
		*client = *c.Client
	}
	client.CheckRedirect = sameHost
	if client.Timeout == 0 {
		client.Timeout = fetchTimeout
	}
	r := &Remote{issuer: c.Issuer, uri: c.JWKSURI, client: client, now: c.Now, refresh: c.OnRefresh, kick: make(chan struct{}, 1)}
	if r.now == nil {
		r.now = time.Now
	}
	if r.refresh == nil {
		r.refresh = func(error) {}
	}
	return r
}

// sameHost follows a redirect only where the first request went: another host
// would be trusted with our users by whoever can answer for this one.
func sameHost(req *http.Request, via []*http.Request) error {
	if len(via) > 3 || req.URL.Host != via[0].URL.Host || req.URL.Scheme != via[0].URL.Scheme {
		return errors.New("keyset: redirected to another place")
	}
	return nil
}

// Loaded reports whether there have ever been keys.
func (r *Remote) Loaded() bool { return r.current.Load() != nil }

// Generation changes whenever the keys do, after they have.
func (r *Remote) Generation() uint64 { return r.generation.Load() }

// Key is the key named kid; see [Set.Find].
//
// A key that is known is returned at once, whatever goes on in the background.
// For one that is not known the issuer is asked once more, at most once in a
// [Cooldown], and Key waits for the answer until ctx ends. The error is
// [ErrUnknownKey], or [ErrUnavailable] when the issuer did not answer.
func (r *Remote) Key(ctx context.Context, kid, algorithm string) (Key, error) {
	set := r.current.Load()
	if set == nil {
		return Key{}, ErrUnavailable
	}
	k, err := set.Find(kid, algorithm)
	if err == nil {
		return k, nil
	}
	select {
	case <-r.ask():
	case <-ctx.Done():
		return Key{}, ErrUnavailable
	}
	if r.lastFailed() {
		return Key{}, ErrUnavailable // it may well be there by now
	}
	return r.current.Load().Find(kid, algorithm)
}

func (r *Remote) lastFailed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

// asked is what there is to wait for within the cooldown: nothing.
var asked = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// ask starts a fetch, or joins the one under way. Within the cooldown there is
// none.
func (r *Remote) ask() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pending != nil {
		return r.pending
	}
	if r.now().Sub(r.last) < Cooldown {
		return asked
	}
	r.pending = make(chan struct{})
	select {
	case r.kick <- struct{}{}:
	default: // Run has not taken the last one yet and will see pending
	}
	return r.pending
}

// Run fetches keys until ctx ends: at once, then as the answers' Cache-Control
// says within bounds, after failures with a growing pause, and when a key is not
// known. It is called once.
func (r *Remote) Run(ctx context.Context) {
	retry := retryMin
	for {
		next, err := r.fetch(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			next, retry = retry, min(2*retry, retryMax)
		} else {
			retry = retryMin
		}
		r.done(err)
		r.refresh(err)
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
		case <-r.kick:
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// done wakes those who wait for a fetch.
func (r *Remote) done(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last, r.failed = r.now(), err != nil
	if r.pending != nil {
		close(r.pending)
		r.pending = nil
	}
}

// fetch replaces the keys when the answer is good and leaves them when not.
func (r *Remote) fetch(ctx context.Context) (next time.Duration, err error) {
	uri := r.uri
	if uri == "" {
		if uri, err = r.discover(ctx); err != nil {
			return 0, err
		}
	}
	body, header, err := r.get(ctx, uri)
	if err != nil {
		return 0, err
	}
	set, _, err := Parse(body)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", uri, err)
	}
	if was := r.current.Swap(&set); was == nil || !reflect.DeepEqual(*was, set) {
		r.generation.Add(1)
	}
	return interval(header.Get("Cache-Control")), nil
}

// discover finds the jwks_uri: OpenID Connect Discovery §4, else RFC 8414 §3. The
// metadata must name the issuer exactly (Discovery §4.3).
func (r *Remote) discover(ctx context.Context) (string, error) {
	issuer, err := url.Parse(r.issuer)
	if err != nil {
		return "", fmt.Errorf("keyset: issuer: %w", err)
	}
	openID := strings.TrimSuffix(r.issuer, "/") + "/.well-known/openid-configuration"
	body, _, err := r.get(ctx, openID)
	if err != nil {
		oauth := *issuer
		oauth.Path = "/.well-known/oauth-authorization-server" + strings.TrimSuffix(issuer.Path, "/")
		var again error
		if body, _, again = r.get(ctx, oauth.String()); again != nil {
			return "", err
		}
	}
	var metadata struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(body, &metadata); err != nil {
		return "", fmt.Errorf("keyset: the metadata of %s is not JSON", r.issuer)
	}
	if metadata.Issuer != r.issuer {
		return "", fmt.Errorf("keyset: the metadata of %s is of another issuer, %q", r.issuer, metadata.Issuer)
	}
	if err := CheckURL(metadata.JWKSURI); err != nil {
		return "", fmt.Errorf("keyset: jwks_uri of %s: %w", r.issuer, err)
	}
	return metadata.JWKSURI, nil
}

func (r *Remote) get(ctx context.Context, uri string) ([]byte, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, uri, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("keyset: %w", err)
	}
	req.Header.Set("Accept", "application/json, application/jwk-set+json")
	res, err := r.client.Do(req)
	if err != nil {
		return nil, nil, fmt.Errorf("keyset: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("keyset: %s answered %s", uri, res.Status)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, nil, fmt.Errorf("keyset: %s: %w", uri, err)
	}
	if len(body) > maxAnswer {
		return nil, nil, fmt.Errorf("keyset: the answer of %s is larger than %d bytes", uri, maxAnswer)
	}
	return body, res.Header, nil
}

// interval is when to fetch again after an answer with this Cache-Control.
func interval(cacheControl string) time.Duration {
	for directive := range strings.SplitSeq(strings.ToLower(cacheControl), ",") {
		if value, ok := strings.CutPrefix(strings.TrimSpace(directive), "max-age="); ok {
			if seconds, err := strconv.ParseInt(value, 10, 32); err == nil {
				return min(max(time.Duration(seconds)*time.Second, RefreshMin), RefreshMax)
			}
		}
	}
	return RefreshDefault
}

// CheckURL is an error unless s is an absolute https URL, or http on loopback,
// without userinfo and fragment.
func CheckURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "":
		return errors.New("not an absolute URL")
	case u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname()):
		return nil
	}
	return errors.New("must be https (http only on loopback)")
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
