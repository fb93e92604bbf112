package conformance

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/stepward/stepward/pkg/stepup"
)

//go:embed cases
var files embed.FS

// Case is one request and its expected outcome.
type Case struct {
	ID      string   `yaml:"id"`      // unique; names the test
	Title   string   `yaml:"title"`   // the rule, in one line
	Clause  string   `yaml:"clause"`  // the clause behind it
	Rules   []string `yaml:"rules"`   // ids of the rules that it shows; see rules.yaml
	Fixture string   `yaml:"fixture"` // configuration and policy; base when empty
	Request Request  `yaml:"request"`
	Expect  Expect   `yaml:"expect"`
	Envoy   Envoy    `yaml:"envoy"`
}

// Request describes what a client sends.
type Request struct {
	Method  string   `yaml:"method"`  // default GET
	Target  string   `yaml:"target"`  // as on the wire
	Host    string   `yaml:"host"`    // default app.example.com
	Headers []string `yaml:"headers"` // lines, "name: value", in order; ${PAD:N} stands for N letters
	As      string   `yaml:"as"`      // adds the headers of a browser, frame, fetch, …; see presets
	Token   *Token   `yaml:"token"`   // adds Authorization: Bearer with such a token
	Body    string   `yaml:"body"`    // with its length; Envoy sends it along if the fixture says so
	Scheme  string   `yaml:"scheme"`  // of Authorization, replaces "Bearer ", or "DPoP " if there is a proof
	// DPoP binds the token to a key and adds a proof with these changes: members of its
	// header, or of its claims if the name begins with a dot; null leaves a member out.
	DPoP map[string]any `yaml:"dpop"`

	Extensions map[string]string `yaml:"extensions"` // context extensions of the route
	Metadata   map[string]any    `yaml:"metadata"`   // route metadata in namespace stepward
	// attributes, request, http, path, host or method: what Envoy does not send
	Without string `yaml:"without"`
	Inside  string `yaml:"inside"` // ended, panic or full: what goes wrong inside; only in process
}

// Token is how a token differs from a good one; see fixture.go.
type Token struct {
	Key      string         `yaml:"key"`      // es (default), rs, ps, ed or rogue, which is not published
	Header   map[string]any `yaml:"header"`   // members to set; null leaves out
	Claims   map[string]any `yaml:"claims"`   // likewise
	AuthAge  string         `yaml:"auth_age"` // how long ago the user authenticated; default 0s
	Age      string         `yaml:"age"`      // how long ago the token was issued; default 0s
	Expires  string         `yaml:"expires"`  // when it expires, from now; default 5m
	Raw      string         `yaml:"raw"`      // replaces the token; ${PAD:N} stands for N letters
	Append   string         `yaml:"append"`   // appended to the token
	Unsigned bool           `yaml:"unsigned"` // an empty signature
	Opaque   bool           `yaml:"opaque"`   // an opaque token; the provider answers with the claims
	Status   *int           `yaml:"status"`   // its index in the provider's status list, where 1 is revoked
}

// Expect describes the expected outcome.
type Expect struct {
	Reason  string            `yaml:"reason"`
	Result  string            `yaml:"result"`  // allow, challenge, redirect, preflight, deny or error
	Status  int               `yaml:"status"`  // to the client; 0 for an allow
	Headers map[string]string `yaml:"headers"` // to the client: a regular expression for the whole value
	Absent  []string          `yaml:"absent"`  // headers that the client must not get
	// every parameter of the challenge but error_description; values exactly
	Challenge map[string]string `yaml:"challenge"`
	JSON      map[string]any    `yaml:"json"`     // members of the body; null must not be there
	Body      []string          `yaml:"body"`     // parts that the body must contain
	NotBody   []string          `yaml:"not_body"` // parts that neither body nor headers may contain
	Upstream  map[string]string `yaml:"upstream"` // headers that the upstream gets; empty means absent
}

// Envoy says where a real Envoy makes a difference.
type Envoy struct {
	// Status is what the client gets if Envoy changes our answer.
	Status int `yaml:"status"`
	// Reason is the decision behind Envoy if Envoy repairs a request before it asks: it
	// then forwards what was judged.
	Reason string `yaml:"reason"`
	// Self is true if Envoy answers by itself and asks nobody.
	Self bool `yaml:"self"`
	// Headers replaces the expected ones.
	Headers map[string]string `yaml:"headers"`
	// Unreachable says why no client can cause this case behind Envoy.
	Unreachable string `yaml:"unreachable"`
	// NotJSON is true if the body does not arrive.
	NotJSON bool `yaml:"not_json"`
}

// Fixture is a configuration and a policy that cases run against.
type Fixture struct {
	Config string `yaml:"config"` // added to the base configuration
	Issuer string `yaml:"issuer"` // added to its first issuer
	Policy string `yaml:"policy"` // replaces policy.rego
	State  string `yaml:"state"`  // not_ready or empty
	Bodies int    `yaml:"bodies"` // how many bytes of a body Envoy sends along; 0 means none
}

