// Package config reads stepward.yaml: what to serve, whose tokens to trust, the ladder of
// levels, and where the policy is.
//
// It is strict. An unknown key, a value of the wrong type, a duplicate member and a missing
// file are findings with file, line and column. All of them are reported at once, and a
// configuration with a finding is not used. Issuers and policy are required: nothing that
// decides has a silent default, because a file that was cut short would then decide by it.
// Anything else that is left out has the safe meaning documented at its field here.
//
// Start with [Load]. The package holds plain data, sits just above package stepup, and does
// not know what is built from it: the packages under run do that. The tag `file` marks the
// fields that name files; see paths.go.
package config

// Config holds the whole configuration.
type Config struct {
	Listen string `yaml:"listen"` // of Check and grpc.health.v1; host:port or unix:///path; default 127.0.0.1:9191
	TLS    TLS    `yaml:"tls"`    // of the Check listener
	Admin  string `yaml:"admin"`  // of health, metrics and version; default 127.0.0.1:9192
	// Control is the socket of console and explain --decision: unix:///path; off unless
	// set. Anyone who can open it can read recent decisions.
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

	// Sources lists the files that decide: the configuration itself, and the policies, keys
	// and certificates that it names. They are watched for changes.
	Sources []string `yaml:"-"`
}

// TLS says how the Check listener proves itself and which callers it lets in. Its files
// are read again when they change.
type TLS struct {
	CertFile     string   `yaml:"cert_file" file:"read"`      // PEM, the listener's own first
	KeyFile      string   `yaml:"key_file" file:"read"`       // PEM
	ClientCAFile string   `yaml:"client_ca_file" file:"read"` // PEM; callers then need a certificate from this CA
	ClientIDs    []string `yaml:"client_ids"`                 // SPIFFE IDs of callers; none: any certificate of the CA
}

// Log says where decisions and events are written.
type Log struct {
	Level     string `yaml:"level"`               // debug, info (default), warn or error
	Decisions string `yaml:"decisions"`           // stdout (default), file, otlp or off
	File      string `yaml:"file" file:"written"` // where decisions go when they go to a file
	MaxSize   Size   `yaml:"max_size"`            // of the file, before it is rotated; default 100MiB
	MaxFiles  int    `yaml:"max_files"`           // rotated files to keep; default 5
	// Input logs the policy's input with each decision, so that replay can put it to
	// another policy; default false. Bodies, queries and headers whose names suggest a
	// secret are masked.
	Input bool `yaml:"input"`
	// JSON pointers to more that is masked, also in OPA decision logs, such as
	// /input/token/claims/email
	Mask []string `yaml:"mask"`
	Keep []string `yaml:"keep"` // JSON pointers to what is not masked, such as /input/request/body/json/amount
}

// Drain says how the service stops.
type Drain struct {
	Delay Duration `yaml:"delay"` // how long it still answers after health says NOT_SERVING; default 5s
	Cap   Duration `yaml:"cap"`   // how long calls under way may take after that; default 30s
}

// Issuer describes an identity provider whose tokens are trusted.
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
	JWKSFile  string    `yaml:"jwks_file" file:"read"`
	Optional  bool      `yaml:"optional"` // start-up does not wait for its keys
	// terms for tokens that are bound to a key (RFC 9449); without origins they are refused
	DPoP   DPoP             `yaml:"dpop"`
	Levels map[string]Words `yaml:"levels"` // its own words for a level, instead of the ladder's

	Keys Keys `yaml:"keys"` // how its keys are fetched and for how long they are trusted
	// for tokens that are not JWTs (RFC 7662); without an endpoint they are refused
	Introspection Introspection `yaml:"introspection"`
	StatusLists   StatusLists   `yaml:"status_lists"` // lists in which it marks revoked tokens
}

