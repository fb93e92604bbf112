package request

import (
	"net/netip"
	"strings"
)

// client fills in the address that the outermost trusted proxy saw, or says why there is
// none. hops is how many proxies are trusted.
//
// It counts X-Forwarded-For from the right, with the proxy's own peer as the last entry.
// Envoy has appended the peer if it uses the remote address; if the last entry is another
// address, it has not. For a peer on loopback we cannot tell, since Envoy appends an
// address of its own machine instead.
func (r *Request) client(hops int) {
	if hops <= 0 {
		return
	}
	address, doubt := clientAddress(r.Headers.Values("x-forwarded-for"), r.Source.Address, hops)
	if doubt != "" {
		r.Doubts = append(r.Doubts, "no client address: "+doubt)
	}
	r.ClientAddress = address
}

func clientAddress(forwardedFor []string, peer string, hops int) (address, doubt string) {
	front, ok := parseAddress(peer)
	switch {
	case !ok:
		return "", "the proxy does not say who its peer is"
	case front.IsLoopback():
		return "", "the proxy's peer is on loopback, for which Envoy writes another address into X-Forwarded-For; " +
			"let the proxy in front connect from an address of its own"
	}
	list := lastEntries(forwardedFor, hops+1)
	if n := len(list); n > 0 {
		if last, ok := parseAddress(list[n-1]); ok && last == front {
			list = list[:n-1]
		}
	}
	if len(list) < hops {
		return "", "X-Forwarded-For has fewer entries than request.trusted_hops"
	}
	addr, ok := parseAddress(list[len(list)-hops])
	if !ok {
		return "", "the entry of X-Forwarded-For is not an IP address"
	}
	return addr.String(), ""
}

// lastEntries returns the last n entries of a list that may span several lines, or all of
// them if there are fewer. It does not look at anything before them, since a client can
// make that as long as it likes.
func lastEntries(lines []string, n int) []string {
	entries := make([]string, n)
	i := n
	for l := len(lines) - 1; l >= 0 && i > 0; l-- {
		rest, more := lines[l], true
		for more && i > 0 {
			comma := strings.LastIndexByte(rest, ',')
			i--
			entries[i] = strings.Trim(rest[comma+1:], " \t")
			if more = comma >= 0; more {
				rest = rest[:comma]
			}
		}
	}
	return entries[i:]
}

// parseAddress reads an address as proxies write it: with or without a port (Azure adds
// one), and an IPv6 address with or without brackets. A zone means nothing on another
// machine.
func parseAddress(s string) (netip.Addr, bool) {
	host := s
	if inside, ok := strings.CutPrefix(s, "["); ok {
		address, port, closed := strings.Cut(inside, "]")
		if !closed || !strings.Contains(address, ":") || port != "" && !isPort(port) {
			return netip.Addr{}, false
		}
		host = address
	} else if name, port, ok := strings.Cut(s, ":"); ok && !strings.Contains(port, ":") {
		if !isPort(":" + port) {
			return netip.Addr{}, false
		}
		host = name
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.Zone() != "" {
		return netip.Addr{}, false
	}
	return addr.Unmap(), true
}

// isPort reports whether s is a colon and a decimal number below 65536.
func isPort(s string) bool {
	if len(s) < 2 || len(s) > 6 || s[0] != ':' {
		return false
	}
	n := 0
	for i := 1; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
		n = 10*n + int(s[i]-'0')
	}
	return n < 1<<16
}