// Suite holds all cases with their fixtures.
type Suite struct {
	Cases    []Case
	Fixtures map[string]Fixture
	Rules    map[string]string // by id, the text of the rule
}

// Load reads the built-in cases.
func Load() (Suite, error) {
	s := Suite{}
	for name, into := range map[string]any{"cases/fixtures.yaml": &s.Fixtures, "cases/rules.yaml": &s.Rules} {
		if err := decode(name, into); err != nil {
			return Suite{}, err
		}
	}
	names, err := fs.Glob(files, "cases/*-*.yaml")
	if err != nil {
		return Suite{}, err
	}
	seen := map[string]bool{}
	for _, name := range names {
		var cases []Case
		if err := decode(name, &cases); err != nil {
			return Suite{}, err
		}
		for _, c := range cases {
			if err := s.check(c, seen); err != nil {
				return Suite{}, fmt.Errorf("%s: case %q: %w", name, c.ID, err)
			}
			s.Cases = append(s.Cases, c)
		}
	}
	return s, nil
}

func decode(name string, into any) error {
	text, err := files.ReadFile(name)
	if err != nil {
		return err
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

var caseID = regexp.MustCompile(`^[a-z0-9-]+$`)

// check refuses a case that would pass without checking anything.
func (s Suite) check(c Case, seen map[string]bool) error {
	_, known := s.Fixtures[c.fixture()]
	switch {
	case !caseID.MatchString(c.ID) || seen[c.ID]:
		return fmt.Errorf("the id is not of the form some-words, or stands twice")
	case c.Title == "" || c.Clause == "":
		return fmt.Errorf("no title or no clause")
	case !known:
		return fmt.Errorf("no fixture %q", c.Fixture)
	case !slices.Contains(stepup.Reasons(), stepup.Reason(c.Expect.Reason)):
		return fmt.Errorf("reason %q is not on the list", c.Expect.Reason)
	case (c.Expect.Reason == string(stepup.OK)) != (c.Expect.Status == 0 || c.Expect.Status == 204):
		return fmt.Errorf("status %d does not go with reason %s", c.Expect.Status, c.Expect.Reason)
	case c.Request.As != "" && presets[c.Request.As] == nil:
		return fmt.Errorf("no preset %q", c.Request.As)
	}
	for _, id := range c.Rules {
		if s.Rules[id] == "" {
			return fmt.Errorf("no rule %q", id)
		}
	}
	for _, pattern := range c.Expect.Headers {
		if _, err := regexp.Compile(pattern); err != nil {
			return err
		}
	}
	seen[c.ID] = true
	return nil
}

func (c Case) fixture() string {
	if c.Fixture == "" {
		return "base"
	}
	return c.Fixture
}

const html = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

// presets maps kinds of client to the headers that they send.
var presets = map[string][]string{
	"browser": {"sec-fetch-site: none", "sec-fetch-mode: navigate", "sec-fetch-dest: document",
		"upgrade-insecure-requests: 1", "accept: " + html},
	"frame": {"sec-fetch-site: same-origin", "sec-fetch-mode: navigate", "sec-fetch-dest: iframe",
		"accept: " + html},
	"download": {"sec-fetch-site: same-origin", "sec-fetch-mode: navigate", "sec-fetch-dest: empty"},
	"worker": {"sec-fetch-site: same-origin", "sec-fetch-mode: navigate", "sec-fetch-dest: empty",
		"accept: " + html},
	"fetch":   {"sec-fetch-site: same-origin", "sec-fetch-mode: cors", "sec-fetch-dest: empty", "accept: */*"},
	"no-cors": {"sec-fetch-site: cross-site", "sec-fetch-mode: no-cors", "sec-fetch-dest: empty", "accept: */*"},
	"image": {"sec-fetch-site: same-origin", "sec-fetch-mode: no-cors", "sec-fetch-dest: image",
		"accept: image/*"},
	"prefetch": {"sec-purpose: prefetch", "sec-fetch-mode: navigate", "sec-fetch-dest: document", "accept: " + html},
	"prerender": {"sec-purpose: prefetch;prerender", "sec-fetch-mode: navigate", "sec-fetch-dest: document",
		"accept: " + html},
	"preflight": {"origin: https://spa.example.com", "access-control-request-method: POST",
		"access-control-request-headers: authorization", "sec-fetch-mode: cors"},
	"websocket": {"connection: Upgrade", "upgrade: websocket", "sec-websocket-version: 13",
		"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="},
	"old-browser": {"upgrade-insecure-requests: 1", "accept: " + html},
	"grpc":        {"content-type: application/grpc", "te: trailers"},
	"grpc-web":    {"content-type: application/grpc-web+proto"},
	"xhr":         {"x-requested-with: XMLHttpRequest", "accept: " + html},
	"curl":        {"accept: */*", "user-agent: curl/8"},
}

var pad = regexp.MustCompile(`\$\{PAD:(\d+)\}`)

// expand replaces ${PAD:N} with letters.
func expand(s string) string {
	return pad.ReplaceAllStringFunc(s, func(m string) string {
		var n int
		fmt.Sscanf(m, "${PAD:%d}", &n)
		return strings.Repeat("a", n)
	})
}