// Keys says how an issuer's keys are fetched, and for how long they are trusted.
type Keys struct {
	RefreshMin         Duration `yaml:"refresh_min"`          // even if its Cache-Control says less; default 1m
	RefreshMax         Duration `yaml:"refresh_max"`          // even if it says more; default 1h
	UnknownKidCooldown Duration `yaml:"unknown_kid_cooldown"` // between fetches that unknown keys cause; default 10s
	// how long a key is still trusted after the issuer has withdrawn it; default 5m
	RemovedAfter Duration `yaml:"removed_after"`
	// how long keys that cannot be fetched again are still trusted; default 24h
	StaleIfError Duration `yaml:"stale_if_error"`
	// a folder for Stepward alone, in which the last good keys survive a restart; unset, they do not
	CacheDir string `yaml:"cache_dir" file:"kept"`
}

// Introspection says how an issuer is asked about a token (RFC 7662).
type Introspection struct {
	Endpoint string `yaml:"endpoint"` // its introspection_endpoint
	// opaque (default), or all: JWTs are verified and also asked about, and the weaker view counts
	Tokens string `yaml:"tokens"`
	// opaque tokens that begin with this belong to the issuer; needed if several issuers
	// have them
	Prefix string `yaml:"prefix"`
	// the client that asks; many providers answer only a client in the token's aud
	ClientID string `yaml:"client_id"`
	// client_secret_basic (default), client_secret_post, private_key_jwt or tls_client_auth
	AuthMethod       string `yaml:"auth_method"`
	ClientSecretFile string `yaml:"client_secret_file" file:"read"` // its text, for the first two methods
	KeyFile          string `yaml:"key_file" file:"read"`           // PEM, for private_key_jwt
	KeyID            string `yaml:"key_id"`                         // kid of that key, if the provider wants one
	CertFile         string `yaml:"cert_file" file:"read"`          // PEM, for tls_client_auth; its key is key_file
	Response         string `yaml:"response"`                       // json (default), or jwt: signed only (RFC 9701)
	// how long an answer is reused, never beyond exp; default 30s
	CacheMax Duration `yaml:"cache_max"`
}

// StatusLists are lists in which an issuer marks tokens as revoked (Token Status
// List).
type StatusLists struct {
	Hosts []string `yaml:"hosts"` // that serve them, besides the issuer's own
}

// Outbound says how Stepward calls issuers.
type Outbound struct {
	CAFile   string   `yaml:"ca_file" file:"read"`   // PEM; trusted instead of the system's authorities
	CertFile string   `yaml:"cert_file" file:"read"` // PEM; shown to servers that ask for a client certificate
	KeyFile  string   `yaml:"key_file" file:"read"`  // PEM
	Allow    []string `yaml:"allow"`                 // hosts that may be at private addresses
	Timeout  Duration `yaml:"timeout"`               // of a call; default 10s
}

// Level is one level of the ladder.
type Level struct {
	Name string     `yaml:"name"`
	ACR  []string   `yaml:"acr"` // any of these proves it
	AMR  [][]string `yaml:"amr"` // all of one of these sets
}

// DPoP sets the terms on which proofs of possession are accepted.
type DPoP struct {
	// the public https origins under which clients know us; htu must be one of them
	Origins    []string `yaml:"origins"`
	Algorithms []string `yaml:"algorithms"` // of proofs; default ES256, EdDSA
	IATWindow  Duration `yaml:"iat_window"` // how old a proof may be; default 60s, at most 5m
	Nonce      string   `yaml:"nonce"`      // off (default) or required
	// for nonces that every replica accepts: one base64url key of 32 bytes per line, newest
	// first
	NonceKeysFile string `yaml:"nonce_keys_file" file:"read"`
}

// Assurance names the one claim that proves a level: "acr", "amr", or { claim: NAME }.
type Assurance struct {
	Claim string `yaml:"claim"` // acr and amr by their own names
}

// Words say how one issuer proves a level.
type Words struct {
	ACR []string   `yaml:"acr"`
	AMR [][]string `yaml:"amr"`
}

