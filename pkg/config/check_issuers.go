package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

var shortName = regexp.MustCompile(`^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$`)

// trusted requires issuers. An operator who trusts none must say so twice: in the file and
// on the command line. A policy written for opa-envoy-plugin verifies tokens itself, so
// there the file is enough.
func (d *decoder) trusted(issuers []Issuer, p Policy, none bool) {
	switch {
	case d.places["issuers"] == nil:
		d.failAt("issuers", "is missing",
			"name the identity providers whose tokens are trusted, or write `issuers: []` and pass "+
				"--insecure-no-issuers where nobody signs in")
	case d.written("issuers") && len(issuers) == 0 && !none && p.Compat != OPAEnvoy:
		d.failAt("issuers", "names nobody whose tokens are trusted",
			"name one, or pass --insecure-no-issuers where nobody signs in")
	}
}

func (d *decoder) levels(c Config) {
	if _, err := c.Ladder(); err != nil {
		d.failAt("levels", strings.TrimPrefix(err.Error(), "stepup: "), "")
		return
	}
	if _, err := c.Ladders(); err != nil {
		d.failAt("issuers", err.Error(), "an issuer's levels use the names of the ladder")
	}
}

func (d *decoder) issuers(issuers []Issuer) {
	names, urls := map[string]bool{}, map[string]bool{}
	for i, x := range issuers {
		at := fmt.Sprintf("issuers[%d]", i)
		if names[x.Name] {
			d.failAt(at+".name", fmt.Sprintf("%q is taken", x.Name), "give each issuer a name of its own")
		}
		if urls[x.Issuer] {
			d.failAt(at+".issuer", "is listed twice; list its audiences in one entry", "")
		}
		names[x.Name], urls[x.Issuer] = true, true
		d.issuer(at, x)
	}
}

func (d *decoder) issuer(at string, x Issuer) {
	if !shortName.MatchString(x.Name) {
		d.failAt(at+".name", "must be a short name in lower case", "such as corp")
	}
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
	d.eachOf(at+".algorithms", x.Algorithms)
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
		d.failAt(at+".leeway", "is more than 5m", "set the clocks right instead")
	}
}

// keys checks that each bound holds the next.
func (d *decoder) keys(at string, k Keys) {
	const day = 24 * time.Hour
	for _, x := range []struct {
		name        string
		value       Duration
		least, most time.Duration
	}{
		{"refresh_min", k.RefreshMin, time.Second, day},
		{"refresh_max", k.RefreshMax, time.Second, day},
		{"unknown_kid_cooldown", k.UnknownKidCooldown, time.Second, 5 * time.Minute},
		{"removed_after", k.RemovedAfter, time.Second, day},
		{"stale_if_error", k.StaleIfError, time.Minute, 30 * day},
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

func (d *decoder) dpop(at string, x DPoP) {
	for i, o := range x.Origins {
		d.origin(fmt.Sprintf("%s.origins[%d]", at, i), o)
	}
	d.eachOf(at+".algorithms", x.Algorithms)
	d.oneOf(at+".nonce", x.Nonce)
	if (x.Nonce == "required") != (x.NonceKeysFile != "") {
		d.failAt(at+".nonce_keys_file", "belongs to nonce: required: set both, or neither",
			"replicas must accept each other's nonces; make a key with: "+makeKey)
	}
	if time.Duration(x.IATWindow) > 5*time.Minute {
		d.failAt(at+".iat_window", "is more than 5m", "a proof is made for one request")
	}
}

// makeKey is a command that prints a 32-byte key.
const makeKey = "head -c 32 /dev/urandom | basenc --base64url | tr -d ="

// introspection requires exactly the keys that its authentication method needs.
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
		d.failAt(at+".client_id", "is missing", "the issuer answers only clients that authenticate (RFC 7662 §2.1)")
	}
	d.credentials(at, x)
	if strings.ContainsFunc(x.Prefix, func(c rune) bool { return c <= ' ' || c > '~' || c == '.' }) ||
		len(x.Prefix) > 64 {
		d.failAt(at+".prefix", "must be visible ASCII without dots", "such as at_corp_")
	}
}

// credentials requires the files by which Stepward authenticates to the endpoint.
func (d *decoder) credentials(at string, x Introspection) {
	needs := map[string][]string{
		"client_secret_basic": {"client_secret_file"}, "client_secret_post": {"client_secret_file"},
		"private_key_jwt": {"key_file"}, "tls_client_auth": {"cert_file", "key_file"},
	}[x.AuthMethod]
	for name, value := range map[string]string{"client_secret_file": x.ClientSecretFile, "key_file": x.KeyFile,
		"cert_file": x.CertFile} {
		switch needed := slices.Contains(needs, name); {
		case needed && value == "":
			d.failAt(at+"."+name, "is missing", "auth_method is "+x.AuthMethod)
		case !needed && value != "":
			d.failAt(at+"."+name, "has no use", "auth_method is "+x.AuthMethod)
		}
	}
	if x.KeyID != "" && x.AuthMethod != "private_key_jwt" {
		d.failAt(at+".key_id", "has no use", "auth_method is "+x.AuthMethod)
	}
}

// opaque requires that the issuers of opaque tokens can be told apart: a token is shown
// only to its own issuer.
func (d *decoder) opaque(issuers []Issuer) {
	for i, x := range issuers {
		for j, y := range issuers[:i] {
			mine, other := x.Introspection, y.Introspection
			if mine.Endpoint == "" || other.Endpoint == "" {
				continue
			}
			if strings.HasPrefix(mine.Prefix, other.Prefix) || strings.HasPrefix(other.Prefix, mine.Prefix) {
				d.failAt(fmt.Sprintf("issuers[%d].introspection.prefix", i),
					fmt.Sprintf("does not tell its tokens from those of issuers[%d]", j),
					"a token must not be shown to another issuer than its own")
			}
		}
	}
}

func (d *decoder) outbound(o Outbound) {
	d.pair("outbound", o.CertFile, o.KeyFile, "needs both cert_file and key_file, or neither")
	for i, h := range o.Allow {
		d.host(fmt.Sprintf("outbound.allow[%d]", i), h)
	}
	if time.Duration(o.Timeout) > time.Minute {
		d.failAt("outbound.timeout", "is more than 1m", "")
	}
}
