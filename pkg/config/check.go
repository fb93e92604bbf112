package config

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/pkg/rollout/decisionlog"
	"github.com/stepward/stepward/pkg/stepup"
	"github.com/stepward/stepward/pkg/trust/outbound"
)

// choices are the words that a key may have, by its path without indices.
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

var (
	shortName    = regexp.MustCompile(`^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$`)
	headerPrefix = regexp.MustCompile(`^x-([a-z0-9]+-)+$`)
	realmText    = regexp.MustCompile(`^[ !#-\[\]-~]{1,128}$`)
)

// check looks at what the values mean.
func (d *decoder) check(c Config, o Options) {
	d.listener(c, o.InsecurePlaintextListener)
	if _, _, err := net.SplitHostPort(c.Admin); err != nil {
		d.failAt("admin", "must be host:port", "")
	}
	if path, ok := strings.CutPrefix(c.Control, "unix://"); c.Control != "" &&
		(!ok || !filepath.IsAbs(path) || len(path) > 100) {
		d.failAt("control", "must be unix:// and an absolute path of at most 100 bytes",
			"such as unix:///run/stepward-control.sock; it is never served over TCP")
	}
	d.levels(c)
	if !o.Excerpt {
		d.trusted(c, o.InsecureNoIssuers)
		d.source(c.Policy, c.Bundles)
	}
	d.issuers(c)
	d.policy(c.Policy, c.Bundles)
	d.oneOf("request.path_case", c.Request.PathCase)
	for i, a := range c.Request.Allow {
		d.oneOf(fmt.Sprintf("request.allow[%d]", i), a)
	}
	if c.Request.TrustedHops < 0 || c.Request.TrustedHops > 16 {
		d.failAt("request.trusted_hops", "must be 0 to 16", "")
	}
	if c.Request.XFCC < 0 || c.Request.XFCC > 16 {
		d.failAt("request.xfcc", "must be 0 to 16",
			"1 where the proxy in front of Envoy forwards the client's certificate")
	}
	if !headerPrefix.MatchString(c.Upstream.HeaderPrefix) || strings.HasPrefix(c.Upstream.HeaderPrefix, "x-envoy-") ||
		strings.HasPrefix(c.Upstream.HeaderPrefix, "x-forwarded-") {
		d.failAt("upstream.header_prefix", "must begin with x- and end with -, in lower case, and not be the proxy's",
			"such as x-stepward-")
	}
	d.oneOf("upstream.authorization", c.Upstream.Authorization)
	d.oneOf("challenge.disclose", c.Challenge.Disclose)
	if !realmText.MatchString(c.Challenge.Realm) {
		d.failAt("challenge.realm", "must be visible ASCII without quotes and backslashes", "")
	}
	if c.Challenge.ResourceMetadata != "" {
		d.url("challenge.resource_metadata", c.Challenge.ResourceMetadata)
	}
	if c.Errors.Status < 500 || c.Errors.Status > 599 {
		d.failAt("errors.status", "must be 500 to 599", "another status would tell a client that it is at fault")
	}
	d.cors(c.CORS)
	d.limits(c)
	d.login(c.LoginRedirect, c.Challenge.Disclose)
	d.log(c.Log, c.Bundles)
	d.outbound(c.Outbound)
	d.opaque(c)
	if len(c.Data.MaxAge) > 0 && c.Policy.Compat != "" {
		d.failAt("data.max_age", "does not go with compat: opa-envoy",
			"such a policy does not know data.stepward.unknown: what it denies by data that is taken away, it would let in")
	}
	for i, name := range c.Policy.OptionalData {
		path := fmt.Sprintf("policy.optional_data[%d]", i)
		switch {
		case c.Policy.Compat != "":
			d.failAt(path, "does not go with compat: opa-envoy",
				"such a policy takes what is missing for undefined, as its plugin does")
		case name == "stepward" || name == "system" || name == "":
			d.failAt(path, "is not a member of yours", "name it without data., as in risk")
		case strings.ContainsAny(name, ".[/"):
			d.failAt(path, "is not the name of a member of data",
				"name it without data. and without what is below it, as in risk")
		}
	}
	for name, age := range c.Data.MaxAge {
		if name == "stepward" || name == "system" || name == "" {
			d.failAt("data.max_age."+name, "is not a member of yours", "")
		}
		if time.Duration(age) < time.Second {
			d.failAt("data.max_age."+name, "must be at least 1s", "")
		}
	}
}

