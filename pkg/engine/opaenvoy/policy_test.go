package opaenvoy_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stepward/stepward/pkg/engine/opaenvoy"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/pkg/internal/wait"
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

func load(t testing.TB, o opaenvoy.Options, sources ...rego.Source) (*opaenvoy.Policy, error) {
	t.Helper()
	o.Ladder = ladder(t)
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	return opaenvoy.Load(t.Context(), sources, o)
}

func source(name, text string) rego.Source { return rego.Source{Name: name, Text: []byte(text)} }

// reported is what a policy is asked about where Envoy reports document.
func reported(document map[string]any) policy.Input {
	return policy.Input{Request: request.Request{Attributes: func() map[string]any { return maps.Clone(document) }}}
}

// allowed reports whether p lets in the sender of document, and the error.
func allowed(t *testing.T, p *opaenvoy.Policy, document map[string]any) (bool, error) {
	t.Helper()
	r, err := p.Evaluate(t.Context(), reported(document))
	return err == nil && len(r.Require) == 1 && r.Require[0].Level == stepup.Anonymous && len(r.Deny) == 0, err
}

func TestRefused(t *testing.T) {
	for name, v := range map[string]struct {
		text, path, code, message string
	}{
		"syntax": {"package envoy.authz\nallow if {", "", "rego_parse_error", ""},
		"old syntax": {"package envoy.authz\ndefault allow = false\nallow { input.x }", "", "rego_v0",
			"Rego v0"},
		"another decision": {"package envoy.authz\nallowed if input.x", "", "no_decision", "envoy/authz/allow"},
		"a decision of none": {"package envoy.authz\nallow if input.x", "envoy/authz/allows", "no_decision",
			"did you mean"},
		"everything": {"package envoy.authz\nallow if input.x", "/", "no_decision", ""},
		"network": {
			"package envoy.authz\nallow if http.send({\"method\": \"GET\", \"url\": \"https://a.test\"}).status_code == 200", "", "rego_type_error", "http.send"},
		"names": {"package envoy.authz\nallow if net.lookup_ip_addr(\"a.test\")", "", "rego_type_error",
			"net.lookup_ip_addr"},
		"environment": {"package envoy.authz\nallow if opa.runtime().env.X", "", "rego_type_error",
			"opa.runtime"},
		"undefined function": {"package envoy.authz\nallow if nothing(input)", "", "rego_type_error", "nothing"},
		"recursion":          {"package envoy.authz\nallow if a\na if allow", "", "rego_recursion_error", ""},
		"empty":              {"", "", "rego_parse_error", "empty"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, opaenvoy.Options{Path: v.path}, source("p.rego", v.text))
			var found finding.List
			if !errors.As(err, &found) || found[0].Code != v.code || !strings.Contains(err.Error(), v.message) {
				t.Errorf("%v; want %s %s", err, v.code, v.message)
			}
		})
	}
	for _, text := range []string{"package envoy.authz\nallow if input.x",
		"package envoy.authz\nimport rego.v1\nallow if input.x",
		"package envoy.authz\nimport future.keywords.if\nallow if { input.x; unused := 1 }"} {
		if _, err := load(t, opaenvoy.Options{}, source("p.rego", text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// Files that are too large together are refused before they are read.
func TestSize(t *testing.T) {
	large := source("data.json", `{"x": "`+strings.Repeat("x", 17<<20)+`"}`)
	one, more := large, source("more.json", `{"y": "`+strings.Repeat("y", 17<<20)+`"}`)
	rule := source("p.rego", "package envoy.authz\n\nallow := true\n")
	if _, err := load(t, opaenvoy.Options{}, rule, one); err != nil {
		t.Error(err)
	}
	if _, err := load(t, opaenvoy.Options{}, rule, one, more); err == nil || !strings.Contains(
		err.Error(), "larger than") {
		t.Errorf("%v", err)
	}
}

// A decision may be a rule, a member of one, a package, or data.
func TestDecisions(t *testing.T) {
	const text = "package app\n\nimport rego.v1\n\nallowed := input.ok\n\nresult[\"allowed\"] := input.ok\n\nnested := {\"deep\": {\"allowed\": input.ok}}\n"
	for _, path := range []string{"app/allowed", "app/result", "app/nested/deep", "app", "/app/allowed/",
		"config/open"} {
		p, err := load(t, opaenvoy.Options{Path: path}, source("p.rego", text),
			source("d.json", `{"config": {"open": true, "shut": false}}`))
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if ok, err := allowed(t, p, map[string]any{"ok": true}); !ok {
			t.Errorf("%s refuses: %v", path, err)
		}
		if ok, err := allowed(t, p, map[string]any{"ok": false}); ok != (path == "config/open") {
			t.Errorf("%s: %t %v", path, ok, err)
		}
	}
}

// Data files stand below the names of their folders, and tests take no part.
func TestData(t *testing.T) {
	const text = "package envoy.authz\nallow if input.user in data.staff.roles.admin"
	sources := []rego.Source{
		source("p.rego", text), source("p_test.rego", "package envoy.authz\nallow := true"),
		{Name: "staff/roles/data.json", Text: []byte(`{"admin": ["bob"]}`), Under: []string{"staff", "roles"}},
		{Name: "staff/data.yaml", Text: []byte("roles: {guest: [alice]}"), Under: []string{"staff"}},
	}
	p, err := load(t, opaenvoy.Options{}, sources...)
	if err != nil {
		t.Fatal(err)
	}
	for user, want := range map[string]bool{"bob": true, "alice": false} {
		if ok, err := allowed(t, p, map[string]any{"user": user}); ok != want || err != nil {
			t.Errorf("%s: %t %v", user, ok, err)
		}
	}
	if _, err := load(t, opaenvoy.Options{},
		append(sources, source("more.json", `{"staff": {"roles": {"admin": []}}}`))...); err == nil {
		t.Error("two files hold the same member")
	}
}

// The clock is there, stands still within an evaluation, and goes on after it.
func TestClock(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	p, err := load(t, opaenvoy.Options{Now: func() time.Time { return now }}, source("p.rego", `package envoy.authz
allow if {
	time.now_ns() == input.at * 1000000000
	count({time.now_ns() | some _ in numbers.range(1, 1000)}) == 1
}`))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if ok, err := allowed(t, p, map[string]any{"at": now.Unix()}); !ok {
			t.Errorf("at %s: %v", now, err)
		}
		if ok, err := allowed(t, p, map[string]any{"at": now.Unix() - 1}); ok || err != nil {
			t.Errorf("a second before %s: %t %v", now, ok, err)
		}
		now = now.Add(time.Hour)
	}
}

// The network is there where it is permitted, and its time is the decision's.
func TestNetwork(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-release
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"ok": true}`)
	}))
	defer server.Close()
	defer close(release)
	text := fmt.Sprintf(
		"package envoy.authz\nallow if http.send({\"method\": \"GET\", \"url\": concat(\"\", [%q, input.path])}).body.ok", server.URL)
	p, err := load(t, opaenvoy.Options{Network: true, Options: rego.Options{Timeout: time.Second}}, source("p.rego", text)) // clock: this is to be too short for the slow one
	if err != nil {
		t.Fatal(err)
	}
	wait.Until(t, "a quick answer is in time",
		func() bool { ok, _ := allowed(t, p, map[string]any{"path": "/quick"}); return ok })
	if ok, err := allowed(t, p, map[string]any{"path": "/slow"}); ok || !errors.Is(err, policy.ErrTimeout) {
		t.Errorf("%t %v", ok, err)
	}
}

func TestEnds(t *testing.T) {
	defer goleak.VerifyNone(t)
	short := rego.Options{Timeout: time.Second} // clock: this is to be too short for the endless one
	p, err := load(t, opaenvoy.Options{Options: short}, source("p.rego", `package envoy.authz
default allow := false
allow if input.quick
allow if count([x | some x in numbers.range(1, 1000000000)]) > 0`))
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := allowed(t, p, map[string]any{}); ok || !errors.Is(err, policy.ErrTimeout) {
		t.Errorf("endless: %t %v", ok, err)
	}
	wait.Until(t, "a quick one is in time",
		func() bool { ok, _ := allowed(t, p, map[string]any{"quick": true}); return ok })
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Evaluate(ended, reported(map[string]any{"quick": true})); !errors.Is(err, context.Canceled) {
		t.Errorf("ended: %v", err)
	}
	panics := policy.Input{Request: request.Request{Attributes: func() map[string]any { panic("in the report") }}}
	if r, err := p.Evaluate(t.Context(), panics); err == nil || len(r.Require) > 0 {
		t.Errorf("panic: %+v %v", r, err)
	}
	for name, in := range map[string]policy.Input{"not of Envoy": {}, "a route's policy": {Routes: []string{"x"},
		Request: reported(map[string]any{}).Request}} {
		if _, err := p.Evaluate(t.Context(), in); err == nil || (name == "a route's policy") != errors.Is(
			err, policy.ErrRoute) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Literal names in rules are known; names in refusals and names that proxies use are left
// alone.
func TestRequestHeaders(t *testing.T) {
	p, err := load(t, opaenvoy.Options{Path: "app/result"}, source("p.rego", `package app

headers["X-User"] := "a" if input.a

headers["content-type"] := "application/json" if not input.a

headers["x-request-id"] := "1"

headers[input.name] := "computed"

result := {"allowed": true, "headers": {"x-team": "b", "x-stepward-level": "c", "location": "d"}} if input.a

result := {"allowed": false, "headers": [{"x-why": "e"}]} if not input.a`))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(p.Traits().RequestHeaders, " "); got != "x-team x-user x-why" {
		t.Error(got)
	}
}

func TestLint(t *testing.T) {
	warned := opaenvoy.Lint([]rego.Source{source("p.rego", `package envoy.authz

allow if not blocked

allow if {
	not input.admin
	input.ok
}

blocked if time.parse_rfc3339_ns(input.since) > 0

default open := false

open if io.jwt.decode(input.jwt)[1].ok`)}, opaenvoy.Options{})
	if len(warned) != 1 || warned[0].Code != "silent_error" || warned[0].Line != 3 ||
		warned[0].Severity != finding.Warning || !strings.Contains(warned[0].Message, "time.parse_rfc3339_ns") {
		t.Errorf("%v", warned)
	}
}

// secret stands for the content of somebody's header.
const secret = "SECRET-5b1f"

// No error tells what the request says.
func TestErrorsHoldNoValues(t *testing.T) {
	const s = `input.attributes.request.http.headers["x-secret"]`
	failed := 0
	for _, rule := range []string{
		"allow := " + s,
		"allow := to_number(" + s + ") > 1",
		"allow := time.parse_duration_ns(" + s + ") > 1",
		"allow := json.unmarshal(" + s + ")",
		`allow := {"allowed": true, "headers": {` + s + `: "x"}}`,
		`allow := {"allowed": true, "headers": {concat("", ["x-envoy-", ` + s + `]): "x"}}`,
		`allow := {"allowed": true, "headers": {concat("", ["x-stepward-", ` + s + `]): "x"}}`,
		`allow := {"allowed": true, "headers": {concat(" ", [` + s + `, "x"]): "x"}}`,
		`allow := {"allowed": true, "headers": {"x-a": {` + s + `: 1}}}`,
		`allow := {"allowed": true, "query_parameters_to_set": {concat(" ", [` + s + `, "x"]): "x"}}`,
		`allow := {"allowed": true, "request_headers_to_remove": [concat(" ", [` + s + `, "x"])]}`,
		`allow := {"allowed": true, "require": [{"level": ` + s + `}]}`,
		`allow := {"allowed": true, "require": [{` + s + `: 1}]}`,
		`allow := {"allowed": false, "http_status": ` + s + `}`,
		`allow := {"allowed": ` + s + `}`,
	} {
		p, err := load(t, opaenvoy.Options{Options: rego.Options{Timeout: 5 * time.Second}}, source("p.rego", "package envoy.authz\n"+rule)) // clock: a failure, not a timeout, is what is looked for
		if err != nil {
			t.Errorf("%s: %v", rule, err)
			continue
		}
		ok, err := allowed(t, p, map[string]any{
			"attributes": map[string]any{
				"request": map[string]any{"http": map[string]any{"headers": map[string]any{"x-secret": secret}}}}})
		if err == nil {
			continue
		}
		if failed++; ok || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %t, %v", rule, ok, err)
		}
	}
	if failed < 10 {
		t.Errorf("%d failed", failed)
	}
}
