// Package scenario decides requests that nobody has sent, from callers that nobody has
// verified: "this browser, with a password from ten minutes ago, asks for /payments".
// Policy tests, explain, eval and matrix run scenarios through an authorizer.
//
// A [Stage] decides with the same stages as the service, with one exception: it treats the
// token of a [Scenario] as verified. It is never part of a service.
package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/extauthz"
	"github.com/stepward/stepward/pkg/internal/strictjson"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/token"
)

// Scenario describes a request and its caller, as written in a test.
type Scenario struct {
	As      string            `json:"as"`     // browser, page, api (default) or grpc
	Method  string            `json:"method"` // default GET
	Host    string            `json:"host"`   // default: [HostOf] the configuration, or app.example.com
	Path    string            `json:"path"`   // with the query; required
	Headers map[string]string `json:"headers"`
	Body    json.RawMessage   `json:"body"` // JSON, sent as application/json
	// Route holds the context extensions of Envoy's route.
	Route   map[string]string `json:"route"`
	Address string            `json:"address"` // of the peer
	// Principal is the name in the peer's certificate.
	Principal string `json:"principal"`
	// Token describes the caller by claims, which count as verified; without it nobody is
	// signed in. See [Stage.Token].
	Token map[string]any `json:"token"`
}

// Parse reads a scenario. An unknown member is an error: otherwise the test would silently
// not test it.
func Parse(text []byte) (Scenario, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	d.UseNumber()
	var s Scenario
	if err := d.Decode(&s); err != nil {
		return s, fmt.Errorf("scenario: %w", err)
	}
	if !strings.HasPrefix(s.Path, "/") {
		return s, errors.New("scenario: path is missing, or does not begin with /")
	}
	if _, known := clients[s.client()]; !known {
		return s, fmt.Errorf("scenario: as %q is not known: browser, page, api or grpc", s.As)
	}
	return s, nil
}

// client returns the kind of caller.
func (s Scenario) client() string {
	if s.As == "" {
		return "api"
	}
	return s.As
}

// clients maps kinds of caller to the headers by which they are recognised.
var clients = map[string][]request.Field{
	"browser": {{Name: "sec-fetch-mode", Value: "navigate"}, {Name: "sec-fetch-dest", Value: "document"},
		{Name: "accept", Value: "text/html"}},
	"page": {{Name: "sec-fetch-mode", Value: "cors"}, {Name: "sec-fetch-dest", Value: "empty"},
		{Name: "accept", Value: "*/*"}},
	"api":  {{Name: "accept", Value: "application/json"}},
	"grpc": {{Name: "content-type", Value: "application/grpc"}},
}

// Clients lists the kinds of caller that a scenario may come from.
func Clients() []string { return []string{"browser", "page", "api", "grpc"} }

// Headers returns the headers by which a kind of caller is recognised.
func Headers(as string) []request.Field { return slices.Clone(clients[as]) }

// Raw returns the request of s, without its credential.
func (s Scenario) Raw() request.Raw {
	raw := request.Raw{
		Method: s.Method, Host: s.Host, Target: s.Path, Scheme: "https", Size: -1, Headers: Headers(s.client()),
		Source: request.Source{Address: s.Address, Principal: s.Principal}, Route: request.Route{Extensions: s.Route},
	}
	if raw.Method == "" {
		raw.Method = "GET"
	}
	if raw.Host == "" {
		raw.Host = "app.example.com"
	}
	if s.Body != nil {
		raw.Body = request.RawBody{Present: true, Bytes: s.Body}
		raw.Size = int64(len(s.Body))
		raw.Headers = set(raw.Headers, "content-type", "application/json")
	}
	for name, value := range s.Headers {
		raw.Headers = set(raw.Headers, strings.ToLower(name), value)
	}
	return raw
}

// set replaces a header or adds it.
func set(list []request.Field, name, value string) []request.Field {
	list = slices.DeleteFunc(list, func(f request.Field) bool { return f.Name == name })
	return append(list, request.Field{Name: name, Value: value})
}

// Stage is an authorizer that scenarios run against.
type Stage struct {
	authorizer authz.Authorizer
	config     config.Config
}

// NewStage makes a stage of a, which was made from the configuration c.
func NewStage(a *authz.Authorizer, c config.Config) *Stage {
	s := &Stage{authorizer: *a, config: c}
	s.authorizer.Deadline = 10 * time.Second // nobody waits for the answer
	s.authorizer.Gate, s.authorizer.Observe = nil, nil
	return s
}

// pretended is a verifier that accepts every credential as the same token.
type pretended struct{ token token.Token }

func (p pretended) Verify(context.Context, request.Request, credential.Credential) (*token.Token, error) {
	return &p.token, nil
}

// Decide plays x. It returns an error for a scenario that cannot be played, never for one
// that is refused.
func (s *Stage) Decide(ctx context.Context, x Scenario) (authz.Record, error) {
	return s.DecideRaw(ctx, x.at(s.config).Raw(), x.Token)
}

// Claims reads the claims of a token as a person writes them, {"level": "mfa"}: one JSON
// object without duplicate names.
func Claims(text string) (map[string]any, error) { return strictjson.Object([]byte(text)) }

// DecideRaw plays a request with the claims of its caller. Without claims nobody is signed in.
func (s *Stage) DecideRaw(ctx context.Context, raw request.Raw, claims map[string]any) (authz.Record, error) {
	a := s.authorizer
	if claims != nil {
		t, err := s.Token(claims)
		if err != nil {
			return authz.Record{}, err
		}
		a.Verifier = pretended{t}
		scheme := "Bearer"
		if t.Scheme == credential.DPoP {
			scheme = "DPoP"
		}
		raw.Headers = set(raw.Headers, "authorization", scheme+" as-if-verified")
	}
	if claims != nil || raw.Attributes == nil {
		raw = extauthz.Reported(raw)
	}
	return a.Authorize(ctx, raw), nil
}

