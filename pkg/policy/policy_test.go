package policy_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stepward/stepward/pkg/internal/golden"
	"github.com/stepward/stepward/pkg/internal/strictjson"
	"github.com/stepward/stepward/pkg/policy"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/stepup"
)

func ladder(t testing.TB) stepup.Ladder {
	t.Helper()
	l, err := stepup.NewLadder([]stepup.Level{{Name: "password", ACR: []string{"1"}},
		{Name: "mfa", ACR: []string{"2"}}})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestFloors(t *testing.T) {
	annotated := func(annotations map[string]any) request.Route {
		return request.Route{Metadata: map[string]map[string]any{
			"envoy-gateway": {"resources": []any{map[string]any{"kind": "HTTPRoute", "annotations": annotations}}}}}
	}
	metadata := func(m map[string]any) request.Route {
		return request.Route{Metadata: map[string]map[string]any{"stepward": m}}
	}
	extensions := func(m map[string]string) request.Route { return request.Route{Extensions: m} }
	for _, v := range []struct {
		name          string
		route         request.Route
		floors, names int
		ok            bool
	}{
		{"nothing", request.Route{}, 0, 0, true},
		{"others' keys", extensions(map[string]string{"app": "demo", "virtual_host": "x"}), 0, 0, true},
		{"extensions", extensions(map[string]string{"stepward.level": "mfa", "stepward.max_age": "5m",
			"stepward.policy": "payments"}), 2, 1, true},
		{"seconds in digits", extensions(map[string]string{"stepward.max_age": "300"}), 1, 0, true},
		{"metadata", metadata(map[string]any{"level": "mfa", "max_age": 300.0, "policy": "payments"}), 2, 1, true},
		{"annotations", annotated(map[string]any{"stepward-level": "mfa", "stepward-max-age": "0",
			"stepward-policy": "payments", "other": "x"}), 2, 1, true},
		{"misspelt key", extensions(map[string]string{"stepward.levl": "mfa"}), 0, 0, false},
		{"misspelt level", extensions(map[string]string{"stepward.level": "MFA"}), 0, 0, false},
		{"empty level", extensions(map[string]string{"stepward.level": ""}), 0, 0, false},
		{"empty policy", extensions(map[string]string{"stepward.policy": ""}), 0, 0, false},
		{"negative age", extensions(map[string]string{"stepward.max_age": "-5m"}), 0, 0, false},
		{"age without a unit that is none", extensions(map[string]string{"stepward.max_age": "5 minutes"}), 0, 0,
			false},
		{"misspelt metadata", metadata(map[string]any{"Level": "mfa"}), 0, 0, false},
		{"ill-typed metadata", metadata(map[string]any{"level": 2.0}), 0, 0, false},
		{"fractional age", metadata(map[string]any{"max_age": 1.5}), 0, 0, false},
		{"misspelt annotation", annotated(map[string]any{"stepward-maxage": "5m"}), 0, 0, false},
	} {
		t.Run(v.name, func(t *testing.T) {
			floors, names, err := policy.Floors(v.route, ladder(t))
			if (err == nil) != v.ok || err != nil && !errors.Is(err, policy.ErrRoute) {
				t.Fatalf("%v", err)
			}
			if v.ok && (len(floors) != v.floors || len(names) != v.names) {
				t.Errorf("%+v %q", floors, names)
			}
			for _, f := range floors {
				if !f.Floor || f.Rule == "" {
					t.Errorf("%+v", f)
				}
			}
		})
	}
}

// Every input that is decoded is used whole: no member is silently dropped.
func TestDecodeRequirement(t *testing.T) {
	v, err := strictjson.Decode(
		[]byte(
			`{"level":"mfa","max_age":"1h30m","amr":["otp"],"scope":["pay"],"audience":["a"],"issuer":["https://idp"],"sender_constrained":true,"token_age":60,"reason":"r r","detail":"d d","shadow":true}`))
	if err != nil {
		t.Fatal(err)
	}
	got, err := policy.DecodeRequirement(v, "rule", ladder(t))
	if err != nil || got.Level != "mfa" || got.MaxAge != stepup.AgeOf(90*time.Minute) || len(got.AMR)+len(got.Scope)+
		len(got.Audience)+len(got.Issuer) != 4 ||
		!got.SenderConstrained || got.TokenAge != stepup.AgeOf(time.Minute) || got.Reason != "r r" ||
		got.Detail != "d d" || !got.Shadow || got.Rule != "rule" {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := policy.DecodeRequirement(map[string]any{"scope": []any{"pay"}}, "rule", ladder(t)); err != nil ||
		got.Level != stepup.Authenticated {
		t.Errorf("without level or acr: %+v, %v", got, err)
	}
	if got, err := policy.DecodeRequirement(map[string]any{"max_age": json.Number("0")}, "rule",
		ladder(t)); err != nil || got.MaxAge != stepup.AgeOf(0) {
		t.Errorf("max_age 0: %+v, %v", got, err)
	}
}

func TestHeaderNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"x-tenant": true, "tenant": true,
		"X-Tenant": false, "": false, "x tenant": false, ":path": false, "host": false, "cookie": false, "dpop": false,
		"authorization": false,
		"connection":    false, "te": false, "transfer-encoding": false, "content-length": false,
		"transfer_encoding": false,
		"x-envoy-retry-on":  false, "x-forwarded-for": false, "x_forwarded_for": false, "x-stepward-level": false,
	} {
		if err := policy.CheckRequestHeader(name, "x-stepward-"); (err == nil) != ok {
			t.Errorf("request header %q: %v", name, err)
		}
	}
	for name, ok := range map[string]bool{"cache-control": true, "set-cookie": true, "content-length": false,
		"Location": false} {
		if err := policy.CheckResponseHeader(name); (err == nil) != ok {
			t.Errorf("response header %q: %v", name, err)
		}
	}
}

