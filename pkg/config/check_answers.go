package config

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	headerName   = regexp.MustCompile(`^[a-z0-9-]+$`)
	headerPrefix = regexp.MustCompile(`^x-([a-z0-9]+-)+$`)
	realmText    = regexp.MustCompile(`^[ !#-\[\]-~]{1,128}$`)
)

func (d *decoder) request(r Request) {
	d.oneOf("request.path_case", r.PathCase)
	d.eachOf("request.allow", r.Allow)
	if r.TrustedHops < 0 || r.TrustedHops > 16 {
		d.failAt("request.trusted_hops", "must be 0 to 16", "")
	}
	if r.XFCC < 0 || r.XFCC > 16 {
		d.failAt("request.xfcc", "must be 0 to 16",
			"1 where the proxy in front of Envoy forwards the client's certificate")
	}
}

func (d *decoder) upstream(u Upstream) {
	p := u.HeaderPrefix
	if !headerPrefix.MatchString(p) || strings.HasPrefix(p, "x-envoy-") || strings.HasPrefix(p, "x-forwarded-") {
		d.failAt("upstream.header_prefix", "must begin with x- and end with -, in lower case, and not be the proxy's",
			"such as x-stepward-")
	}
	d.oneOf("upstream.authorization", u.Authorization)
}

func (d *decoder) challenge(c Challenge) {
	d.oneOf("challenge.disclose", c.Disclose)
	if !realmText.MatchString(c.Realm) {
		d.failAt("challenge.realm", "must be visible ASCII without quotes and backslashes", "")
	}
	if c.ResourceMetadata != "" {
		d.url("challenge.resource_metadata", c.ResourceMetadata)
	}
}

func (d *decoder) cors(c CORS) {
	for i, o := range c.Origins {
		d.origin(fmt.Sprintf("cors.origins[%d]", i), o)
	}
	for i, h := range c.AllowHeaders {
		if !headerName.MatchString(h) {
			d.failAt(fmt.Sprintf("cors.allow_headers[%d]", i), "must be a header name in lower case", "")
		}
	}
}

func (d *decoder) errors(e Errors) {
	if e.Status < 500 || e.Status > 599 {
		d.failAt("errors.status", "must be 500 to 599", "another status would tell a client that it is at fault")
	}
}

func (d *decoder) login(l LoginRedirect, c Challenge) {
	switch {
	case l.URL == "" && l.SealingKeysFile != "":
		d.failAt("login_redirect.url", "is missing", "sealing_keys_file seals the requirements sent to it")
		return
	case l.URL == "" && len(l.Hosts) > 0:
		d.failAt("login_redirect.url", "is missing", "where browsers of these hosts are sent")
		return
	case l.URL == "":
		return
	case len(l.Hosts) == 0:
		d.failAt("login_redirect.hosts", "is missing", "the hosts whose browsers are sent to login, as in Host")
	}
	if c.Disclose == "none" && l.SealingKeysFile == "" {
		d.failAt("login_redirect.sealing_keys_file", "is missing",
			"challenge.disclose: none lets nobody read what is required, and anybody can read an address; "+
				"make a key with: "+makeKey)
	}
	d.url("login_redirect.url", l.URL)
	for i, h := range l.Hosts {
		if !isHost(h) || strings.HasSuffix(h, ".") || strings.HasSuffix(h, ":443") {
			d.failAt(fmt.Sprintf("login_redirect.hosts[%d]", i),
				"must be a host in lower case, without scheme, path and default port", "such as app.example.com")
		}
	}
}