var decisionPath = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$`)

// trusted requires issuers. That there are none must be said twice: here and on the
// command line. A policy of opa-envoy-plugin verifies tokens itself; for it, here is
// enough.
func (d *decoder) trusted(c Config, none bool) {
	switch {
	case d.places["issuers"] == nil:
		d.failAt("issuers", "is missing",
			"the identity providers whose tokens are trusted; `issuers: []` with --insecure-no-issuers where nobody signs in")
	case d.written("issuers") && len(c.Issuers) == 0 && !none && c.Policy.Compat != OPAEnvoy:
		d.failAt("issuers", "names nobody whose tokens are trusted",
			"name one, or pass --insecure-no-issuers where nobody signs in")
	}
}

// source requires that the file says what decides.
func (d *decoder) source(p Policy, bundles Bundles) {
	switch {
	case d.places["policy"] == nil:
		d.failAt("policy", "is missing",
			"policy: { paths: [policies/] } names your own, policy: { default: true } the one that Stepward ships")
	case p.Default && (len(p.Paths) > 0 || p.Compat != ""):
		d.failAt("policy.default", "does not go with paths and compat",
			"it names the policy that Stepward ships, which would not decide beside another")
	case d.written("policy") && !p.Default && len(p.Paths) == 0 && bundles.ConfigFile == "" && p.Compat == "":
		d.failAt("policy", "names no policy",
			"paths: [policies/] names your own, default: true the one that Stepward ships, bundles.config_file those that OPA fetches")
	}
}

// policy keeps the keys of another product's policies to these.
func (d *decoder) policy(p Policy, bundles Bundles) {
	if p.Compat == "" {
		for name, used := range map[string]bool{"path": p.Path != "", "skip_body": p.SkipBody,
			"proto_descriptor": p.ProtoDescriptor != ""} {
			if used {
				d.failAt("policy."+name, "goes with compat: opa-envoy, and only with it",
					"our own policies are found by their packages; see docs/policy.md")
			}
		}
		return
	}
	d.oneOf("policy.compat", p.Compat)
	if len(p.Paths) == 0 && bundles.ConfigFile == "" {
		d.failAt("policy.paths", "is missing",
			"the files and folders that OPA was given; or bundles.config_file, where OPA fetched them")
	}
	if len(p.Candidate.Paths) > 0 {
		d.failAt("policy.candidate", "does not go with compat: opa-envoy",
			"a candidate is asked who the caller is, and here a token is verified only where the policy requires one")
	}
	if p.Path != "" && !decisionPath.MatchString(p.Path) {
		d.failAt("policy.path", "must be names with slashes between",
			"such as envoy/authz/allow: the rule allow of package envoy.authz")
	}
}

func (d *decoder) log(l Log, bundles Bundles) {
	d.oneOf("log.level", l.Level)
	d.oneOf("log.decisions", l.Decisions)
	if (l.Decisions == "file") != (l.File != "") {
		d.failAt("log.file", "goes with decisions: file, and only with it", "")
	}
	if l.MaxFiles < 1 || l.MaxFiles > 1000 {
		d.failAt("log.max_files", "must be 1 to 1000", "")
	}
	for name, list := range map[string][]string{"log.mask": l.Mask, "log.keep": l.Keep} {
		for i, pointer := range list {
			if err := decisionlog.CheckPointer(pointer); err != nil {
				d.failAt(fmt.Sprintf("%s[%d]", name, i), strings.TrimPrefix(err.Error(), "decisionlog: "),
					"such as /input/token/claims/email")
			}
		}
		if len(list) > 0 && !l.Input && bundles.ConfigFile == "" {
			d.failAt(name, "goes with input: true, or with decision logs of OPA", "nothing else keeps an input")
		}
	}
}

// listener permits plain text where nobody else can listen: on a socket, on
// loopback, or where the operator says so.
func (d *decoder) listener(c Config, insecure bool) {
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		d.failAt("tls", "needs cert_file and key_file", "")
	}
	if c.TLS.CertFile == "" && c.TLS.ClientCAFile != "" {
		d.failAt("tls.client_ca_file", "needs cert_file and key_file", "")
	}
	if c.TLS.ClientCAFile == "" && len(c.TLS.ClientIDs) > 0 {
		d.failAt("tls.client_ids", "needs client_ca_file", "without it a certificate proves nothing")
	}
	for i, id := range c.TLS.ClientIDs {
		if u, err := url.Parse(id); err != nil || u.Scheme != "spiffe" || u.Host == "" || u.RawQuery != "" ||
			u.Fragment != "" || u.User != nil || u.String() != id {
			d.failAt(fmt.Sprintf("tls.client_ids[%d]", i), "must be a SPIFFE ID", "such as spiffe://example.com/envoy")
		}
	}
	if path, ok := strings.CutPrefix(c.Listen, "unix://"); ok {
		if !filepath.IsAbs(path) || len(path) > 100 {
			d.failAt("listen", "must name an absolute path of at most 100 bytes", "such as unix:///run/stepward.sock")
		}
		return
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		d.failAt("listen", "must be host:port or unix:///path", "such as 127.0.0.1:9191")
		return
	}
	if ip := net.ParseIP(host); !insecure && c.TLS.CertFile == "" && host != "localhost" &&
		(ip == nil || !ip.IsLoopback()) {
		d.failAt("listen", "is not on loopback, and the listener has no TLS",
			"listen on 127.0.0.1, set tls, or pass --insecure-plaintext-listener where the network is trusted")
	}
}

func (d *decoder) levels(c Config) {
	if _, err := c.Ladder(); err != nil {
		d.failAt("levels", strings.TrimPrefix(err.Error(), "stepup: "), "")
		return
	}
	if _, err := c.Ladders(); err != nil {
		d.failAt("issuers", err.Error(), "an issuer's levels are named as the ladder names them")
	}
}

// Ladder is the ladder of c.
func (c Config) Ladder() (stepup.Ladder, error) {
	levels := make([]stepup.Level, len(c.Levels))
	for i, l := range c.Levels {
		levels[i] = stepup.Level(l)
	}
	return stepup.NewLadder(levels)
}

// Ladders are the ladders of issuers that have words of their own, by name.
func (c Config) Ladders() (map[string]stepup.Ladder, error) {
	base, err := c.Ladder()
	if err != nil {
		return nil, err
	}
	ladders := map[string]stepup.Ladder{}
	for _, i := range c.Issuers {
		by := stepup.ByClaim
		if i.Assurance.Claim == "acr" || i.Assurance.Claim == "amr" {
			by = stepup.Assurance(i.Assurance.Claim)
		}
		if len(i.Levels) == 0 && by == stepup.ByACR {
			continue
		}
		words := map[string]stepup.Level{}
		for name, w := range i.Levels {
			words[name] = stepup.Level{ACR: w.ACR, AMR: w.AMR}
		}
		if ladders[i.Name], err = base.By(by).With(words); err != nil {
			return nil, fmt.Errorf("issuer %s: %w", i.Name, err)
		}
	}
	return ladders, nil
}

// LadderOf is the ladder in the words of the issuer of that name.
func (c Config) LadderOf(name string) (stepup.Ladder, error) {
	ladders, err := c.Ladders()
	if own, there := ladders[name]; there || err != nil {
		return own, err
	}
	return c.Ladder()
}

func (d *decoder) issuers(c Config) {
	names, urls := map[string]bool{}, map[string]bool{}
	for i, x := range c.Issuers {
		at := fmt.Sprintf("issuers[%d]", i)
		if !shortName.MatchString(x.Name) {
			d.failAt(at+".name", "must be a short name in lower case", "such as corp")
		}
		if names[x.Name] {
			d.failAt(at+".name", fmt.Sprintf("%q is taken", x.Name), "")
		}
		if urls[x.Issuer] {
			d.failAt(at+".issuer", "stands twice; list its audiences in one entry", "")
		}
		names[x.Name], urls[x.Issuer] = true, true
		d.url(at+".issuer", x.Issuer)
		if x.JWKSURI != "" {
			d.url(at+".jwks_uri", x.JWKSURI)
		}
		if x.JWKSURI != "" && x.JWKSFile != "" {
			d.failAt(at+".jwks_file", "excludes jwks_uri", "keep one")
		}
		if len(x.Audiences) == 0 || slices.Contains(x.Audiences, "") {
			d.failAt(at+".audiences", "must name what tokens are for",
				"the value of aud that stands for your API; without it a token for any service would do")
		}
		for j, a := range x.Algorithms {
			d.oneOf(fmt.Sprintf("%s.algorithms[%d]", at, j), a)
		}
		d.oneOf(at+".profile", x.Profile)
		d.dpop(at+".dpop", x.DPoP)
		d.keys(at+".keys", x.Keys)
		d.introspection(at+".introspection", x.Introspection)
		if x.Introspection.Endpoint != "" && x.Profile == "keycloak" && x.Assurance.Claim == "amr" {
			d.failAt(at+".introspection", "proves no level with assurance: amr",
				"Keycloak leaves amr out of its answers; map levels to acr")
		}
		for j, h := range x.StatusLists.Hosts {
			d.host(fmt.Sprintf("%s.status_lists.hosts[%d]", at, j), h)
		}
		if time.Duration(x.Leeway) > 5*time.Minute {
			d.failAt(at+".leeway", "is more than 5m", "set the clocks")
		}
	}
}

// keys are bounds of which each holds the next.
func (d *decoder) keys(at string, k Keys) {
	for _, x := range []struct {
		name        string
		value       Duration
		least, most time.Duration
	}{
		{"refresh_min", k.RefreshMin, time.Second, 24 * time.Hour}, {"refresh_max", k.RefreshMax, time.Second,
			24 * time.Hour},
		{"unknown_kid_cooldown", k.UnknownKidCooldown, time.Second, 5 * time.Minute},
		{"removed_after", k.RemovedAfter, time.Second, 24 * time.Hour},
		{"stale_if_error", k.StaleIfError, time.Minute, 30 * 24 * time.Hour},
	} {
		if v := time.Duration(x.value); v < x.least || v > x.most {
			d.failAt(at+"."+x.name, fmt.Sprintf("must be %s to %s", Duration(x.least), Duration(x.most)), "")
		}
	}
	if k.RefreshMin > k.RefreshMax {
		d.failAt(at+".refresh_min", "is more than refresh_max", "")
	}
	if k.RefreshMin > k.RemovedAfter {
		d.failAt(at+".removed_after", "is less than refresh_min",
			"a key that the issuer has withdrawn is noticed when keys are fetched again")
	}
	if k.RemovedAfter > k.StaleIfError {
		d.failAt(at+".stale_if_error", "is less than removed_after", "")
	}
}

// introspection needs what its way of authentication needs, and nothing else.
func (d *decoder) introspection(at string, x Introspection) {
	d.oneOf(at+".tokens", x.Tokens)
	d.oneOf(at+".auth_method", x.AuthMethod)
	d.oneOf(at+".response", x.Response)
	if x.CacheMax > Duration(10*time.Minute) {
		d.failAt(at+".cache_max", "is more than 10m", "a token that is revoked is accepted for that long")
	}
	if x.Endpoint == "" {
		if x.ClientID != "" || x.ClientSecretFile != "" || x.KeyFile != "" || x.Prefix != "" || x.Tokens == "all" {
			d.failAt(at+".endpoint", "is missing",
				"stepward doctor --issuers shows what the issuer's metadata name as introspection_endpoint")
		}
		return
	}
	d.url(at+".endpoint", x.Endpoint)
	if x.ClientID == "" {
		d.failAt(at+".client_id", "is missing", "the issuer answers only who authenticates (RFC 7662 §2.1)")
	}
	needs := map[string]bool{}
	switch x.AuthMethod {
	case "client_secret_basic", "client_secret_post":
		needs["client_secret_file"] = true
	case "private_key_jwt":
		needs["key_file"] = true
	case "tls_client_auth":
		needs["cert_file"], needs["key_file"] = true, true
	}
	for name, value := range map[string]string{"client_secret_file": x.ClientSecretFile, "key_file": x.KeyFile,
		"cert_file": x.CertFile} {
		if needs[name] != (value != "") {
			d.failAt(at+"."+name, map[bool]string{true: "is missing", false: "has no use"}[needs[name]],
				"auth_method is "+x.AuthMethod)
		}
	}
	if x.KeyID != "" && x.AuthMethod != "private_key_jwt" {
		d.failAt(at+".key_id", "has no use", "auth_method is "+x.AuthMethod)
	}
	if strings.ContainsFunc(x.Prefix, func(c rune) bool { return c <= ' ' || c > '~' || c == '.' }) ||
		len(x.Prefix) > 64 {
		d.failAt(at+".prefix", "must be visible ASCII without dots", "such as at_corp_")
	}
}

// opaque tells the issuers of opaque tokens apart: a token is shown to none but its
// own.
func (d *decoder) opaque(c Config) {
	for i, x := range c.Issuers {
		for j, y := range c.Issuers[:i] {
			if x.Introspection.Endpoint == "" || y.Introspection.Endpoint == "" {
				continue
			}
			if strings.HasPrefix(x.Introspection.Prefix, y.Introspection.Prefix) || strings.HasPrefix(
				y.Introspection.Prefix, x.Introspection.Prefix) {
				d.failAt(fmt.Sprintf("issuers[%d].introspection.prefix", i),
					fmt.Sprintf("does not tell its tokens from those of issuers[%d]", j),
					"a token must not be shown to another issuer than its own")
			}
		}
	}
}

func (d *decoder) outbound(o Outbound) {
	if (o.CertFile == "") != (o.KeyFile == "") {
		d.failAt("outbound", "needs both cert_file and key_file, or neither", "")
	}
	for i, h := range o.Allow {
		d.host(fmt.Sprintf("outbound.allow[%d]", i), h)
	}
	if time.Duration(o.Timeout) > time.Minute {
		d.failAt("outbound.timeout", "is more than 1m", "")
	}
}

// host is a name or an address, without a port.
func (d *decoder) host(path, value string) {
	u, err := url.Parse("https://" + value)
	if ip := net.ParseIP(value); ip == nil && (err != nil || u.Host != value || u.Port() != "" ||
		value != strings.ToLower(value) || strings.ContainsAny(value, "*/ ")) || value == "" {
		d.failAt(path, "must be a host name in lower case or an address, without scheme and port",
			"such as idp.corp.example")
	}
}

func (d *decoder) dpop(at string, x DPoP) {
	for i, o := range x.Origins {
		d.origin(fmt.Sprintf("%s.origins[%d]", at, i), o)
	}
	for i, a := range x.Algorithms {
		d.oneOf(fmt.Sprintf("%s.algorithms[%d]", at, i), a)
	}
	d.oneOf(at+".nonce", x.Nonce)
	if (x.Nonce == "required") != (x.NonceKeysFile != "") {
		d.failAt(at+".nonce_keys_file", "goes with nonce: required, and only with it",
			"replicas must accept each other's nonces; make a key with: head -c 32 /dev/urandom | basenc --base64url | tr -d =")
	}
	if time.Duration(x.IATWindow) > 5*time.Minute {
		d.failAt(at+".iat_window", "is more than 5m", "a proof is made for one request")
	}
}

// origin is a scheme and host as browsers write it.
func (d *decoder) origin(path, value string) {
	u, err := url.Parse(value)
	if err != nil || outbound.CheckURL(value) != nil || u.Scheme+"://"+u.Host != value || value != strings.ToLower(
		value) || strings.HasSuffix(value, ":443") {
		d.failAt(path, "must be an https origin in lower case, without path and default port",
			"such as https://app.example.com")
	}
}

func (d *decoder) url(path, value string) {
	if err := outbound.CheckURL(value); err != nil {
		d.failAt(path, err.Error(), "such as https://idp.example.com")
	}
}

func (d *decoder) oneOf(path, value string) {
	known := choices[index.ReplaceAllString(path, "[]")]
	if slices.Contains(known, value) {
		return
	}
	d.failAt(path, fmt.Sprintf("%q is not known%s", value, finding.DidYouMean(value, known)), "one of "+strings.Join(
		known, ", "))
}

func (d *decoder) cors(c CORS) {
	for i, o := range c.Origins {
		d.origin(fmt.Sprintf("cors.origins[%d]", i), o)
	}
	for i, h := range c.AllowHeaders {
		if !regexp.MustCompile(`^[a-z0-9-]+$`).MatchString(h) {
			d.failAt(fmt.Sprintf("cors.allow_headers[%d]", i), "must be a header name in lower case", "")
		}
	}
}

func (d *decoder) limits(c Config) {
	if deadline := time.Duration(c.Limits.Deadline); deadline > 10*time.Second {
		d.failAt("limits.deadline", "is more than 10s", "Envoy gives up first, and its own answer tells nobody why")
	}
	if c.Policy.Timeout > c.Limits.Deadline {
		d.failAt("policy.timeout", "is more than limits.deadline", "a policy cannot use more time than there is")
	}
	for path, v := range map[string]Size{"limits.token": c.Limits.Token, "limits.path": c.Limits.Path,
		"limits.query": c.Limits.Query, "limits.headers": c.Limits.Headers} {
		if v > 1<<20 {
			d.failAt(path, "is more than 1MiB", "")
		}
	}
	if c.Limits.Message > 64<<20 {
		d.failAt("limits.message", "is more than 64MiB", "")
	}
	for path, v := range map[string]int{"limits.segments": c.Limits.Segments,
		"limits.query_parameters": c.Limits.QueryParameters, "limits.header_lines": c.Limits.HeaderLines} {
		if v < 1 || v > 10000 {
			d.failAt(path, "must be 1 to 10000", "")
		}
	}
	if c.Limits.InFlight < 1 || c.Limits.InFlight > 1<<20 {
		d.failAt("limits.in_flight", "must be 1 to 1048576", "")
	}
}

func (d *decoder) login(l LoginRedirect, disclose string) {
	switch {
	case l.URL == "" && l.SealingKeysFile != "":
		d.failAt("login_redirect.url", "is missing", "sealing_keys_file seals what is said to it")
		return
	case l.URL == "" && len(l.Hosts) > 0:
		d.failAt("login_redirect.url", "is missing", "where browsers of these hosts are sent")
		return
	case l.URL == "":
		return
	case len(l.Hosts) == 0:
		d.failAt("login_redirect.hosts", "is missing", "the hosts whose browsers are sent to login, as in Host")
	}
	if disclose == "none" && l.SealingKeysFile == "" {
		d.failAt("login_redirect.sealing_keys_file", "is missing",
			"with challenge.disclose: none nobody may read what is required, and an address is read by anybody; make a key with: head -c 32 /dev/urandom | basenc --base64url | tr -d =")
	}
	d.url("login_redirect.url", l.URL)
	for i, h := range l.Hosts {
		if u, err := url.Parse("https://" + h); err != nil || u.Host != h || h != strings.ToLower(h) || h == "" ||
			strings.HasSuffix(h, ".") || strings.HasSuffix(h, ":443") {
			d.failAt(fmt.Sprintf("login_redirect.hosts[%d]", i),
				"must be a host in lower case, without scheme, path and default port", "such as app.example.com")
		}
	}
}
