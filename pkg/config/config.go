// Package config reads stepward.yaml: what is served, whose tokens are trusted,
// the ladder of levels, and where the policy is.
//
// It is strict. A key that is not known, a value of another type, a member that
// stands twice and a file that is not there are findings with file, line and
// column, all at once and not one by one; a configuration with a finding is not
// used. Issuers and policy are required: what decides has no silent default, or a file
// that was cut short would decide by another one. Whatever else is left out has the safe
// meaning that the fields here document.
//
// The package holds plain data: package server makes the running parts of it.
package config

import (
	"fmt"
	"runtime"
	"strings"
	"time"
)

// Config is the whole configuration.
type Config struct {
	Listen string `yaml:"listen"` // of Check and grpc.health.v1; host:port or unix:///path; default 127.0.0.1:9191
	TLS    TLS    `yaml:"tls"`    // of the Check listener
	Admin  string `yaml:"admin"`  // of health, metrics and version; default 127.0.0.1:9192
	// Control is the socket of console and explain --decision: unix:///path; off
	// unless set. Whoever may open it reads recent decisions.
	Control string `yaml:"control"`

	// required: whose tokens are trusted; [] needs --insecure-no-issuers, unless compat decides
	Issuers []Issuer `yaml:"issuers"`
	Levels  []Level  `yaml:"levels"` // the ladder, weakest first; anonymous and authenticated are below it

	Policy        Policy        `yaml:"policy"` // required: what decides
	Bundles       Bundles       `yaml:"bundles"`
	Data          Data          `yaml:"data"`
	Request       Request       `yaml:"request"`
	Upstream      Upstream      `yaml:"upstream"`
	Challenge     Challenge     `yaml:"challenge"`
	CORS          CORS          `yaml:"cors"`
	Errors        Errors        `yaml:"errors"`
	Limits        Limits        `yaml:"limits"`
	LoginRedirect LoginRedirect `yaml:"login_redirect"`
	Outbound      Outbound      `yaml:"outbound"`

	Log   Log   `yaml:"log"`
	Drain Drain `yaml:"drain"`

	// Sources are the files that the configuration was made of and names: itself,
	// policies, keys and certificates.
	Sources []string `yaml:"-"`
}

// TLS is how the Check listener proves itself and whom it lets in. Its files are
// read again when they change.
type TLS struct {
	CertFile     string   `yaml:"cert_file"`      // PEM, the listener's own first
	KeyFile      string   `yaml:"key_file"`       // PEM
	ClientCAFile string   `yaml:"client_ca_file"` // PEM; callers must then bring a certificate of these
	ClientIDs    []string `yaml:"client_ids"`     // SPIFFE IDs of callers; none means any certificate of the CA
}

// Log says where decisions and events are written.
type Log struct {
	Level     string `yaml:"level"`     // debug, info (default), warn or error
	Decisions string `yaml:"decisions"` // stdout (default), file, otlp or off
	File      string `yaml:"file"`      // where decisions go when they go to a file
	MaxSize   Size   `yaml:"max_size"`  // of the file, before it is rotated; default 100MiB
	MaxFiles  int    `yaml:"max_files"` // rotated files to keep; default 5
	// Input writes what the policy was asked beside each decision, so that replay can ask
	// another one; default false. Bodies, queries and headers that sound like a secret's
	// are masked.
	Input bool `yaml:"input"`
	// JSON pointers to more that is masked, also in decision logs of OPA, such as /input/token/claims/email
	Mask []string `yaml:"mask"`
	Keep []string `yaml:"keep"` // JSON pointers to what is not, such as /input/request/body/json/amount
}

// Drain is how the service stops.
type Drain struct {
	Delay Duration `yaml:"delay"` // answering after health says NOT_SERVING; default 5s
	Cap   Duration `yaml:"cap"`   // for calls under way after that; default 30s
}

