package scenario_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/author/scenario"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/run/snapshot"
)

const policyText = `package stepward.policy
import rego.v2
require contains {"level": "anonymous"} if input.request.path == "/"
require contains {"level": "authenticated"} if input.request.path != "/"
require contains {"level": "mfa", "max_age": "5m"} if input.request.segments[0] == "payments"
require contains {"sender_constrained": true} if input.request.segments[0] == "bound"
require contains {"level": "mfa"} if input.request.body.json.amount > 1000
require contains {"level": "mfa"} if input.source.principal == "spiffe://example.com/old"
require contains {"scope": ["write"]} if input.request.headers["x-write"]
deny contains {"code": "programs"} if input.token.principal == "client"
headers["x-tenant"] := input.token.claims.tenant
`

// open plays scenarios before a policy under a configuration.
func open(t *testing.T, settings string, sources ...rego.Source) *scenario.Stage {
	t.Helper()
	c, err := config.Parse("stepward.yaml", []byte(settings+"policy: { default: true }\n"), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ladder, err := c.Ladder()
	if err != nil {
		t.Fatal(err)
	}
	p, err := rego.Load(t.Context(), sources, rego.Options{Ladder: ladder, Timeout: 1e10})
	if err != nil {
		t.Fatalf("%v\n%s", err, sources[0].Text)
	}
	a, err := snapshot.NewAuthorizer(c, nil, p)
	if err != nil {
		t.Fatal(err)
	}
	return scenario.NewStage(a, c)
}

const issuers = `
issuers:
- { name: corp, issuer: "https://idp.example.com", audiences: [api] }
- { name: bank, issuer: "https://bank.example.com", audiences: [api], assurance: amr, levels: { mfa: { amr: [[pwd, otp]] } } }
- { name: entra, issuer: "https://entra.example.com", audiences: [api], assurance: { claim: acrs }, levels: { mfa: { acr: [c1] } } }
levels: [{ name: password, acr: ["1"] }, { name: mfa, acr: ["2"] }]
login_redirect: { url: "https://login.example.com/", hosts: [app.example.com] }
`

// Each scenario gets the answer that a caller would get.
func TestDecide(t *testing.T) {
	s := open(t, issuers, rego.Source{Name: "p.rego", Text: []byte(policyText)})
	for text, want := range map[string]string{
		`{"path":"/"}`:                                                                      `{"result":"allow","reason":"ok","status":200}`,
		`{"path":"/x"}`:                                                                     `{"result":"challenge","reason":"no_credentials","status":401}`,
		`{"path":"/x","token":{}}`:                                                          `{"result":"allow","held":"authenticated"}`,
		`{"path":"/payments"}`:                                                              `{"result":"challenge","level":"mfa","max_age":300,"acr_values":["2"]}`,
		`{"path":"/payments","as":"browser"}`:                                               `{"result":"redirect","reason":"no_credentials","level":"mfa","status":302}`,
		`{"path":"/payments","as":"grpc"}`:                                                  `{"result":"challenge"}`,
		`{"path":"/payments","token":{"level":"password"}}`:                                 `{"result":"challenge","reason":"insufficient_level","held":"password","missing":["level"]}`,
		`{"path":"/payments","token":{"level":"mfa"}}`:                                      `{"result":"allow","held":"mfa"}`,
		`{"path":"/payments","token":{"acr":"2"}}`:                                          `{"result":"allow","held":"mfa"}`,
		`{"path":"/payments","token":{"acr":"2","auth_age":"301s"}}`:                        `{"reason":"stale_authentication","missing":["age"],"max_age":300}`,
		`{"path":"/payments","token":{"acr":"2","auth_age":"299s"}}`:                        `{"result":"allow"}`,
		`{"path":"/payments","token":{"level":"mfa","auth_age":null}}`:                      `{"reason":"stale_authentication"}`,
		`{"path":"/payments","token":{"iss":"bank","level":"mfa"}}`:                         `{"result":"allow"}`,
		`{"path":"/payments","token":{"iss":"https://bank.example.com","amr":["pwd"]}}`:     `{"missing":["level"]}`,
		`{"path":"/payments","token":{"iss":"entra","level":"mfa"}}`:                        `{"result":"allow"}`,
		`{"path":"/payments","token":{"iss":"entra","acrs":["c2"]}}`:                        `{"missing":["level"]}`,
		`{"path":"/bound","token":{}}`:                                                      `{"reason":"not_sender_constrained"}`,
		`{"path":"/bound","token":{"sender_constrained":true}}`:                             `{"result":"allow"}`,
		`{"path":"/x","token":{"sub":null,"client_id":"batch"}}`:                            `{"result":"deny","reason":"policy_denied","status":403}`,
		`{"path":"/x","token":{"tenant":"acme"}}`:                                           `{"result":"allow","headers":{"x-tenant":"acme"}}`,
		`{"path":"/x","method":"POST","body":{"amount":1001},"token":{"level":"password"}}`: `{"reason":"insufficient_level"}`,
		`{"path":"/x","method":"POST","body":{"amount":1000},"token":{"level":"password"}}`: `{"result":"allow"}`,
		`{"path":"/x","principal":"spiffe://example.com/old","token":{}}`:                   `{"reason":"insufficient_level"}`,
		`{"path":"/x","headers":{"X-Write":"1"},"token":{"scope":"read"}}`:                  `{"reason":"insufficient_scope","missing":["scope"]}`,
		`{"path":"/x","headers":{"X-Write":"1"},"token":{"scope":"read write"}}`:            `{"result":"allow"}`,
		`{"path":"/x","route":{"stepward.level":"mfa"},"token":{}}`:                         `{"reason":"insufficient_level"}`,
		`{"path":"/x","token":{"aud":["other"]}}`:                                           `{"result":"allow"}`,
	} {
		x, err := scenario.Parse([]byte(text))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		r, err := s.Decide(t.Context(), x)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		got, err := json.Marshal(scenario.AnswerOf(r))
		if err != nil {
			t.Fatal(err)
		}
		var has, wanted map[string]any
		if json.Unmarshal(got, &has) != nil || json.Unmarshal([]byte(want), &wanted) != nil {
			t.Fatal(string(got), want)
		}
		for name, value := range wanted {
			if headers, ok := value.(map[string]any); ok {
				for h, v := range headers {
					if has[name].(map[string]any)[h] != v {
						t.Errorf("%s: header %s in %s", text, h, got)
					}
				}
				continue
			}
			if !reflect.DeepEqual(has[name], value) {
				t.Errorf("%s: %s is %v; want %v\n%s", text, name, has[name], value, got)
			}
		}
	}
}

// What a test cannot mean is an error, and not a scenario that happens to be refused.
func TestRefuses(t *testing.T) {
	s := open(t, issuers, rego.Source{Name: "p.rego", Text: []byte(policyText)})
	for text, says := range map[string]string{
		``: "EOF", `{}`: "path is missing", `{"path":"x"}`: "does not begin with /",
		`{"path":"/","as":"robot"}`: "not known", `{"path":"/","tokn":{}}`: "unknown field",
		`{"path":"/","token":{"level":"mfaa"}}`:                  "not on the ladder",
		`{"path":"/","token":{"iss":"nobody"}}`:                  "not a configured issuer",
		`{"path":"/","token":{"acr":2}}`:                         "not a string",
		`{"path":"/","token":{"amr":[1]}}`:                       "list of strings",
		`{"path":"/","token":{"auth_age":"soon"}}`:               "length of time",
		`{"path":"/","token":{"auth_time":1.5}}`:                 "number of seconds",
		`{"path":"/","token":{"iss":"bank","level":"password"}}`: "no words",
	} {
		x, err := scenario.Parse([]byte(text))
		if err == nil {
			_, err = s.Decide(t.Context(), x)
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v; want %q", text, err, says)
		}
	}
}
