// Package address judges, by their spelling, which addresses may be called at all, whether
// an operator configured them or a provider published them. Package outbound checks later,
// when it opens the connection, where a name leads.
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

// IsLoopback reports whether the spelling of host alone shows that it is this machine.
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
