package bundle

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/finding"
)

// service is a service that every configuration of these tests may name.
const service = `services: { c: { url: "https://c.example.com" } }` + "\n"

// parsed returns what Parse makes of text, as the object that OPA is given.
func parsed(t *testing.T, text string) (Settings, map[string]any) {
	t.Helper()
	s, err := Parse("/etc/stepward/opa.yaml", []byte(text), ParseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(s.raw, &m); err != nil {
		t.Fatal(err)
	}
	return s, m
}

// at returns the member of m at a path of names, as JSON; "null" where there is none.
func at(t *testing.T, m map[string]any, path string) string {
	t.Helper()
	var v any = m
	for name := range strings.SplitSeq(path, ".") {
		o, _ := v.(map[string]any)
		v = o[name]
	}
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Limits that OPA leaves open are filled in, and written ones stay unchanged.
func TestFilledIn(t *testing.T) {
	for name, v := range map[string]struct{ text, path, want string }{
		"size of a bundle": {"bundles: { a: { service: c } }", "bundles.a.size_limit_bytes", "33554432"},
		"size as it is written": {"bundles: { a: { service: c, size_limit_bytes: 7 } }",
			"bundles.a.size_limit_bytes", "7"},
		"no size of discovery": {"discovery: { service: c, resource: x }", "discovery.size_limit_bytes",
			"null"},
		"buffer of events": {"decision_logs: { service: c }", "decision_logs.reporting",
			`{"buffer_type":"event"}`},
		"buffer of a size": {"decision_logs: { service: c, reporting: { buffer_type: size } }",
			"decision_logs.reporting.buffer_size_limit_bytes", "67108864"},
		"buffer as it is written": {
			"decision_logs: { service: c, reporting: { buffer_type: size, buffer_size_limit_bytes: 9 } }",
			"decision_logs.reporting.buffer_size_limit_bytes", "9"},
		"a size alone is OPA's own": {"decision_logs: { service: c, reporting: { buffer_size_limit_bytes: 9 } }",
			"decision_logs.reporting.buffer_type", "null"},
		"metrics without status":   {"bundles: { a: { service: c } }", "status", `{"prometheus":true}`},
		"status keeps its service": {"status: {}", "status", `{"prometheus":true,"service":"c"}`},
		"status to the console":    {"status: { console: true }", "status", `{"console":true,"prometheus":true}`},
		"status of a service":      {"status: { service: c }", "status", `{"prometheus":true,"service":"c"}`},
		"metrics are switched off": {"status: { service: c, prometheus: false }", "status",
			`{"prometheus":false,"service":"c"}`},
		"folder by OPA's name": {"bundles: { a: { service: c } }", "persistence_directory",
			`"/etc/stepward/.opa"`},
		"folder beside the file": {"bundles: { a: { service: c } }\npersistence_directory: kept",
			"persistence_directory", `"/etc/stepward/kept"`},
		"folder elsewhere": {"bundles: { a: { service: c } }\npersistence_directory: /var/kept",
			"persistence_directory", `"/var/kept"`},
		"the plugin for Envoy is gone": {"bundles: { a: { service: c } }\nplugins: { envoy_ext_authz_grpc: {} }",
			"plugins", "null"},
		"what means nothing is gone": {"bundles: { a: { service: c } }\ncaching: {}", "caching", "null"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, m := parsed(t, service+v.text); at(t, m, v.path) != v.want {
				t.Errorf("%s is %s; want %s", v.path, at(t, m, v.path), v.want)
			}
		})
	}
}

// What OPA would run into only later, or take in silence, is refused with a hint.
func TestRefusedSettings(t *testing.T) {
	for text, want := range map[string]string{
		"services: { c: 1 }\nbundles: { a: { service: c } }":                "services.c: must be an object",
		"services: { c: {} }\nbundles: { a: { service: c } }":               "services.c.url: must be https",
		"services: [{ url: \"http://c.example.com\" }]\nbundles: { a: {} }": "services.0.url: must be https",
		"services: [1]\nbundles: { a: {} }":                                 "services.0: must be an object",
		service + "bundles: { a: 1 }":                                       "bundles.a: must be an object",
		service + "discovery: [x]":                                          "discovery: must be an object",
		service + "decision_logs: x":                                        "decision_logs: must be an object",
		service + "status: { plugin: x }":                                   "status.plugin: is not built in",
		service +
			"bundles: { a: {} }\npersistence_directory: 7": "persistence_directory: must be the name of a folder",
		service + "keys: { k: {} }\nbundles: { a: { signing: {} }, b: {} }": "bundles.b.signing: is not set",
		service +
			"discovery: { resource: x, trigger: manual }": "discovery.trigger: manual never fetches",
		service +
			"bundles: { a: {} }\nplugins: { mine: {}, envoy_ext_authz: {} }": "plugins.envoy_ext_authz: is not built in",
		service +
			"decision_log: {}\nbundles: { a: {} }": "decision_log: unknown key (did you mean \"decision_logs\"?)",
	} {
		_, err := Parse("opa.yaml", []byte(text), ParseOptions{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n%v; want %q", text, err, want)
		}
		var list finding.List
		if !errors.As(err, &list) || list[0].File != "opa.yaml" || list[0].Code != "opa_config" {
			t.Errorf("%s\nno finding of this file: %+v", text, err)
		}
	}
}

// What means nothing here is said, and by name.
func TestWarnings(t *testing.T) {
	s,
		_ := parsed(
		t,
		service+
			"bundles: { a: {} }\nserver: {}\ndistributed_tracing: {}\nplugins: { envoy_ext_authz_grpc: { addr: x } }\n")
	var paths []string
	for _, w := range s.Warnings {
		paths = append(paths, w.Path)
		if w.Severity != finding.Warning {
			t.Errorf("%s is no warning", w.Path)
		}
	}
	if want := []string{"distributed_tracing", "server", "plugins.envoy_ext_authz_grpc"}; !slices.Equal(paths, want) {
		t.Errorf("%q; want %q", paths, want)
	}
}

// Policies come from bundles if the configuration has them, or may get them by discovery.
func TestWhatSettingsAreFor(t *testing.T) {
	for text, want := range map[string]struct{ policies, logs bool }{
		"bundles: { a: { service: c } }":                                   {true, false},
		"discovery: { service: c, resource: x }":                           {true, true},
		"decision_logs: { service: c }":                                    {false, true},
		"status: { service: c }":                                           {false, false},
		"bundles: { a: { service: c } }\ndecision_logs: { console: true }": {true, true},
	} {
		if s, _ := parsed(t, service+text); s.Policies() != want.policies || s.Logs != want.logs {
			t.Errorf("%s: policies %v, logs %v", text, s.Policies(), s.Logs)
		}
	}
	if (Settings{}).Policies() {
		t.Error("policies come from no configuration")
	}
}

// A folder is taken from where the file is, whatever the process's own folder is.
func TestPersistenceIsBesideTheFile(t *testing.T) {
	dir := t.TempDir()
	s, err := Parse(filepath.Join(dir, "opa.yaml"), []byte(service+"bundles: { a: { service: c } }"), ParseOptions{})
	if err != nil || s.boot["persistence_directory"] != filepath.Join(dir, ".opa") {
		t.Errorf("%v, %v", s.boot["persistence_directory"], err)
	}
}