// Token returns claims as if they had been verified. iss is the URL or short name of an
// issuer, by default the first. sub is alice unless given; null means none. level may name
// a level instead of the claims that prove it. auth_age and age, lengths of time, may
// replace auth_time and iat. auth_age is 0s unless it or auth_time is given; null means
// that the token does not say. sender_constrained presents the token with DPoP.
func (s *Stage) Token(claims map[string]any) (token.Token, error) {
	r := reading{claims: map[string]any{}}
	for name, v := range claims {
		r.claims[name] = v
	}
	issuer, err := s.issuer(r.text("iss", ""))
	if err != nil {
		return token.Token{}, err
	}
	now := s.authorizer.Now()
	t := token.Token{
		Issuer: issuer.Issuer, IssuerName: issuer.Name, Principal: token.User, Scheme: credential.Bearer,
		Audience: issuer.Audiences,
		Subject:  r.text("sub", "alice"), ClientID: r.text("client_id", ""), IssuedAt: now.Add(-r.take("age", 0)),
		ExpiresAt: now.Add(5 * time.Minute),
	}
	if err := s.prove(&r, issuer); err != nil {
		return token.Token{}, err
	}
	t.Scopes = strings.Fields(r.text("scope", ""))
	proof := token.Proof{ACR: r.text("acr", ""), AMR: r.list("amr")}
	if c := issuer.Assurance.Claim; c != "acr" && c != "amr" {
		proof.Assurance = r.list(c)
	}
	if aud := r.list("aud"); aud != nil {
		t.Audience = aud
	}
	proof.At = r.authTime(now)
	t.Proofs = []token.Proof{proof}
	if bound, _ := r.claims["sender_constrained"].(bool); bound {
		t.Scheme, t.SenderConstrained = credential.DPoP, true
	}
	delete(r.claims, "sender_constrained")
	if t.Subject == "" || t.Subject == t.ClientID {
		t.Principal = token.Client
	}
	t.Claims = r.claims
	return t, r.err
}

// issuer returns the named issuer, or the first. If there is none it makes one up, so that
// a policy can be tested without a configuration.
func (s *Stage) issuer(name string) (config.Issuer, error) {
	if len(s.config.Issuers) == 0 {
		return config.Issuer{}, errors.New("scenario: the configuration trusts no issuer")
	}
	for _, i := range s.config.Issuers {
		if name == "" || name == i.Issuer || name == i.Name {
			return i, nil
		}
	}
	return config.Issuer{}, fmt.Errorf("scenario: iss %q is not a configured issuer", name)
}

// prove replaces the name of a level with the claims that prove it.
func (s *Stage) prove(r *reading, issuer config.Issuer) error {
	level := r.text("level", "")
	delete(r.claims, "level")
	if level == "" || level == "authenticated" {
		return nil
	}
	for _, l := range s.config.Levels {
		if l.Name != level {
			continue
		}
		if own, ok := issuer.Levels[level]; ok {
			l.ACR, l.AMR = own.ACR, own.AMR
		}
		claim := issuer.Assurance.Claim
		switch {
		case claim == "amr" && len(l.AMR) > 0:
			r.claims["amr"] = anyOf(l.AMR[0])
		case claim == "acr" && len(l.ACR) > 0:
			r.claims["acr"] = l.ACR[0]
		case claim != "amr" && claim != "acr" && len(l.ACR) > 0:
			r.claims[claim] = anyOf(l.ACR[:1])
		default:
			return fmt.Errorf("scenario: issuer %s has no words for level %q", issuer.Name, level)
		}
		return nil
	}
	return fmt.Errorf("scenario: level %q is not on the ladder", level)
}

func anyOf(list []string) []any {
	out := make([]any, len(list))
	for n, v := range list {
		out[n] = v
	}
	return out
}

// reading takes claims by type, and keeps the first error.
type reading struct {
	claims map[string]any
	err    error
}

func (r *reading) fail(name, must string) {
	if r.err == nil {
		r.err = fmt.Errorf("scenario: %s of the token %s", name, must)
	}
}

func (r *reading) text(name, otherwise string) string {
	v, there := r.claims[name]
	switch s, ok := v.(string); {
	case !there:
		return otherwise
	case v == nil:
		delete(r.claims, name)
		return ""
	case !ok:
		r.fail(name, "is not a string")
		return ""
	default:
		return s
	}
}

func (r *reading) list(name string) []string {
	switch v := r.claims[name].(type) {
	case nil:
		return nil
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, x := range v {
			s, ok := x.(string)
			if !ok {
				r.fail(name, "is not a list of strings")
			}
			out = append(out, s)
		}
		return out
	}
	r.fail(name, "is not a list of strings")
	return nil
}

// take removes a length of time, which is not a claim, from the claims.
func (r *reading) take(name string, otherwise time.Duration) time.Duration {
	v, there := r.claims[name]
	delete(r.claims, name)
	if !there {
		return otherwise
	}
	d, err := time.ParseDuration(fmt.Sprint(v))
	if err != nil {
		r.fail(name, "is not a length of time, such as \"301s\"")
	}
	return d
}

func (r *reading) authTime(now time.Time) time.Time {
	if at, ok := r.claims["auth_time"].(json.Number); ok {
		seconds, err := at.Int64()
		if err != nil {
			r.fail("auth_time", "is not a number of seconds")
		}
		return time.Unix(seconds, 0)
	}
	if v, there := r.claims["auth_age"]; there && v == nil {
		delete(r.claims, "auth_age")
		return time.Time{}
	}
	return now.Truncate(time.Second).Add(-r.take("auth_age", 0))
}
