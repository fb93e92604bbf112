package authz

import (
	"net/url"
	"slices"
	"strings"

	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/response"
	"github.com/stepward/stepward/pkg/response/page"
	"github.com/stepward/stepward/pkg/stepup"
)

// Login is a login application of the operator's own to which browsers are sent
// (login_redirect). The zero Login redirects nobody.
type Login struct {
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

// reaches reports whether a redirect for r would reach a person who can log in
// and come back. A host that is not listed could be one that the client made up.
func (l Login) reaches(r request.Request) bool {
	return l.serves(r) && r.Kind.Interactive()
}

func (l Login) serves(r request.Request) bool {
	return l.URL != nil && slices.Contains(l.Hosts, r.Host)
}

// uri is where an API client may send a person to prove what ask says. It has no
// return target: the page that the person looks at is the client's to know.
func (l Login) uri(r request.Request, ask stepup.Ask) string {
	if !l.serves(r) {
		return ""
	}
	return l.target(ask, "")
}

// target returns the login URL with acr_values and max_age as an authorization request
// names them (OpenID Connect Core §3.1.2.1), or with both sealed.
func (l Login) target(ask stepup.Ask, returnTo string) string {
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

// returnTo is the page that was asked for, on the https origin of a listed host:
// never the scheme or the host that the client named.
func (l Login) returnTo(r request.Request) string {
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

// redirect is 302 for a request that can simply be repeated after the login. For
// any other a page of ours moves on by GET: a page's form-action policy would
// stop a redirected form on its way to the identity provider.
func (w Answers) redirect(r *Record, d stepup.Redirect) response.Response {
	target := w.Login.target(d.Ask, w.Login.returnTo(r.Request))
	if r.Request.Method == "GET" || r.Request.Method == "HEAD" {
		return response.Response{Status: 302, Headers: []request.Field{
			{Name: "location", Value: target},
			{Name: "cache-control", Value: "no-store"},
			{Name: "referrer-policy", Value: "no-referrer"},
		}}
	}
	fields := append(w.authenticate(r, d.Why, d.Ask), request.Field{Name: "cache-control", Value: "no-store"})
	return response.Response{Status: 401, Headers: append(fields, page.Headers()...),
		Body: page.Move{Target: target, DecisionID: r.ID}.HTML()}
}
