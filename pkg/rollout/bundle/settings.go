package bundle

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/stepward/stepward/pkg/finding"
)

// Settings are a configuration of OPA that has been checked.
type Settings struct {
	// Warnings list the members of it that have no effect here.
	Warnings finding.List
	// Logs reports whether decisions are uploaded, or may be once discovery says so.
	Logs bool

	raw      []byte
	boot     map[string]any
	insecure bool
	dir      string
}

// ParseOptions holds what the configuration itself does not say.
type ParseOptions struct {
	Insecure bool // permits services without TLS, or with a certificate that nobody checks
}

// The sizes that are filled in if OPA has no limit.
const (
	maxBundleFile = 32 << 20 // bytes of a file in a bundle
	maxLogBuffer  = 64 << 20 // bytes of decisions that wait for upload
)

// The members of OPA's configuration: those that are used unchanged, and those that matter
// only to an OPA that answers queries itself.
var (
	used = []string{"services", "labels", "discovery", "bundles", "decision_logs", "status", "keys",
		"persistence_directory", "plugins"}
	useless = []string{"default_decision", "default_authorization_decision", "caching", "nd_builtin_cache",
		"distributed_tracing", "metrics_export", "server", "storage"}
)

// Parse checks text, a configuration of OPA as YAML or JSON in the file name. The error
// is a [finding.List].
func Parse(name string, text []byte, o ParseOptions) (Settings, error) {
	s := Settings{insecure: o.Insecure, dir: filepath.Dir(name)}
	c := &checker{file: name, insecure: o.Insecure, dir: s.dir}
	if err := yaml.Unmarshal(text, &s.boot); err != nil {
		return Settings{}, finding.List{finding.YAML(name, text, err)}
	}
	if s.boot == nil {
		s.boot = map[string]any{}
	}
	if s.boot["bundles"] == nil && s.boot["discovery"] == nil && s.boot["decision_logs"] == nil &&
		s.boot["status"] == nil {
		c.fail("", "names neither bundles, discovery, decision_logs nor status", "see docs/bundles.md")
	}
	c.check(s.boot, nil)
	s.Warnings = c.warned
	var err error
	if s.raw, err = json.Marshal(s.boot); err != nil {
		c.fail("", "not a JSON document: "+err.Error(), "")
	}
	if len(c.found) > 0 {
		return Settings{}, c.found.Tidy()
	}
	s.Logs = s.boot["decision_logs"] != nil || s.boot["discovery"] != nil
	return s, nil
}

// Policies reports whether policies come from bundles, or may come from them once
// discovery says so.
func (s Settings) Policies() bool { return s.boot["bundles"] != nil || s.boot["discovery"] != nil }

// checker checks a configuration, fills in the limits that OPA leaves out, and removes what
// has no use.
type checker struct {
	file, dir     string
	insecure      bool
	found, warned finding.List
}

func (c *checker) fail(path, message, hint string) {
	if path != "" {
		message = path + ": " + message
	}
	c.found = append(c.found, finding.Finding{File: c.file, Line: 1, Column: 1, Code: "opa_config", Path: path,
		Message: message, Hint: hint})
}

func (c *checker) warn(path, message string) {
	c.warned = append(c.warned, finding.Finding{File: c.file, Line: 1, Column: 1, Code: "opa_config",
		Severity: finding.Warning, Path: path, Message: path + ": " + message})
}

// check checks m. keys are known signing keys in addition to its own.
func (c *checker) check(m map[string]any, keys map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		switch {
		case slices.Contains(used, name):
		case slices.Contains(useless, name):
			c.warn(name, "means nothing here and is left out")
			delete(m, name)
		case name == "bundle":
			c.fail(name, "is the old form, which knows no signatures",
				"write it under bundles: { NAME: { service: , resource: , signing: } }")
		default:
			c.fail(name, "unknown key"+finding.DidYouMean(name, used), "known here: "+strings.Join(used, ", "))
		}
	}
	own, _ := m["keys"].(map[string]any)
	known := maps.Clone(keys)
	if known == nil {
		known = map[string]any{}
	}
	maps.Copy(known, own)
	services := c.services(m["services"])
	c.bundles(m, len(known) > 0)
	c.plugins(m)
	c.logs(m)
	c.status(m, services)
	c.persistence(m)
}

