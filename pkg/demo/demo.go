// Package demo runs a step-up for people to watch: a real Envoy in front of two
// replicas of an application, two Stepwards, and an identity provider that issues
// whatever token a step of the story needs.
package demo

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sort"
	"strings"
	"time"

	"github.com/stepward/stepward/envoy"
	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/internal/testidp"
	"github.com/stepward/stepward/pkg/server"
)

// Options say where Envoy is, and who is told of decisions. All may be left out.
type Options struct {
	EnvoyPath string
	Progress  io.Writer
	Observe   func(context.Context, authz.Record)
}

// Demo is everything running. Close it.
type Demo struct {
	Ingress  string // http://host:port of Envoy
	Provider string // http://host:port of the identity provider
	Admin    string // host:port of Envoy's admin pages

	stops []func()
}

// Start runs everything on free ports of loopback. On an error nothing is left
// running.
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

// Close stops everything, the last first.
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
	pages(idp)
	var apps, services []string
	for i := range 2 {
		address, err := d.app(fmt.Sprintf("app-%d", i+1))
		if err != nil {
			return err
		}
		apps = append(apps, address)
	}
	for range 2 {
		address, err := d.service(ctx, o)
		if err != nil {
			return err
		}
		services = append(services, address)
	}
	text, err := envoy.Render(envoy.Params{Ingress: "127.0.0.1:0", Apps: apps, Stepwards: services, CheckTimeout: 2 * time.Second})
	if err != nil {
		return err
	}
	process, err := envoy.Start(ctx, path, text)
	if err != nil {
		return err
	}
	d.stops = append(d.stops, process.Stop)
	d.Ingress, d.Admin = "http://"+process.Ingress, process.Admin
	return process.WaitHealthy(ctx, 2)
}

// settings is the configuration of both Stepwards: the shipped policy, and the
// words that the identity provider uses for its levels. The deadline is that of a
// laptop that starts everything at once.
const settings = `issuers: [{ name: demo, issuer: "%s", audiences: [` + testidp.Audience + `] }]
levels:
- { name: password, acr: ["urn:example:loa:1"] }
- { name: mfa, acr: ["urn:example:loa:2"] }
- { name: phishing-resistant, acr: [phr, phrh] }
login_redirect: { url: "%s/step-up", hosts: ["127.0.0.1", localhost] }
limits: { deadline: 1s }
policy: { timeout: 500ms }
drain: { delay: 10ms }
`

// service runs one Stepward until Close.
func (d *Demo) service(ctx context.Context, o Options) (string, error) {
	c, err := config.Parse("stepward.yaml", fmt.Appendf(nil, settings, d.Provider, d.Provider), config.Options{})
	if err != nil {
		return "", err
	}
	options := server.Options{Observe: o.Observe, Version: "demo"}
	for _, l := range []*net.Listener{&options.Listener, &options.AdminListener} {
		if *l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return "", err
		}
	}
	s, err := server.New(ctx, c, options)
	if err != nil {
		return "", err
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { done <- s.Run(running) }()
	d.stops = append(d.stops, func() { cancel(); <-done })
	return s.Addr().String(), s.WaitReady(ctx)
}

// app runs one replica of an application that says what it was told.
func (d *Demo) app(name string) (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	app := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s got %s %s\n", name, r.Method, r.URL.Path)
		var lines []string
		for header := range r.Header {
			if n := strings.ToLower(header); strings.HasPrefix(n, "x-stepward-") || n == "x-tenant" {
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

// pages are what the provider has for the demo: /token issues a token of a level
// and age, /step-up stands for a login application.
func pages(idp *testidp.IDP) {
	words := map[string]string{"": "", "password": "urn:example:loa:1", "mfa": "urn:example:loa:2", "phishing-resistant": "phr"}
	idp.Handle("/token", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		acr, known := words[q.Get("level")]
		age, err := time.ParseDuration(q.Get("age") + "s")
		if q.Get("age") == "" {
			age, err = 0, nil
		}
		if err != nil || !known {
			http.Error(w, "say level=password, mfa or phishing-resistant, and age=SECONDS", http.StatusBadRequest)
			return
		}
		claims := map[string]any{"auth_time": time.Now().Add(-age).Unix(), "exp": time.Now().Add(time.Hour).Unix()}
		if acr != "" {
			claims["acr"] = acr
		}
		token, err := idp.Mint(testidp.Token{Claims: claims})
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		io.WriteString(w, token)
	})
	idp.Handle("/step-up", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "Here your login application would ask for acr_values=%q max_age=%q\nand then send the browser back to %s\n",
			r.URL.Query().Get("acr_values"), r.URL.Query().Get("max_age"), r.URL.Query().Get("return_to"))
	})
}