// Issuer is an identity provider whose tokens are trusted.
type Issuer struct {
	Name       string   `yaml:"name"`       // short, for logs, metrics and policies
	Issuer     string   `yaml:"issuer"`     // compared byte for byte with iss
	Audiences  []string `yaml:"audiences"`  // one of these must be in aud
	Algorithms []string `yaml:"algorithms"` // default ES256, RS256, PS256, EdDSA
	Profile    string   `yaml:"profile"`    // rfc9068 (default), keycloak, entra or generic
	// the one claim that proves a level: acr (default), amr, or { claim: NAME }
	Assurance Assurance `yaml:"assurance"`
	Leeway    Duration  `yaml:"leeway"`   // for exp, nbf, iat and a future auth_time; default 30s, at most 5m
	JWKSURI   string    `yaml:"jwks_uri"` // where its keys are; neither this nor a file means discovery
	JWKSFile  string    `yaml:"jwks_file"`
	Optional  bool      `yaml:"optional"` // start-up does not wait for its keys
	// terms for tokens that are bound to a key (RFC 9449); without origins they are refused
	DPoP   DPoP             `yaml:"dpop"`
	Levels map[string]Words `yaml:"levels"` // its own words for a level, in place of the ladder's

	Keys Keys `yaml:"keys"` // how its keys are fetched and for how long they are trusted
	// of tokens that are not JWTs (RFC 7662); without an endpoint they are refused
	Introspection Introspection `yaml:"introspection"`
	StatusLists   StatusLists   `yaml:"status_lists"` // lists that tell of revoked tokens
}

// Keys are how an issuer's keys are fetched, and for how long they are trusted.
type Keys struct {
	RefreshMin         Duration `yaml:"refresh_min"`          // however short its Cache-Control says; default 1m
	RefreshMax         Duration `yaml:"refresh_max"`          // however long; default 1h
	UnknownKidCooldown Duration `yaml:"unknown_kid_cooldown"` // between fetches that unknown keys cause; default 10s
	// a withdrawn key is trusted no longer than that; default 5m
	RemovedAfter Duration `yaml:"removed_after"`
	// keys that cannot be fetched again are trusted no longer than that; default 24h
	StaleIfError Duration `yaml:"stale_if_error"`
	// a folder of Stepward's own, in which the last good keys outlive a restart; none without
	CacheDir string `yaml:"cache_dir"`
}

// Introspection is how an issuer is asked about a token (RFC 7662).
type Introspection struct {
	Endpoint string `yaml:"endpoint"` // its introspection_endpoint
	// opaque (default), or all: JWTs are verified and asked about, and the weaker view counts
	Tokens string `yaml:"tokens"`
	// opaque tokens that begin so are this issuer's; needed where several issuers have them
	Prefix string `yaml:"prefix"`
	// who asks; many providers answer only who is in the token's aud
	ClientID string `yaml:"client_id"`
	// client_secret_basic (default), client_secret_post, private_key_jwt or tls_client_auth
	AuthMethod       string `yaml:"auth_method"`
	ClientSecretFile string `yaml:"client_secret_file"` // its text, for the first two
	KeyFile          string `yaml:"key_file"`           // PEM, for private_key_jwt
	KeyID            string `yaml:"key_id"`             // kid of that key, where the provider wants one
	CertFile         string `yaml:"cert_file"`          // PEM, for tls_client_auth, with its key in key_file
	Response         string `yaml:"response"`           // json (default), or jwt: signed answers only (RFC 9701)
	// an answer is not asked for again for that long, nor beyond exp; default 30s
	CacheMax Duration `yaml:"cache_max"`
}

// StatusLists are lists in which an issuer marks tokens as revoked (Token Status
// List).
type StatusLists struct {
	Hosts []string `yaml:"hosts"` // that serve them beside the issuer's own
}

// Outbound is how Stepward calls issuers.
type Outbound struct {
	CAFile   string   `yaml:"ca_file"`   // PEM; trusted in place of the system's authorities
	CertFile string   `yaml:"cert_file"` // PEM; shown to who asks for a client certificate
	KeyFile  string   `yaml:"key_file"`  // PEM
	Allow    []string `yaml:"allow"`     // hosts that may be at private addresses
	Timeout  Duration `yaml:"timeout"`   // of a call; default 10s
}

// Level is one level of the ladder.
type Level struct {
	Name string     `yaml:"name"`
	ACR  []string   `yaml:"acr"` // any of these proves it
	AMR  [][]string `yaml:"amr"` // all of one of these sets
}

// DPoP is on what terms proofs of possession are accepted.
type DPoP struct {
	// the public https origins under which clients know us; htu must be one of them
	Origins    []string `yaml:"origins"`
	Algorithms []string `yaml:"algorithms"` // of proofs; default ES256, EdDSA
	IATWindow  Duration `yaml:"iat_window"` // how old a proof may be; default 60s, at most 5m
	Nonce      string   `yaml:"nonce"`      // off (default) or required
	// for nonces that every replica accepts: one base64url key of 32 bytes a line, newest first
	NonceKeysFile string `yaml:"nonce_keys_file"`
}

// Assurance names the one claim that proves a level: "acr", "amr", or { claim: NAME }.
type Assurance struct {
	Claim string `yaml:"claim"` // acr and amr by their own names
}

