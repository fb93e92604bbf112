// Package demo runs a step-up for people to watch: a real Envoy in front of two replicas of
// an application, two Stepwards, and an identity provider that issues any token that a step
// of the story needs.
package demo

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/stepward/stepward/envoy"
	"github.com/stepward/stepward/pkg/author/analysis"
	"github.com/stepward/stepward/pkg/author/proxy"
	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/internal/testidp"
	"github.com/stepward/stepward/pkg/run/server"
	"github.com/stepward/stepward/pkg/run/snapshot"
)

// Options say where Envoy is, and where decisions go. All may be left out.
type Options struct {
	EnvoyPath string
	Progress  io.Writer
	Observe   func(context.Context, *authz.Record)
	// Load reads a configuration to try: its ladder and policies, with the demo's own
	// issuer, addresses and login page. Changes to its files are followed. Nil means the
	// demo's own configuration, with the shipped policy.
	Load func(*files.Look) (config.Config, error)
	// Decisions is where decisions are logged; nil logs none.
	Decisions *zap.Logger
}

// Demo holds everything that runs. Close it after use.
type Demo struct {
	Ingress  string   // http://host:port of Envoy
	Provider string   // http://host:port of the identity provider
	Admin    string   // host:port of Envoy's admin pages
	Levels   []string // of the ladder, weakest first

	ingress atomic.Pointer[string] // of Envoy, once it listens; for return_to
	config  config.Config
	headers []string // that the policy may set
	stops   []func()
}

// Start runs everything on free ports of loopback. After an error nothing is left running.
func Start(ctx context.Context, o Options) (*Demo, error) {
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	path, err := envoy.Get(ctx, o.EnvoyPath, o.Progress)
	if err != nil {
		return nil, err
	}
	d := &Demo{}
	if err := d.start(ctx, path, o); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// Close stops everything, in reverse order.
func (d *Demo) Close() {
	for i := len(d.stops) - 1; i >= 0; i-- {
		d.stops[i]()
	}
	d.stops = nil
}

func (d *Demo) start(ctx context.Context, path string, o Options) error {
	idp, err := testidp.Start(testidp.Options{})
	if err != nil {
		return err
	}
	d.stops = append(d.stops, idp.Close)
	d.Provider = idp.URL
	if d.config, err = d.configure(o.Load, files.NewLook()); err != nil {
		return err
	}
	for _, l := range d.config.Levels {
		d.Levels = append(d.Levels, l.Name)
	}
	pages(idp, d.config.Levels)
	changes, body, err := d.needs()
	if err != nil {
		return err
	}
	var apps, services []string
	for i := range 2 {
		address, err := d.app(fmt.Sprintf("app-%d", i+1))
		if err != nil {
			return err
		}
		apps = append(apps, address)
	}
	replicas := 2
	if d.config.Control != "" { // whose socket belongs to one process
		replicas = 1
	}
	for range replicas {
		address, err := d.service(ctx, o)
		if err != nil {
			return err
		}
		services = append(services, address)
	}
	text, err := envoy.Render(envoy.Params{Ingress: "127.0.0.1:0", Apps: apps, Stepwards: services,
		CheckTimeout: 10 * time.Second, Changes: changes, Body: body})
	if err != nil {
		return err
	}
	process, err := envoy.Start(ctx, path, text)
	if err != nil {
		return err
	}
	d.stops = append(d.stops, process.Stop)
	d.Ingress, d.Admin = "http://"+process.Ingress, process.Admin
	d.ingress.Store(&process.Ingress)
	return process.WaitHealthy(ctx, replicas)
}

// settings is the configuration of both Stepwards: the shipped policy, and the words that
// the identity provider uses for its levels. Deadlines are long enough for a busy machine,
// since the demo is not about them.
const settings = `issuers: [{ name: demo, issuer: "%s", audiences: [` + testidp.Audience + `] }]
levels:
- { name: password, acr: ["urn:example:loa:1"] }
- { name: mfa, acr: ["urn:example:loa:2"] }
- { name: phishing-resistant, acr: [phr, phrh] }
login_redirect: { url: "%s/step-up", hosts: ["127.0.0.1", localhost] }
limits: { deadline: 8s }
drain: { delay: 10ms }
policy: { default: true, timeout: 6s }
`

// configure makes the configuration of both Stepwards: the demo's own, or the one to try,
// with the demo's issuer, addresses and login page instead of its own.
func (d *Demo) configure(load func(*files.Look) (config.Config, error), look *files.Look) (config.Config, error) {
	own, err := config.Parse("stepward.yaml", fmt.Appendf(nil, settings, d.Provider, d.Provider), config.Options{})
	if err != nil || load == nil {
		return own, err
	}
	c, err := load(look)
	if err != nil {
		return c, err
	}
	if len(c.Issuers) > 0 { // policies may know it by name
		own.Issuers[0].Name = c.Issuers[0].Name
	}
	if c.Log.Decisions != "file" {
		c.Log = own.Log
	}
	c.Issuers, c.LoginRedirect, c.Drain, c.Outbound = own.Issuers, own.LoginRedirect, own.Drain, own.Outbound
	c.Listen, c.Admin, c.TLS, c.Request.TrustedHops = own.Listen, own.Admin, own.TLS, 0
	c.Limits.Deadline, c.Policy.Timeout = max(c.Limits.Deadline, own.Limits.Deadline),
		max(c.Policy.Timeout, own.Policy.Timeout)
	return c, nil
}

// needs returns what the policy needs from Envoy: which headers may change, and how much of
// a body it reads.
func (d *Demo) needs() (changes string, body int, err error) {
	ladder, err := d.config.Ladder()
	if err != nil {
		return "", 0, err
	}
	sources, err := snapshot.Sources(d.config.Policy.Paths)
	if err != nil {
		return "", 0, err
	}
	p, err := analysis.Load(sources, rego.Options{Ladder: ladder, HeaderPrefix: d.config.Upstream.HeaderPrefix,
		Optional: d.config.Policy.OptionalData, FoldPathCase: d.config.Request.PathCase == "fold"})
	if err != nil {
		return "", 0, err
	}
	for _, r := range p.Reads() {
		if len(r) > 1 && r[0] == "request" && r[1] == "body" {
			body = 8192
		}
	}
	d.headers = p.Traits().RequestHeaders
	return proxy.Changes(d.config.Upstream.HeaderPrefix, d.headers), body, nil
}

// service runs one Stepward until Close.
func (d *Demo) service(ctx context.Context, o Options) (_ string, err error) {
	options := server.Options{Observe: o.Observe, Version: "demo", Decisions: o.Decisions,
		Snapshot: snapshot.Options{InsecureOrigin: d.origin}}
	if o.Load != nil {
		options.Reload = func(look *files.Look) (config.Config, error) { return d.configure(o.Load, look) }
	}
	for _, l := range []*net.Listener{&options.Listener, &options.AdminListener} {
		if *l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return "", err
		}
	}
	s, err := server.New(ctx, d.config, options)
	if err != nil {
		return "", err
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { done <- s.Run(running) }()
	d.stops = append(d.stops, func() { cancel(); <-done })
	return s.Addr().String(), s.WaitReady(ctx)
}

// origin returns where browsers reach a host of the demo: on Envoy's own port, by http,
// which is fine on loopback. Browsers reach a real gateway by https.
func (d *Demo) origin(host string) string {
	at := d.ingress.Load()
	if at == nil || host != "127.0.0.1" && host != "localhost" {
		return ""
	}
	_, port, err := net.SplitHostPort(*at)
	if err != nil {
		return ""
	}
	return "http://" + net.JoinHostPort(host, port)
}

// app runs one replica of an application that repeats what it was told.
func (d *Demo) app(name string) (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	app := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s got %s %s\n", name, r.Method, r.URL.Path)
			var lines []string
			for header := range r.Header {
				if n := strings.ToLower(header); strings.HasPrefix(n, d.config.Upstream.HeaderPrefix) ||
					slices.Contains(
						d.headers, n) {
					lines = append(lines, fmt.Sprintf("  %s: %s\n", n, r.Header.Get(header)))
				}
			}
			sort.Strings(lines)
			io.WriteString(w, strings.Join(lines, ""))
		})}
	go app.Serve(listener) // ends with Close
	d.stops = append(d.stops, func() { app.Close() })
	return listener.Addr().String(), nil
}

