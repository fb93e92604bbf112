package authz

import (
	"net/url"
	"slices"
	"strings"

	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/stepup"
)

// LoginRedirect is the [Login] of a login application of the operator's own, to which
// browsers are sent (login_redirect). The zero LoginRedirect redirects nobody.
type LoginRedirect struct {
	URL   *url.URL
	Hosts []string // the hosts it serves, in the normal form of request.Host
	// Seal encrypts what is required for the login application, so that it can travel in
	// an address that anybody can read; nil writes it out.
	Seal func(ask stepup.Ask) string
	// Hide leaves out what is required where it would be written out.
	Hide bool
	// InsecureOrigin, where set, is the origin of a listed host for browsers that come to it by
	// other than https and its default port, as in a demonstration on loopback; empty is
	// https. It MUST NOT be made of what a client says. A service leaves it nil.
	InsecureOrigin func(host string) string
}

var _ Login = LoginRedirect{}

// Reaches reports whether r is a navigation to a listed host. A host that is not listed could
// be one that the client made up.
func (l LoginRedirect) Reaches(r request.Request) bool {
	return l.serves(r) && r.Kind.Interactive()
}

func (l LoginRedirect) serves(r request.Request) bool {
	return l.URL != nil && slices.Contains(l.Hosts, r.Host)
}

// Begin sends a browser to the login application, which sends it back to the page that r
// asked for.
func (l LoginRedirect) Begin(r request.Request, ask stepup.Ask) Departure {
	return Departure{Location: l.target(ask, l.returnTo(r))}
}

// Link returns the address of the login application. It has no return target: the page that
// the person looks at is the client's to know.
func (l LoginRedirect) Link(r request.Request, ask stepup.Ask) string {
	if !l.serves(r) {
		return ""
	}
	return l.target(ask, "")
}

// target returns the login URL with acr_values and max_age as an authorization request
// names them (OpenID Connect Core §3.1.2.1), or with both sealed.
func (l LoginRedirect) target(ask stepup.Ask, returnTo string) string {
	params := map[string]string{"return_to": returnTo}
	switch {
	case l.Seal != nil:
		params["step_up"] = l.Seal(ask)
	case !l.Hide:
		params["acr_values"], params["max_age"] = strings.Join(ask.ACRValues, " "), ask.MaxAge.Seconds()
	}
	q := l.URL.Query()
	for name, value := range params {
		if value != "" {
			q.Set(name, value)
		}
	}
	u := *l.URL
	u.RawQuery = q.Encode()
	return u.String()
}

// returnTo returns the page that was asked for, on the https origin of a listed host:
// never the scheme or the host that the client named.
func (l LoginRedirect) returnTo(r request.Request) string {
	origin := ""
	if l.InsecureOrigin != nil {
		origin = l.InsecureOrigin(r.Host)
	}
	if origin == "" {
		origin = "https://" + r.Host
	}
	target := origin + r.RawPath
	if r.RawQuery != "" {
		target += "?" + r.RawQuery
	}
	return target
}
