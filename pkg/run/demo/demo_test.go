package demo_test

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/run/demo"
)

// The story comes true, every step is decided by Stepward, and nothing is left
// running.
func TestStory(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Run("", func(t *testing.T) {
		var decisions atomic.Int64
		d, err := demo.Start(t.Context(),
			demo.Options{Progress: os.Stderr, Observe: func(context.Context, *authz.Record) { decisions.Add(1) }})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		for _, s := range demo.Story() {
			if err := s.Do(t.Context(), d); err != nil {
				t.Errorf("%s: %v", s.Title, err)
			}
			if line := s.Curl(d); !strings.HasPrefix(line, "curl -si") || !strings.Contains(line, d.Ingress) {
				t.Errorf("%s", line)
			}
		}
		if int(decisions.Load()) != len(demo.Story()) {
			t.Errorf("%d decisions for %d steps", decisions.Load(), len(demo.Story()))
		}
		// A step that expects something else fails.
		wrong := demo.Story()[1]
		wrong.Status = 200
		if wrong.Do(t.Context(), d) == nil {
			t.Error("a step cannot fail")
		}
	})
}

// A reader's own ladder and policy decide, Envoy is told what they need, and the demo's
// provider speaks the ladder's words.
func TestOwnPolicy(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Run("", func(t *testing.T) {
		dir := t.TempDir()
		const policy = `package stepward.policy

import rego.v2

require contains {"level": "silver"} if input.request.method == "GET"

require contains {"level": "gold"} if input.request.method != "GET"

deny contains {"code": "large"} if input.request.body.json.amount > 100

deny contains {"code": "desk"} if not input.token.claims.desk == 7

headers["x-desk"] := sprintf("%d", [input.token.claims.desk]) if input.request.path == "/told"
`
		if err := os.WriteFile(filepath.Join(dir, "p.rego"), []byte(policy), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.Parse(filepath.Join(dir, "stepward.yaml"), []byte(`listen: 127.0.0.1:1
issuers: [{ name: corp, issuer: "https://idp.example.com", audiences: [x] }]
levels: [{ name: silver, acr: [s] }, { name: gold, acr: [g] }]
policy: { paths: [p.rego] }
upstream: { header_prefix: x-id- }
`), config.Options{})
		if err != nil {
			t.Fatal(err)
		}
		d, err := demo.Start(t.Context(), demo.Options{Progress: os.Stderr, Load: func(*files.Look) (config.Config,
			error) {
			return c, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		claims := "&claims=" + url.QueryEscape(`{"desk":7}`)
		for _, s := range []demo.Step{
			{Title: "strong enough to read", Method: "GET", Path: "/told", Token: "level=silver" + claims,
				Header: []string{"x-desk: forged"}, Status: 200, Contains: []string{"x-desk: 7", "x-id-level: silver"},
				Lacks: []string{"forged"}},
			{Title: "no header of a client", Method: "GET", Path: "/x", Token: "level=silver" + claims,
				Header: []string{"x-desk: forged", "x-id-subject: root"}, Status: 200, Contains: []string{
					"x-id-subject: alice"}, Lacks: []string{"x-desk", "root"}},
			{Title: "not to write", Method: "POST", Path: "/x", Token: "level=silver" + claims, Status: 401,
				Contains: []string{`acr_values="g"`}},
			{Title: "strong enough to write", Method: "POST", Path: "/x", Token: "level=gold" + claims,
				Body: `{"amount":100}`, Status: 200},
			{Title: "but not that much", Method: "POST", Path: "/x", Token: "level=gold" + claims,
				Body: `{"amount":101}`, Status: 403},
			{Title: "another desk", Method: "GET", Path: "/x", Token: "level=gold", Status: 403},
			{Title: "nobody", Method: "GET", Path: "/x", Status: 401, Lacks: []string{"acr_values"}},
		} {
			if err := s.Do(t.Context(), d); err != nil {
				t.Errorf("%s: %v", s.Title, err)
			}
		}
		for q, status := range map[string]int{"level=gold&age=5": 200, "": 200, "level=platinum": 400, "age=x": 400,
			"claims=x": 400} {
			res, err := http.Get(d.Provider + "/token?" + q)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != status {
				t.Errorf("/token?%s: %s", q, res.Status)
			}
		}
		http.DefaultClient.CloseIdleConnections()
	})
}

func TestNoEnvoy(t *testing.T) {
	if _, err := demo.Start(t.Context(), demo.Options{EnvoyPath: "/nowhere/envoy"}); err == nil {
		t.Error("a demo without an Envoy")
	}
}