// pages adds the provider's pages for the demo: /token issues a token with a level and age,
// and other claims as JSON; /step-up plays the part of a login application.
func pages(idp *testidp.IDP, levels []config.Level) {
	idp.Handle("/token", func(w http.ResponseWriter, r *http.Request) {
		claims, err := claimsOf(r.URL.Query(), levels)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		token, err := idp.Mint(testidp.Token{Claims: claims})
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		io.WriteString(w, token)
	})
	idp.Handle("/step-up", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("content-type", "text/plain; charset=utf-8")
		fmt.Fprintf(
			w,
			"Here your login application would ask for acr_values=%q max_age=%q,\n"+
				"give the browser a token that proves it, and send it back to\n\n  %s\n\n"+
				"This demo has no such application: the browser comes back without a token, and is sent here again.\n",
			r.URL.Query().Get("acr_values"), r.URL.Query().Get("max_age"), r.URL.Query().Get("return_to"))
	})
}

// claimsOf makes the claims of a token from level, age (seconds) and claims (a JSON object)
// in the query. Each may be left out.
func claimsOf(q url.Values, levels []config.Level) (map[string]any, error) {
	claims := map[string]any{}
	if text := q.Get("claims"); text != "" {
		if err := json.Unmarshal([]byte(text), &claims); err != nil {
			return nil, fmt.Errorf("claims must be a JSON object: %w", err)
		}
	}
	age, err := strconv.Atoi(cmp.Or(q.Get("age"), "0"))
	if err != nil {
		return nil, errors.New("age must be a number of seconds")
	}
	claims["auth_time"], claims["exp"] = time.Now().Add(-time.Duration(age)*time.Second).Unix(),
		time.Now().Add(time.Hour).Unix()
	name := q.Get("level")
	if name == "" {
		return claims, nil
	}
	for _, l := range levels {
		switch {
		case l.Name != name:
		case len(l.ACR) > 0:
			claims["acr"] = l.ACR[0]
			return claims, nil
		case len(l.AMR) > 0:
			claims["amr"] = l.AMR[0]
			return claims, nil
		}
	}
	return nil, fmt.Errorf("no token proves level %q", name)
}