// Words are how one issuer proves a level.
type Words struct {
	ACR []string   `yaml:"acr"`
	AMR [][]string `yaml:"amr"`
}

// Policy says where the policy is and how long it may take. It names paths, or says
// default: true, or stands beside bundles that bring the policy.
type Policy struct {
	Paths   []string `yaml:"paths"`   // files and folders
	Default bool     `yaml:"default"` // true: the policy that Stepward ships, in place of paths
	Timeout Duration `yaml:"timeout"` // default 50ms
	Compat  string   `yaml:"compat"`  // opa-envoy: the policy was written for opa-envoy-plugin, and runs as it is
	// OptionalData names members of data that the policy reads and that need not be there.
	// One that is missing is unknown: data.stepward.unknown.NAME says so, and a rule that
	// reads it without asking ends in an error.
	OptionalData []string `yaml:"optional_data"`
	// Path is the decision that such a policy makes, as its plugin has it; default
	// envoy/authz/allow.
	Path string `yaml:"path"`
	// SkipBody leaves parsed_body and truncated_body out of what such a policy reads.
	SkipBody bool `yaml:"skip_body"`
	// ProtoDescriptor is a file of descriptors, of protoc with --include_imports, by which
	// messages of gRPC are decoded for such a policy.
	ProtoDescriptor string `yaml:"proto_descriptor"`
	// Network is what the command line permits; see [Options].
	Network bool `yaml:"-"`
	// Candidate is asked about every request, too, and what it would change is told:
	// metrics, log, console --candidate. It decides nothing.
	Candidate Candidate `yaml:"candidate"`
}

// Candidate is a policy that may be enforced one day.
type Candidate struct {
	Paths []string `yaml:"paths"` // files and folders; none means that there is no candidate
}

// OPAEnvoy is the word of policy.compat for policies of opa-envoy-plugin.
const OPAEnvoy = "opa-envoy"

// Bundles hands policies, data, decision logs and status to OPA's own plugins.
type Bundles struct {
	// ConfigFile is OPA's own configuration, as YAML or JSON: services, bundles,
	// discovery, decision_logs, status, keys, labels, persistence_directory. Where it has
	// bundles or discovery, the policy comes from them.
	ConfigFile string `yaml:"config_file"`

	// Text is what is in the file, with ${NAME} replaced.
	Text string `yaml:"-"`
	// Insecure permits services without TLS off loopback.
	Insecure bool `yaml:"-"`
}

// Data says for how long data can be believed.
type Data struct {
	// MaxAge gives members of data, by name, the longest time for which they are believed
	// after their file was written or their bundle's server confirmed it. A member that is
	// older is taken away, and data.stepward.unknown.NAME says so.
	MaxAge map[string]Duration `yaml:"max_age"`
}

// Request takes single refusals of normalization back.
type Request struct {
	// path_parameters, empty_segments, encoded_slash, double_encoding, method_override, url_override
	Allow []string `yaml:"allow"`
	// sensitive (default), or fold: lower case, for upstreams that ignore it; a letter on which these differ is refused
	PathCase string `yaml:"path_case"`
	// whose element of X-Forwarded-Client-Cert is the client's: 1 the last, 2 the one before; default 0, nobody's
	XFCC        int `yaml:"xfcc"`
	TrustedHops int `yaml:"trusted_hops"` // proxies in front of Envoy whose X-Forwarded-For is believed
}

// Upstream says what the application receives.
type Upstream struct {
	HeaderPrefix  string `yaml:"header_prefix"` // of identity headers; default x-stepward-
	Authorization string `yaml:"authorization"` // pass (default) or remove a verified token
}

// Challenge words the answer to API clients.
type Challenge struct {
	Realm            string `yaml:"realm"`
	ResourceMetadata string `yaml:"resource_metadata"` // URL of RFC 9728
	Disclose         string `yaml:"disclose"`          // full (default) or none
}

// CORS lets pages of other origins read our answers.
type CORS struct {
	Origins      []string `yaml:"origins"`
	AllowHeaders []string `yaml:"allow_headers"` // default authorization, content-type
}

// Errors says how our own faults are answered.
type Errors struct {
	Status int `yaml:"status"` // 500 to 599; default 503
}