// The schema names every member that the document has.
func TestSchemaCoversDocument(t *testing.T) {
	var schema struct {
		Properties map[string]struct {
			Properties map[string]any `json:"properties"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(policy.InputSchema, &schema); err != nil {
		t.Fatal(err)
	}
	r, err := request.New(request.Raw{ID: "1", Method: "POST", Host: "a.test", Target: "/a?b", Scheme: "https",
		Protocol: "HTTP/2", SNI: "a.test",
		Source:  request.Source{Address: "10.0.0.1", Principal: "p", Certificate: "c"},
		Headers: []request.Field{{Name: "x-forwarded-for", Value: "1.1.1.1"}}}, request.Options{TrustedHops: 1})
	if err != nil {
		t.Fatal(err)
	}
	for name, part := range (policy.Input{Request: r}).Document("x-stepward-") {
		known, ok := schema.Properties[name]
		if !ok {
			t.Errorf("%s is not in the schema", name)
		}
		for member := range part.(map[string]any) {
			if _, ok := known.Properties[member]; !ok {
				t.Errorf("%s.%s is not in the schema", name, member)
			}
		}
	}
}

// Whatever a policy returns is decoded to something whole or refused.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"level":"mfa","max_age":5}`))
	f.Add([]byte(`{"acr":["a","b"],"shadow":true}`))
	f.Add([]byte(`{"status":404,"always":true}`))
	f.Add([]byte(`["a",1,null]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := strictjson.Decode(b)
		if err != nil {
			return
		}
		if r, err := policy.DecodeRequirement(v, "rule", ladder(t)); err == nil && (r.Level == "") == (len(r.ACR) == 0) {
			t.Errorf("%s: %+v", b, r)
		}
		if d, err := policy.DecodeDenial(v, "rule"); err == nil && d.Status != 0 && (d.Status < 403 || d.Status > 451) {
			t.Errorf("%s: %+v", b, d)
		}
		values, err := policy.DecodeHeader("x-a", v)
		for _, s := range values {
			for i := range len(s) {
				if err == nil && (s[i] < ' ' || s[i] == 0x7f) {
					t.Errorf("%q", s)
				}
			}
		}
	})
}

// TestReferenceInput keeps docs/reference/input.md in step with the schema.
func TestReferenceInput(t *testing.T) {
	var root map[string]any
	if err := json.Unmarshal(policy.InputSchema, &root); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString(
		"# Policy input\n\nWritten by `make docs` from the schema that the compiler checks policies against: a\nreference that is not here does not load. Not in it are credentials, cookies, headers\nof our own prefix, and the time: freshness is asked for with `max_age`.\n\n| field | type | meaning |\n|---|---|---|\n")
	var walk func(path string, s map[string]any)
	walk = func(path string, s map[string]any) {
		properties, _ := s["properties"].(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(properties)) {
			p, _ := properties[name].(map[string]any)
			kind := fmt.Sprint(p["type"])
			if items, ok := p["items"].(map[string]any); ok {
				kind += fmt.Sprintf(" of %v", items["type"])
			}
			if p["type"] == nil {
				kind = "any"
			}
			meaning, _ := p["description"].(string)
			if words, ok := p["enum"].([]any); ok {
				meaning = strings.TrimSpace(meaning + " one of " + strings.Trim(fmt.Sprint(words), "[]"))
			}
			fmt.Fprintf(&b, "| `%s.%s` | %s | %s |\n", path, name, kind, meaning)
			walk(path+"."+name, p)
		}
	}
	walk("input", root)
	golden.Check(t, "../../docs/reference/input.md", b.String())
}

// The schema of the result names what the decoder takes, and no more.
func TestResultSchema(t *testing.T) {
	var schema struct {
		Definitions map[string]struct {
			Properties map[string]any `json:"properties"`
		} `json:"definitions"`
	}
	if err := json.Unmarshal(policy.ResultSchema, &schema); err != nil {
		t.Fatal(err)
	}
	for name, keys := range map[string][]string{"requirement": policy.RequirementKeys, "denial": policy.DenialKeys} {
		if got := slices.Sorted(maps.Keys(schema.Definitions[name].Properties)); !slices.Equal(
			got, slices.Sorted(slices.Values(keys))) {
			t.Errorf("%s: %v; want %v", name, got, keys)
		}
	}
}
