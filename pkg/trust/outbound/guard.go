package outbound

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"
)

const dialTimeout = 5 * time.Second

// ErrAddress means that a name leads to an address that may not be called.
var ErrAddress = errors.New("outbound: not an address that may be called")

// metadata lists the addresses, other than link-local ones, at which clouds hand out
// credentials.
var metadata = addresses("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254")

// private lists networks that are not part of the Internet, except those that a method of
// [netip.Addr] recognizes.
var private = prefixes("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "198.18.0.0/15", "240.0.0.0/4",
	"::/96", "64:ff9b:1::/48", "100::/64", "2001::/32", "2001:db8::/32", "5f00::/16", "fec0::/10")

// carriers lists prefixes of IPv6 addresses that carry an IPv4 address, and where in the
// address it is (RFC 6052 §2.1, RFC 3056 §2).
var carriers = []struct {
	prefix netip.Prefix
	at     int
}{{netip.MustParsePrefix("64:ff9b::/96"), 12}, {netip.MustParsePrefix("2002::/16"), 2}}

func addresses(list ...string) map[netip.Addr]bool {
	out := map[netip.Addr]bool{}
	for _, s := range list {
		out[netip.MustParseAddr(s)] = true
	}
	return out
}

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// guard decides which addresses may be called for which name.
type guard struct {
	allowed map[string]bool
	proxies sync.Map // host:port of each chosen proxy: the operator's choice, not guarded
}

func newGuard(hosts []string) *guard {
	g := &guard{allowed: map[string]bool{}}
	for _, h := range hosts {
		g.allowed[canonical(h)] = true
	}
	return g
}

// canonical returns the one spelling of a host.
func canonical(host string) string {
	host = strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().WithZone("").String()
	}
	return host
}

// check fails unless ip may be called for the name host. An allowed name may lead to a
// private address. A link-local or metadata address may be called only if that address
// itself is allowed, since anyone who answers for a name can point it there.
func (g *guard) check(host string, ip netip.Addr) error {
	ip = ip.Unmap().WithZone("")
	for _, c := range carriers {
		if c.prefix.Contains(ip) {
			b := ip.As16()
			inner, _ := netip.AddrFromSlice(b[c.at : c.at+4]) // four bytes
			return g.check(host, inner)
		}
	}
	named := g.allowed[canonical(host)]
	switch {
	case metadata[ip], ip.IsLinkLocalUnicast(), ip.IsMulticast(), !ip.IsValid():
		if named && canonical(host) == ip.String() {
			return nil
		}
		return fmt.Errorf("%w: %s is link-local, multicast or a cloud's metadata service", ErrAddress, ip)
	case named:
		return nil
	case ip.IsLoopback(), ip.IsPrivate(), ip.IsUnspecified(), within(private, ip):
		return fmt.Errorf("%w: %s is at %s, which is not on the Internet; list %q under outbound.allow if it is meant",
			ErrAddress, host, ip, canonical(host))
	}
	return nil
}

func within(list []netip.Prefix, ip netip.Addr) bool {
	for _, p := range list {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// dial opens a connection to an address that passes the guard. It checks the address after
// the name has been resolved and just before connecting, so that no second answer for the
// name can come in between.
func (g *guard) dial(resolver *net.Resolver) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, fmt.Errorf("outbound: %w", err)
		}
		if _, proxy := g.proxies.Load(address); proxy {
			return (&net.Dialer{Timeout: dialTimeout, Resolver: resolver}).DialContext(ctx, network, address)
		}
		d := net.Dialer{Timeout: dialTimeout, Resolver: resolver, ControlContext: func(_ context.Context, _, to string,
			_ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(to)
			if err != nil {
				return fmt.Errorf("%w: %s", ErrAddress, to)
			}
			return g.check(host, at.Addr())
		}}
		return d.DialContext(ctx, network, address)
	}
}

// proxied lets the environment name a proxy, whose own address is trusted. We cannot see
// which address the proxy will call for a name, but we can check a literal address.
func (g *guard) proxied(proxy func(*http.Request) (*url.URL, error)) func(*http.Request) (*url.URL, error) {
	return func(r *http.Request) (*url.URL, error) {
		u, err := proxy(r)
		if err != nil || u == nil {
			return nil, err
		}
		if ip, err := netip.ParseAddr(r.URL.Hostname()); err == nil {
			if err := g.check(r.URL.Hostname(), ip); err != nil {
				return nil, err
			}
		}
		port := u.Port()
		if port == "" {
			port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
		}
		g.proxies.Store(net.JoinHostPort(u.Hostname(), port), true)
		return u, nil
	}
}
