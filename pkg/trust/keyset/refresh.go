package keyset

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/stepward/stepward/pkg/trust/outbound"
)

const (
	maxAnswer = 512 << 10
	// refreshDefault is how soon keys are fetched again if they came without a
	// Cache-Control.
	refreshDefault = 5 * time.Minute
	retryMin       = time.Second // after a failure, doubling
	retryMax       = 30 * time.Second
	// retryDown is the longest pause while the issuer does not answer and we have never had
	// keys. Once the issuer is back, start-up waits no longer than that.
	retryDown = 4 * time.Second
)

// Run fetches keys until ctx ends: at once, then when the answers' Cache-Control says,
// within bounds, after failures with a growing pause, and whenever a key is unknown. It is
// called once.
func (r *Remote) Run(ctx context.Context) {
	failures := 0
	for {
		f := r.begin()
		found, pause, err := r.fetch(ctx, len(f.wanted) > 0)
		event := Fetch{Err: err}
		switch {
		case err == nil:
			failures = 0
			event.CacheErr = r.keep(found)
		case ctx.Err() == nil:
			pause = r.backOff(failures, err)
			failures++
		}
		r.end(f, found, err)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !r.Loaded() {
			event.FromCache, event.CacheErr = r.restore()
		}
		r.note(event)
		r.c.OnFetch(event)
		if !r.sleep(ctx, r.c.Now().Add(r.spread(pause))) {
			return
		}
	}
}

// sleep returns when the next fetch is due: at the time at, or sooner because of a key. It
// returns false if ctx has ended.
func (r *Remote) sleep(ctx context.Context, at time.Time) bool {
	for {
		r.mu.Lock()
		if !r.due.IsZero() && r.due.Before(at) {
			at = r.due
		}
		r.mu.Unlock()
		left := at.Sub(r.c.Now())
		if left <= 0 {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-r.kick:
		case <-r.c.After(left):
		}
	}
}

// spread shortens d by up to a tenth, so that replicas that started together do not fetch
// together forever.
func (r *Remote) spread(d time.Duration) time.Duration {
	var b [2]byte
	if _, err := io.ReadFull(r.c.Rand, b[:]); err != nil {
		return d
	}
	return d - d/10*time.Duration(binary.BigEndian.Uint16(b[:]))/0xffff
}

// backOff returns the pause after a failure, given how many came before it.
func (r *Remote) backOff(failures int, err error) time.Duration {
	longest := retryMax
	if !r.Loaded() && errors.Is(err, outbound.ErrDown) {
		longest = retryDown
	}
	pause := min(retryMin<<min(failures, 10), longest)
	if asked := (*statusError)(nil); errors.As(err, &asked) {
		pause = max(pause, min(asked.retryAfter, retryMax))
	}
	return pause
}

// fetch gets the set. pause is the time until the next fetch.
func (r *Remote) fetch(ctx context.Context, asked bool) (found *loaded, pause time.Duration, err error) {
	uri, err := r.locate(ctx, asked)
	if err != nil {
		return nil, 0, err
	}
	at := r.c.Now() // taken before the answer, which is no newer than this
	set, skipped, res, err := Get(ctx, r.c.Client, uri)
	if err != nil {
		r.known.at = time.Time{} // the set may have moved
		return nil, 0, err
	}
	return &loaded{set: set, skipped: skipped, at: at, text: res.Body}, r.c.Bounds.interval(res.Header), nil
}

// Get gets the set at uri, by the rules of [Parse]. The answer must declare itself to be
// JSON.
func Get(ctx context.Context, client *outbound.Client, uri string) (Set, []Skipped, outbound.Response, error) {
	res, err := getJSON(ctx, client, uri)
	if err != nil {
		return Set{}, nil, res, err
	}
	set, skipped, err := Parse(res.Body)
	if err != nil {
		return Set{}, skipped, res, fmt.Errorf("%s: %w", uri, err)
	}
	return set, skipped, res, nil
}

// locate returns where the set is. A discovery answer is good for a while. If discovery
// fails after that, the last answer stays.
func (r *Remote) locate(ctx context.Context, asked bool) (string, error) {
	if r.c.JWKSURI != "" {
		return r.c.JWKSURI, nil
	}
	age := r.c.Now().Sub(r.known.at)
	if r.known.JWKSURI != "" && (age < r.c.Bounds.RefreshMax || asked && !r.known.at.IsZero()) {
		return r.known.JWKSURI, nil
	}
	m, err := Discover(ctx, r.c.Client, r.c.Issuer)
	if err == nil {
		r.known.Metadata, r.known.at = m, r.c.Now()
	} else if r.known.JWKSURI == "" {
		return "", err
	}
	return r.known.JWKSURI, nil
}

// interval says when to fetch again after an answer with these headers (RFC 9111 §4.2,
// §5.2.2).
func (b Bounds) interval(h http.Header) time.Duration {
	age := refreshDefault
	for directive := range strings.SplitSeq(strings.ToLower(strings.Join(h.Values("Cache-Control"), ",")), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch name {
		case "no-cache", "no-store":
			age = 0
		case "max-age":
			if seconds, err := strconv.ParseInt(strings.Trim(value, `"`), 10, 32); err == nil && age != 0 {
				spent, _ := strconv.ParseInt(h.Get("Age"), 10, 32) // zero without
				age = time.Duration(seconds-max(spent, 0)) * time.Second
			}
		}
	}
	return min(max(age, b.RefreshMin), b.RefreshMax, b.RemovedAfter)
}

// statusError is an answer whose status does not promise a document.
type statusError struct {
	uri        string
	status     int
	retryAfter time.Duration
}

func (e *statusError) Error() string {
	return fmt.Sprintf("keyset: %s answered %d %s", e.uri, e.status, http.StatusText(e.status))
}

// Unwrap distinguishes an issuer that is down from one that says no.
func (e *statusError) Unwrap() error {
	switch e.status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusTooManyRequests:
		return outbound.ErrDown
	}
	return nil
}

// getJSON gets a document that declares itself to be JSON. Other pages, such as a login or
// maintenance page, can come with status 200, too.
func getJSON(ctx context.Context, client *outbound.Client, uri string) (outbound.Response, error) {
	res, err := client.Get(ctx, uri, "application/json, application/jwk-set+json", maxAnswer)
	if err != nil {
		return res, fmt.Errorf("keyset: %w", err)
	}
	if res.Status != http.StatusOK {
		seconds, _ := strconv.ParseInt(res.Header.Get("Retry-After"), 10, 32)
		return res, &statusError{uri: uri, status: res.Status, retryAfter: time.Duration(seconds) * time.Second}
	}
	kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" && !(strings.HasPrefix(kind, "application/") && strings.HasSuffix(
		kind, "+json")) {
		return res, fmt.Errorf("keyset: the answer of %s is not JSON but %q", uri, res.Header.Get("Content-Type"))
	}
	return res, nil
}
