//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stepward/stepward/pkg/internal/testidp"
	"github.com/stepward/stepward/policies"
)

// group is a set of cases that one configuration serves.
type group struct {
	name  string
	dir   string
	cases []testCase
}

// testCase is one kind of request. Each round makes a new source, with a number of requests
// if each must be new.
type testCase struct {
	name   string
	bar    float64
	expect expectation
	source func(round int) (func() []byte, error)
}

// coldCalls is how many requests with new tokens a round sends.
const coldCalls = 3000

const policyText = `package stepward.policy

import rego.v2

require contains {"level": "authenticated"} if not public

require contains {"level": "anonymous"} if public

public if {
	input.request.path == "/"
	input.request.method in {"GET", "HEAD"}
}

require contains {"level": "mfa", "max_age": "5m"} if {
	input.request.segments[0] == "payments"
	not input.request.method in {"GET", "HEAD", "OPTIONS"}
}

deny contains {"code": "payroll_only"} if {
	input.request.segments[0] == "payroll"
	not "payroll" in input.token.claims.roles
}
`

const configText = `issuers:
- { name: corp, issuer: "https://idp.example.com", audiences: ["` + testidp.Audience + `"], jwks_file: keys.json }
levels:
- { name: password, acr: ["urn:example:loa:1"] }
- { name: mfa, acr: ["urn:example:loa:2"] }
- { name: phishing-resistant, acr: [phr] }
login_redirect: { url: "https://login.example.com/step-up", hosts: [app.example.com] }
log: { decisions: file, file: decisions.log }
policy: { paths: [policies] }
`

// newCases makes all cases, with their keys and tokens.
func newCases(o options) ([]group, error) {
	idp, err := testidp.New(testidp.Options{Issuer: "https://idp.example.com"})
	if err != nil {
		return nil, err
	}
	known, err := mint(idp, "es", 64)
	if err != nil {
		return nil, err
	}
	one := shape{method: "GET", path: "/orders/" + number, token: known}
	many := one
	many.more = true
	pay := shape{method: "POST", path: "/payments/" + number, token: known}
	browse := pay
	browse.method, browse.path, browse.browser = "GET", "/payroll/"+number, true
	allowed, challenged := expectation{200, "ok"}, expectation{401, "insufficient_level"}
	plain := group{name: "plain", cases: []testCase{
		{"warm: known token, ids in the path", 1.0, allowed, repeated(one)},
		{"warm, 12 more headers and a 2 KB cookie", 1.15, allowed, repeated(many)},
		{"challenge 401", 1.2, challenged, repeated(pay)},
		{"redirect 302", 1.2, expectation{302, "no_credentials"},
			repeated(shape{method: "GET", path: "/orders/" + number, browser: true})},
		{"anonymous route", 0.95, allowed, repeated(shape{method: "GET", path: "/"})},
		{"cold token, RS256", 2.0, allowed, fresh(idp, "rs", o, one)},
		{"cold token, ES256", 2.5, allowed, fresh(idp, "es", o, one)},
	}}
	shipped := group{name: "shipped policy", cases: []testCase{
		{"first sight of a request shape", 2.0, allowed,
			repeated(shape{method: "GET", path: "/" + number + "/x", token: known})},
	}}
	routes := group{name: "routes", cases: []testCase{
		{"1,000 routes as data, ids in the path", 1.1, allowed,
			repeated(shape{method: "GET", path: "/area500/items/" + number, token: known})},
	}}
	data, err := thousandRoutes()
	if err != nil {
		return nil, err
	}
	defaults, err := contents(policies.Default())
	if err != nil {
		return nil, err
	}
	withRoutes := maps.Clone(defaults)
	withRoutes["data.json"] = data
	for g, files := range map[*group]map[string]string{
		&plain: {"policy.rego": policyText}, &shipped: defaults, &routes: withRoutes,
	} {
		if g.dir, err = write(idp, files); err != nil {
			return nil, err
		}
	}
	return []group{plain, shipped, routes}, nil
}

