package scenario

import (
	"cmp"
	"fmt"
	"net/url"

	"github.com/stepward/stepward/pkg/config"
)

// HostOf returns a host that c serves, and the key that says so: the first host whose
// browsers are sent to log in, or otherwise the host of an audience that is a URL. Both are
// empty if c names none.
func HostOf(c config.Config) (host, from string) {
	if len(c.LoginRedirect.Hosts) > 0 {
		return c.LoginRedirect.Hosts[0], "login_redirect.hosts"
	}
	for n, i := range c.Issuers {
		for _, a := range i.Audiences {
			if u, err := url.Parse(a); err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http") {
				return u.Host, fmt.Sprintf("issuers[%d].audiences", n)
			}
		}
	}
	return "", ""
}

// at gives x a host if it has none: one that c serves, because browsers on any other host
// are not redirected.
func (x Scenario) at(c config.Config) Scenario {
	host, _ := HostOf(c)
	x.Host = cmp.Or(x.Host, host)
	return x
}
