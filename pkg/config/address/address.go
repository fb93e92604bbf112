// Package address judges the addresses that an operator writes into a configuration and
// that a provider publishes: which of them may be called at all, by their spelling.
// Where a name leads is looked at later, when package outbound opens the connection.
package address

import (
	"errors"
	"net/netip"
	"net/url"
)

// CheckURL returns an error unless s is an absolute https URL, or http on loopback,
// without userinfo and fragment.
func CheckURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "":
		return errors.New("not an absolute URL")
	case u.Scheme == "https" || u.Scheme == "http" && IsLoopback(u.Hostname()):
		return nil
	}
	return errors.New("must be https (http only on loopback)")
}

// IsLoopback reports whether host is this machine by its very spelling.
func IsLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// Literal returns the host of a URL that needs no name service: an IP address, or
// localhost. Writing such an address down allows calling it; a host name does not.
func Literal(s string) (host string, ok bool) {
	u, err := url.Parse(s)
	if err != nil {
		return "", false
	}
	_, err = netip.ParseAddr(u.Hostname())
	return u.Hostname(), err == nil || u.Hostname() == "localhost"
}
