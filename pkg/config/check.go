package config

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/stepward/stepward/pkg/config/address"
	"github.com/stepward/stepward/pkg/finding"
)

// choices lists the words that a key accepts, by its path without indices.
var choices = map[string][]string{
	"issuers[].algorithms[]": {"ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384",
		"PS512", "EdDSA", "Ed25519"},
	"issuers[].dpop.algorithms[]": {"ES256", "ES384", "ES512", "PS256", "RS256", "EdDSA", "Ed25519"},
	"issuers[].dpop.nonce":        {"off", "required"},
	"issuers[].introspection.auth_method": {"client_secret_basic", "client_secret_post", "private_key_jwt",
		"tls_client_auth"},
	"issuers[].introspection.response": {"json", "jwt"},
	"issuers[].introspection.tokens":   {"opaque", "all"},
	"issuers[].profile":                {"rfc9068", "keycloak", "entra", "generic"},
	"request.allow[]": {"path_parameters", "empty_segments", "encoded_slash", "double_encoding",
		"method_override", "url_override"},
	"request.path_case":      {"sensitive", "fold"},
	"upstream.authorization": {"pass", "remove"},
	"challenge.disclose":     {"full", "none"},
	"policy.compat":          {OPAEnvoy},
	"log.level":              {"debug", "info", "warn", "error"},
	"log.decisions":          {"stdout", "file", "otlp", "off"},
}

var index = regexp.MustCompile(`\[\d+\]`)

// check checks what the values mean, section by section.
func (d *decoder) check(c Config, o Options) {
	d.listener(c.Listen, c.TLS, o.InsecurePlaintextListener)
	d.tls(c.TLS)
	d.admin(c.Admin)
	d.control(c.Control)
	d.levels(c)
	if !o.Excerpt {
		d.trusted(c.Issuers, c.Policy, o.InsecureNoIssuers)
		d.source(c.Policy, c.Bundles)
	}
	d.issuers(c.Issuers)
	d.opaque(c.Issuers)
	d.policy(c.Policy, c.Bundles)
	d.optionalData(c.Policy)
	d.data(c.Data, c.Policy)
	d.request(c.Request)
	d.upstream(c.Upstream)
	d.challenge(c.Challenge)
	d.cors(c.CORS)
	d.errors(c.Errors)
	d.limits(c.Limits, c.Policy.Timeout)
	d.login(c.LoginRedirect, c.Challenge)
	d.log(c.Log, c.Bundles)
	d.outbound(c.Outbound)
}

// oneOf refuses a word that is not one of the choices for path.
func (d *decoder) oneOf(path, value string) {
	known := choices[index.ReplaceAllString(path, "[]")]
	if slices.Contains(known, value) {
		return
	}
	d.failAt(path, fmt.Sprintf("%q is not known%s", value, finding.DidYouMean(value, known)),
		"one of "+strings.Join(known, ", "))
}

// eachOf refuses the words of a list that are not among the choices for its path.
func (d *decoder) eachOf(path string, values []string) {
	for i, v := range values {
		d.oneOf(fmt.Sprintf("%s[%d]", path, i), v)
	}
}

// url requires an address that may be called.
func (d *decoder) url(path, value string) {
	if err := address.CheckURL(value); err != nil {
		d.failAt(path, err.Error(), "such as https://idp.example.com")
	}
}

// host requires a name or an IP address, without a port.
func (d *decoder) host(path, value string) {
	u, err := url.Parse("https://" + value)
	name := err == nil && isHost(value) && u.Port() == "" && !strings.ContainsAny(value, "*/ ")
	if !name && net.ParseIP(value) == nil {
		d.failAt(path, "must be a host name in lower case or an address, without scheme and port",
			"such as idp.corp.example")
	}
}

// origin requires a scheme and host as browsers write them.
func (d *decoder) origin(path, value string) {
	u, err := url.Parse(value)
	if err != nil || address.CheckURL(value) != nil || u.Scheme+"://"+u.Host != value ||
		value != strings.ToLower(value) || strings.HasSuffix(value, ":443") {
		d.failAt(path, "must be an https origin in lower case, without path and default port",
			"such as https://app.example.com")
	}
}

// isHost reports whether s is a host in lower case, with or without a port.
func isHost(s string) bool {
	u, err := url.Parse("https://" + s)
	return err == nil && s != "" && u.Host == s && s == strings.ToLower(s)
}

// pair requires that a certificate and its key be named together.
func (d *decoder) pair(path, certFile, keyFile, message string) {
	if (certFile == "") != (keyFile == "") {
		d.failAt(path, message, "")
	}
}