// Limits bound what one request may cost.
type Limits struct {
	Deadline Duration `yaml:"deadline"` // of a decision; default 150ms
	Token    Size     `yaml:"token"`    // default 16KiB
	Path     Size     `yaml:"path"`     // default 4KiB
	Query    Size     `yaml:"query"`    // default 32KiB
	Headers  Size     `yaml:"headers"`  // of all request headers together; default 96KiB
	// The same in number: what is beyond is refused before it is read.
	Segments        int  `yaml:"segments"`         // of a path; default 256
	QueryParameters int  `yaml:"query_parameters"` // default 1000
	HeaderLines     int  `yaml:"header_lines"`     // default 256
	Message         Size `yaml:"message"`          // of a Check call; default 4MiB
	// calls that are decided at once; more are refused; default 256 a core
	InFlight int `yaml:"in_flight"`
}

// LoginRedirect is the operator's own login application.
type LoginRedirect struct {
	URL   string   `yaml:"url"`
	Hosts []string `yaml:"hosts"` // the hosts whose browsers are sent there
	// What is required travels sealed (parameter step_up, a compact JWE: dir, A256GCM) by the
	// first of these keys, and not as acr_values and max_age; required with disclose: none.
	SealingKeysFile string `yaml:"sealing_keys_file"` // one base64url key of 32 bytes a line, newest first
}

// Duration is a length of time, written as "150ms" or "5m".
type Duration time.Duration

// Size is a number of bytes, written as 4096 or "16KiB".
type Size int64

// WithDefaults is c with every default in place.
func (c Config) WithDefaults() Config {
	fill(&c.Listen, "127.0.0.1:9191")
	fill(&c.Admin, "127.0.0.1:9192")
	issuers := make([]Issuer, len(c.Issuers))
	for i, x := range c.Issuers {
		fill(&x.Profile, "rfc9068")
		fill(&x.Assurance.Claim, "acr")
		fill(&x.Leeway, Duration(30*time.Second))
		fill(&x.DPoP.IATWindow, Duration(time.Minute))
		fill(&x.DPoP.Nonce, "off")
		fill(&x.Keys.RefreshMin, Duration(time.Minute))
		fill(&x.Keys.RefreshMax, Duration(time.Hour))
		fill(&x.Keys.UnknownKidCooldown, Duration(10*time.Second))
		fill(&x.Keys.RemovedAfter, Duration(5*time.Minute))
		fill(&x.Keys.StaleIfError, Duration(24*time.Hour))
		fill(&x.Introspection.Tokens, "opaque")
		fill(&x.Introspection.AuthMethod, "client_secret_basic")
		fill(&x.Introspection.Response, "json")
		fill(&x.Introspection.CacheMax, Duration(30*time.Second))
		issuers[i] = x
	}
	c.Issuers = issuers
	fill(&c.Policy.Timeout, Duration(50*time.Millisecond))
	fill(&c.Request.PathCase, "sensitive")
	fill(&c.Upstream.HeaderPrefix, "x-stepward-")
	fill(&c.Upstream.Authorization, "pass")
	fill(&c.Challenge.Realm, "api")
	fill(&c.Challenge.Disclose, "full")
	if len(c.CORS.AllowHeaders) == 0 {
		c.CORS.AllowHeaders = []string{"authorization", "content-type"}
	}
	fill(&c.Errors.Status, 503)
	fill(&c.Limits.Deadline, Duration(150*time.Millisecond))
	fill(&c.Limits.Token, 16<<10)
	fill(&c.Limits.Path, 4<<10)
	fill(&c.Limits.Query, 32<<10)
	fill(&c.Limits.Headers, 96<<10)
	fill(&c.Limits.Segments, 256)
	fill(&c.Limits.QueryParameters, 1000)
	fill(&c.Limits.HeaderLines, 256)
	fill(&c.Limits.Message, 4<<20)
	fill(&c.Limits.InFlight, 256*runtime.GOMAXPROCS(0))
	fill(&c.Outbound.Timeout, Duration(10*time.Second))
	fill(&c.Log.Level, "info")
	fill(&c.Log.Decisions, "stdout")
	fill(&c.Log.MaxSize, 100<<20)
	fill(&c.Log.MaxFiles, 5)
	fill(&c.Drain.Delay, Duration(5*time.Second))
	fill(&c.Drain.Cap, Duration(30*time.Second))
	return c
}

func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// String is d as it is written in a configuration.
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// String is s as it is written in a configuration.
func (s Size) String() string {
	switch {
	case s >= 1<<20 && s%(1<<20) == 0:
		return fmt.Sprintf("%dMiB", s>>20)
	case s >= 1<<10 && s%(1<<10) == 0:
		return fmt.Sprintf("%dKiB", s>>10)
	}
	return fmt.Sprint(int64(s))
}