// Policy says where the policy is and how long it may take. It names paths, or says
// default: true, or accompanies bundles that bring the policy.
type Policy struct {
	Paths   []string `yaml:"paths" file:"read"` // files and folders
	Default bool     `yaml:"default"`           // true: the policy that Stepward ships, instead of paths
	Timeout Duration `yaml:"timeout"`           // default 50ms
	Compat  string   `yaml:"compat"`            // opa-envoy: the policy was written for opa-envoy-plugin
	// OptionalData names members of data that the policy reads and that may be missing. A
	// missing one is unknown: data.stepward.unknown.NAME says so, and a rule that reads it
	// without asking first ends in an error.
	OptionalData []string `yaml:"optional_data"`
	// Path is the decision that such a policy makes, in the plugin's form; default
	// envoy/authz/allow.
	Path string `yaml:"path"`
	// SkipBody leaves parsed_body and truncated_body out of the input of such a policy.
	SkipBody bool `yaml:"skip_body"`
	// ProtoDescriptor is a file of descriptors, made by protoc with --include_imports, for
	// decoding gRPC messages for such a policy.
	ProtoDescriptor string `yaml:"proto_descriptor" file:"read"`
	// Network is what the command line permits; see [Options].
	Network bool `yaml:"-"`
	// Candidate is also asked about every request, and metrics, the log and console
	// --candidate report what it would change. It decides nothing.
	Candidate Candidate `yaml:"candidate"`
}

// Candidate is a policy that may be enforced one day.
type Candidate struct {
	Paths []string `yaml:"paths" file:"read"` // files and folders; none means that there is no candidate
}

// OPAEnvoy is the value of policy.compat for policies written for opa-envoy-plugin.
const OPAEnvoy = "opa-envoy"

// Bundles hands policies, data, decision logs and status to OPA's own plugins.
type Bundles struct {
	// ConfigFile is OPA's own configuration, as YAML or JSON: services, bundles, discovery,
	// decision_logs, status, keys, labels, persistence_directory. If it has bundles or
	// discovery, the policy comes from them.
	ConfigFile string `yaml:"config_file" file:"read"`

	// Text is the content of the file, with ${NAME} replaced.
	Text string `yaml:"-"`
	// Insecure permits services without TLS off loopback.
	Insecure bool `yaml:"-"`
}

// Data says how long data can be believed.
type Data struct {
	// MaxAge gives members of data, by name, the longest time for which they are believed
	// after their file was written or their bundle's server confirmed them. An older member
	// is removed, and data.stepward.unknown.NAME says so.
	MaxAge map[string]Duration `yaml:"max_age"`
}

// Request lifts single refusals of normalization.
type Request struct {
	// path_parameters, empty_segments, encoded_slash, double_encoding, method_override, url_override
	Allow []string `yaml:"allow"`
	// sensitive (default), or fold: lower case, for upstreams that ignore it; a letter on which these differ is refused
	PathCase string `yaml:"path_case"`
	// which element of X-Forwarded-Client-Cert is the client's: 1 the last, 2 the one before it; default 0, none
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

// Errors says how to answer our own faults.
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
	// The same in number: a request with more is refused before it is read.
	Segments        int  `yaml:"segments"`         // of a path; default 256
	QueryParameters int  `yaml:"query_parameters"` // default 1000
	HeaderLines     int  `yaml:"header_lines"`     // default 256
	Message         Size `yaml:"message"`          // of a Check call; default 4MiB
	// calls that are decided at once; more are refused; default 256 per core
	InFlight int `yaml:"in_flight"`
}

// LoginRedirect is the operator's own login application.
type LoginRedirect struct {
	URL   string   `yaml:"url"`
	Hosts []string `yaml:"hosts"` // the hosts whose browsers are sent there
	// Requirements travel sealed (parameter step_up, a compact JWE: dir, A256GCM) with the
	// first of these keys, and not as acr_values and max_age; required with disclose: none.
	SealingKeysFile string `yaml:"sealing_keys_file" file:"read"` // a base64url key of 32 bytes per line, newest first
}
