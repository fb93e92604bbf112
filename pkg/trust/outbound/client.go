package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/hashicorp/golang-lru/v2"
	"github.com/sony/gobreaker/v2"

	"github.com/stepward/stepward/pkg/config/address"
)

// DefaultTimeout limits an exchange, from name lookup to the last byte.
const DefaultTimeout = 10 * time.Second

// When and for how long a failing host is left alone.
const (
	tripAfter = 5               // failures in a row
	tripFor   = 2 * time.Second // then one call is let through as a probe
	maxHosts  = 1_000           // hosts that are remembered
)

// ErrDown means that the host could not be reached, or said that it cannot answer now. It
// says nothing about the thing requested.
var ErrDown = errors.New("outbound: not reachable")

// Config says how other hosts are called. The zero Config is sensible.
type Config struct {
	Roots        *x509.CertPool    // nil means the system's
	Certificates []tls.Certificate // shown to servers that ask for one
	// Allow names hosts whose addresses may be private or loopback; see the package
	// comment. A link-local or metadata address is allowed only if it is listed itself.
	Allow   []string
	Timeout time.Duration // 0 means DefaultTimeout
	// Proxy chooses one, as [http.ProxyFromEnvironment] does; nil uses none.
	Proxy    func(*http.Request) (*url.URL, error)
	Resolver *net.Resolver // nil means the system's
}

// Client calls other hosts. It serves many goroutines.
type Client struct {
	http     *http.Client
	breakers *lru.Cache[string, *gobreaker.CircuitBreaker[Response]]
}

// Response is a host's answer, read completely.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// New makes a client from c.
func New(c Config) *Client {
	g := newGuard(c.Allow)
	transport := &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: c.Roots, Certificates: c.Certificates, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:   true,
		TLSHandshakeTimeout: 5 * time.Second, IdleConnTimeout: time.Minute,
		MaxIdleConnsPerHost: 16, MaxConnsPerHost: 64, MaxResponseHeaderBytes: 64 << 10,
		DialContext: g.dial(c.Resolver),
	}
	if c.Proxy != nil {
		transport.Proxy = g.proxied(c.Proxy)
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	breakers, _ := lru.New[string, *gobreaker.CircuitBreaker[Response]](maxHosts) // the size is positive
	return &Client{http: &http.Client{Transport: transport, Timeout: c.Timeout, CheckRedirect: sameHost},
		breakers: breakers}
}

// Get fetches a document of at most limit bytes; see [Client.Do].
func (c *Client) Get(ctx context.Context, address, accept string, limit int64) (Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return Response{}, errors.New("outbound: not a URL")
	}
	req.Header.Set("Accept", accept)
	return c.Do(req, limit)
}

// Do sends req and reads the whole answer, whatever its status.
//
// The error wraps [ErrAddress] if the guard refuses the connection, and [ErrDown] if the
// host could not be reached or has failed so often that it is left alone. An answer of more
// than limit bytes, counted after decompression, is an error, and so is a redirect to
// another place.
func (c *Client) Do(req *http.Request, limit int64) (Response, error) {
	if err := address.CheckURL(req.URL.String()); err != nil {
		return Response{}, fmt.Errorf("outbound: %s %w", req.URL.Redacted(), err)
	}
	res, err := c.breaker(req.URL.Host).Execute(func() (Response, error) {
		res, err := c.exchange(req, limit)
		if err == nil && unavailable(res.Status) {
			err = ErrDown
		}
		return res, err
	})
	switch {
	case errors.Is(err, gobreaker.ErrOpenState), errors.Is(err, gobreaker.ErrTooManyRequests):
		return Response{}, fmt.Errorf("%w: %s has failed %d times in a row and is left alone for a moment", ErrDown,
			req.URL.Host, tripAfter)
	case err != nil && !unavailable(res.Status):
		return Response{}, err
	}
	return res, nil
}

func unavailable(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusServiceUnavailable ||
		status == http.StatusGatewayTimeout
}

func (c *Client) exchange(req *http.Request, limit int64) (Response, error) {
	res, err := c.http.Do(req)
	if err != nil {
		return Response{}, down(req, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	if err != nil {
		return Response{}, down(req, err)
	}
	if int64(len(body)) > limit {
		return Response{}, fmt.Errorf("outbound: the answer of %s is larger than %d bytes", req.URL.Host, limit)
	}
	return Response{Status: res.StatusCode, Header: res.Header, Body: body}, nil
}

// down says which host could not be reached. It leaves out the query, which may hold more
// than a log should.
func down(req *http.Request, err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if errors.Is(err, ErrAddress) || errors.Is(err, errRedirect) {
		return err
	}
	return fmt.Errorf("%w: %s: %w", ErrDown, req.URL.Host, err)
}

func (c *Client) breaker(host string) *gobreaker.CircuitBreaker[Response] {
	if b, ok := c.breakers.Get(host); ok {
		return b
	}
	b := gobreaker.NewCircuitBreaker[Response](gobreaker.Settings{
		Timeout: tripFor, ReadyToTrip: func(n gobreaker.Counts) bool { return n.ConsecutiveFailures >= tripAfter },
		// If we or the caller broke off, that says nothing about the host.
		IsExcluded: func(err error) bool { return errors.Is(err, ErrAddress) || errors.Is(err, context.Canceled) },
	})
	if was, there, _ := c.breakers.PeekOrAdd(host, b); there {
		return was
	}
	return b
}

// Sooner returns a context that ends shortly before ctx, so that a caller who waited in
// vain has time left to say so.
func Sooner(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithTimeout(ctx, DefaultTimeout)
	}
	margin := min(time.Until(deadline)/4, 50*time.Millisecond)
	return context.WithDeadline(ctx, deadline.Add(-margin))
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

var errRedirect = errors.New("outbound: redirected to another place, which is not followed")

// sameHost follows a redirect only on the host of the first request. Otherwise anyone who
// can answer for this host could make us trust another one.
func sameHost(req *http.Request, via []*http.Request) error {
	if len(via) > 3 || req.URL.Host != via[0].URL.Host || req.URL.Scheme != via[0].URL.Scheme {
		return errRedirect
	}
	return nil
}