// write makes a folder that stepward serves.
func write(idp *testidp.IDP, policy map[string]string) (string, error) {
	dir, err := os.MkdirTemp("", "stepward-bench")
	if err != nil {
		return "", err
	}
	if err := os.Mkdir(filepath.Join(dir, "policies"), 0o755); err != nil {
		return "", err
	}
	files := map[string]string{"stepward.yaml": configText, "keys.json": string(idp.JWKS())}
	for name, text := range policy {
		files["policies/"+name] = text
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	return dir, nil
}

func contents(folder fs.FS) (map[string]string, error) {
	files := map[string]string{}
	err := fs.WalkDir(folder, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(name, "_test.rego") {
			return err
		}
		text, err := fs.ReadFile(folder, name)
		files[filepath.Base(name)] = string(text)
		return err
	})
	return files, err
}

// thousandRoutes is a table of a thousand stop signs, each for its own area.
func thousandRoutes() (string, error) {
	var routes []map[string]any
	for i := range 1000 {
		routes = append(routes, map[string]any{
			"path": fmt.Sprintf("/area%d/admin/**", i), "safe_methods": []string{"HEAD", "OPTIONS"},
			"require": map[string]any{"level": "mfa", "max_age": "5m"},
		})
	}
	text, err := json.Marshal(map[string]any{"public_paths": []string{"/"}, "routes": routes})
	return string(text), err
}

// measure serves the group's configuration and drives its cases.
func (g group) measure(ctx context.Context, o options, baseline *process, r *report) error {
	defer os.RemoveAll(g.dir)
	wanted := slices.DeleteFunc(slices.Clone(g.cases), func(c testCase) bool { return !o.only.MatchString(c.name) })
	if len(wanted) == 0 {
		return nil
	}
	stepward, err := startStepward(ctx, o.stepward, g.dir)
	if err != nil {
		return err
	}
	defer stepward.stop()
	if g.name == "plain" {
		if err := r.rest(stepward); err != nil {
			return err
		}
	}
	for _, c := range wanted {
		if err := c.measure(ctx, o, baseline, stepward, r); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	if g.name == "plain" {
		return r.load(stepward)
	}
	return nil
}

// measure drives both servers in turn, and alternates which one is first.
func (c testCase) measure(ctx context.Context, o options, baseline, stepward *process, r *report) error {
	theirs, err := dial(baseline.address, o)
	if err != nil {
		return err
	}
	defer theirs.close()
	ours, err := dial(stepward.address, o)
	if err != nil {
		return err
	}
	defer ours.close()
	var rounds []round
	for n := range o.rounds + 1 { // the first warms up
		var x round
		turn := func(p *process, client *client, expect expectation) (cost, rate float64, err error) {
			source, err := c.source(n)
			if err != nil {
				return 0, 0, err
			}
			return cost1(ctx, o, p, client, source, expect)
		}
		ourTurn := func() (err error) { x.stepward, x.rate, err = turn(stepward, ours, c.expect); return err }
		theirTurn := func() (err error) {
			x.baseline, _, err = turn(baseline, theirs, expectation{200, ""})
			return err
		}
		turns := []func() error{theirTurn, ourTurn}
		if n%2 == 1 {
			slices.Reverse(turns)
		}
		for _, t := range turns {
			if err := t(); err != nil {
				return err
			}
		}
		if n > 0 {
			rounds = append(rounds, x)
		}
	}
	r.add(c.name, c.bar, rounds)
	return nil
}

// cost1 returns the processor time of one call in µs, and the number of answers per second.
func cost1(ctx context.Context, o options, p *process, client *client, source func() []byte, expect expectation) (
	cost, rate float64, err error) {
	before, err := p.used()
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	n, err := client.drive(ctx, o.round, source, expect)
	if err != nil {
		return 0, 0, err
	}
	took := time.Since(began)
	after, err := p.used()
	if err != nil {
		return 0, 0, err
	}
	return float64((after - before).Microseconds()) / float64(n), float64(n) / took.Seconds(), nil
}