// services checks the addresses that OPA will call, and lists the names of the services.
func (c *checker) services(v any) []string {
	all := map[string]any{}
	var names []string
	switch list := v.(type) {
	case map[string]any:
		all = list
		names = slices.Sorted(maps.Keys(list))
	case []any:
		for i, x := range list {
			name := fmt.Sprint(i)
			if o, ok := x.(map[string]any); ok {
				if s, ok := o["name"].(string); ok {
					name = s
				}
			}
			all[name] = x
			names = append(names, name)
		}
	}
	for _, name := range names {
		path := "services." + name
		o, ok := all[name].(map[string]any)
		if !ok {
			c.fail(path, "must be an object", "")
			continue
		}
		if skip, _ := o["allow_insecure_tls"].(bool); skip && !c.insecure {
			c.fail(path+".allow_insecure_tls", "anyone on the network path could hand out a policy",
				"name the authority under tls.ca_cert, or pass --insecure-bundles")
		}
		address, _ := o["url"].(string)
		if u, err := url.Parse(address); err != nil || u.Host == "" || u.Scheme == "http" && !loopback(u.Hostname()) &&
			!c.insecure {
			c.fail(path+".url", "must be https, or http on loopback",
				"pass --insecure-bundles where the network is trusted")
		}
	}
	return names
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// bundles checks bundles and discovery. OPA accepts an unsigned bundle if keys are
// configured but signing is not. We refuse that, because an operator who lists keys means
// them to be used.
func (c *checker) bundles(m map[string]any, keys bool) {
	one := func(path string, o map[string]any) {
		if keys && o["signing"] == nil {
			c.fail(path+".signing", "is not set, so an unsigned bundle would be taken although keys are configured",
				"write signing: { keyid: NAME, scope: … }")
		}
		if mode, _ := o["trigger"].(string); mode == "manual" {
			c.fail(path+".trigger", "manual never fetches anything here", "leave it out")
		}
		if _, set := o["size_limit_bytes"]; !set && path != "discovery" {
			o["size_limit_bytes"] = maxBundleFile
		}
	}
	if v := m["discovery"]; v != nil {
		o, ok := v.(map[string]any)
		if !ok {
			c.fail("discovery", "must be an object", "")
		} else {
			one("discovery", o)
		}
	}
	all, ok := m["bundles"].(map[string]any)
	if m["bundles"] != nil && (!ok || len(all) == 0) {
		c.fail("bundles", "must be an object of bundles by name", "")
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		o, ok := all[name].(map[string]any)
		if !ok {
			c.fail("bundles."+name, "must be an object", "")
			continue
		}
		one("bundles."+name, o)
	}
}

// plugins leaves out the plugin by which an OPA answers Envoy, and refuses all others:
// their code is not included.
func (c *checker) plugins(m map[string]any) {
	all, _ := m["plugins"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if name == "envoy_ext_authz_grpc" {
			c.warn("plugins."+name, "means nothing here: stepward.yaml says where Check is answered")
			continue
		}
		c.fail("plugins."+name, "is not built in", "leave it out")
	}
	delete(m, "plugins")
}

// logs limits the buffer of decisions, which OPA leaves without a limit.
func (c *checker) logs(m map[string]any) {
	if m["decision_logs"] == nil {
		return
	}
	o, ok := m["decision_logs"].(map[string]any)
	if !ok {
		c.fail("decision_logs", "must be an object", "")
		return
	}
	if o["plugin"] != nil {
		c.fail("decision_logs.plugin", "is not built in", "leave it out")
	}
	reporting, ok := o["reporting"].(map[string]any)
	if !ok {
		reporting = map[string]any{}
		o["reporting"] = reporting
	}
	kind, _ := reporting["buffer_type"].(string)
	limited := reporting["buffer_size_limit_bytes"] != nil
	switch {
	case kind == "" && !limited:
		reporting["buffer_type"] = "event" // of 10,000 decisions
	case kind == "size" && !limited && reporting["max_decisions_per_second"] != nil:
		c.fail("decision_logs.reporting", "grows without end while the sink is away",
			"use buffer_type: event, which takes max_decisions_per_second as well")
	case kind == "size" && !limited:
		reporting["buffer_size_limit_bytes"] = maxLogBuffer
	}
}

// status turns on the plugins' metrics unless told otherwise, and keeps the service that
// OPA would have chosen without them.
func (c *checker) status(m map[string]any, services []string) {
	if m["status"] == nil {
		m["status"] = map[string]any{"prometheus": true}
		return
	}
	o, ok := m["status"].(map[string]any)
	if !ok {
		c.fail("status", "must be an object", "")
		return
	}
	if o["plugin"] != nil {
		c.fail("status.plugin", "is not built in", "leave it out")
	}
	if o["prometheus"] == nil {
		if console, _ := o["console"].(bool); o["service"] == nil && !console && len(services) > 0 {
			o["service"] = services[0]
		}
		o["prometheus"] = true
	}
}

// persistence makes the folder relative to the folder of the configuration.
func (c *checker) persistence(m map[string]any) {
	dir, ok := m["persistence_directory"].(string)
	switch {
	case m["persistence_directory"] != nil && !ok:
		c.fail("persistence_directory", "must be the name of a folder", "")
		return
	case dir == "":
		dir = ".opa" // as OPA calls it
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(c.dir, dir)
	}
	m["persistence_directory"] = dir
}
