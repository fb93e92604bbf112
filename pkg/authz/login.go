package authz

import (
	"net/url"
	"slices"
	"strings"

	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/stepup"
)

// LoginRedirect is the [Login] that sends browsers to the operator's own login application
// (login_redirect). The zero LoginRedirect redirects nobody.
type LoginRedirect struct {
	URL   *url.URL
	Hosts []string // the hosts it serves, in the normal form of request.Host
	// Seal encrypts the requirement for the login application, so that it can travel in an
	// address that anybody can read. If Seal is nil, the requirement is written in clear.
	Seal func(ask stepup.Ask) string
	// Hide leaves out a requirement that would be written in clear.
	Hide bool
	// InsecureOrigin, if set, returns the origin of a listed host that browsers do not
	// reach by https on the default port, as in a demonstration on loopback; empty means
	// https. It MUST NOT be derived from anything a client says. A real service leaves it
	// nil.
	InsecureOrigin func(host string) string
}

var _ Login = LoginRedirect{}

// Reaches reports whether r is a navigation to a listed host. The client could have made up
// a host that is not listed.
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

// Link returns the address of the login application. It has no return target: only the
// client knows which page the person is looking at.
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

// returnTo returns the page that was asked for, on the https origin of a listed host. It
// never uses the scheme or the host that the client named.
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
