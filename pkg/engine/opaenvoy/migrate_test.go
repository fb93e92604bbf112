package opaenvoy_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stepward/stepward/pkg/engine/opaenvoy"
	"github.com/stepward/stepward/pkg/finding"
)

// migrate turns a configuration of OPA into ours; notes are joined to one text.
func migrate(text string, change func(*opaenvoy.Migration)) (written, notes string, err error) {
	m := opaenvoy.Migration{Name: "opa.yaml", Text: []byte(text), Seen: func(name string) string {
		return "../" + name
	},
		Refusals: func(string, []byte) finding.List { return nil }}
	if change != nil {
		change(&m)
	}
	out, list, err := m.Migrate()
	for _, n := range list {
		notes += n.String() + "\n"
	}
	return string(out), notes, err
}

const plugin = "plugins: { envoy_ext_authz_grpc: { %s } }\n"

func own(settings string) string { return strings.Replace(plugin, "%s", settings, 1) }

// Each setting is taken over, or there is a note of it; nothing goes silent.
func TestSettings(t *testing.T) {
	for settings, want := range map[string]struct{ has, note string }{
		"": {"listen: 127.0.0.1:9191",
			"addr: OPA listens at :9191 without TLS"},
		`addr: "127.0.0.1:1"`:                      {"listen: 127.0.0.1:1\n", ""},
		`addr: "grpc://[::1]:1"`:                   {"listen: '[::1]:1'\n", ""},
		`addr: "localhost:1"`:                      {"listen: localhost:1\n", ""},
		`addr: "10.0.0.1:1"`:                       {"listen: 127.0.0.1:1\n", "10.0.0.1:1 without TLS"},
		`addr: "unix:///run/opa.sock"`:             {"listen: unix:///run/opa.sock\n", ""},
		`addr: "unix://@abstract"`:                 {"listen: unix:///run/stepward.sock\n", "is not an absolute path"},
		`query: data.istio.authz.allow`:            {"path: istio/authz/allow", ""},
		`path: /a/b/`:                              {"path: a/b,", ""},
		`dry-run: true`:                            {"", "dry-run: ATTENTION: OPA let everything through"},
		`dry-run: false`:                           {"", ""},
		`enable-reflection: true`:                  {"", "stepward serve --grpc-reflection"},
		`enable-reflection: false`:                 {"", ""},
		`skip-request-body-parse: true`:            {"skip_body: true", ""},
		`skip-request-body-parse: false`:           {"", ""},
		`proto-descriptor: set.pb`:                 {"proto_descriptor: ../set.pb", ""},
		`grpc-max-recv-msg-size: 8388608`:          {"limits:\n    message: 8388608\n", ""},
		`grpc-max-recv-msg-size: 80000000`:         {"", "cannot be taken over"},
		`grpc-max-recv-msg-size: large`:            {"", "cannot be taken over"},
		`grpc-max-send-msg-size: 1`:                {"", "not needed"},
		`enable-performance-metrics: true`:         {"", "metrics are always there"},
		`grpc-request-duration-seconds-buckets: 1`: {"", "metrics are always there"},
		`something-new: 1`:                         {"", "something-new: not a key of opa-envoy-plugin"},
	} {
		written, notes, err := migrate(own(settings), nil)
		if err != nil || !strings.Contains(written, want.has) || !strings.Contains(notes, want.note) {
			t.Errorf("%s: %v\n%s\n%s\nwant %q", settings, err, written, notes, want)
		}
		name, _, _ := strings.Cut(settings, ":")
		if want.note == "" && name != "" && strings.HasPrefix(notes, name+":") {
			t.Errorf("%s: %s", settings, notes)
		}
		for note := range strings.Lines(notes) { // they stand in the file, too
			if !strings.Contains(written, "# - "+note) {
				t.Errorf("%q is not in\n%s", note, written)
			}
		}
	}
}

func TestMigrationRefused(t *testing.T) {
	for text, want := range map[string]string{
		"a: [":                                 "not YAML",
		"{}":                                   "not the configuration of an opa-envoy-plugin",
		"plugins: {}":                          "not the configuration of an opa-envoy-plugin",
		own(`addr: nowhere`):                   "is not host:port",
		own(`addr: "h:port"`):                  "is not host:port",
		own(`addr: 1`):                         "addr is not a text",
		own(`path: [a]`):                       "path is not a text",
		own(`query: [a]`):                      "query is not a text",
		own(`query: "data.a[x]"`):              "is more than the name of a rule",
		own(`query: data.a, path: b`):          "exclude each other",
		"plugins: { envoy_ext_authz_grpc: 1 }": "not the configuration of an opa-envoy-plugin",
	} {
		if _, _, err := migrate(text, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", text, err, want)
		}
	}
	if written, _, err := migrate("plugins: { envoy_ext_authz_grpc: }", nil); err != nil || !strings.Contains(
		written, "compat: opa-envoy") {
		t.Errorf("%s, %v", written, err)
	}
}

// What OPA's own plugins do goes on by the same file, and a policy in files is named.
func TestManaged(t *testing.T) {
	for _, c := range []struct {
		rest, has, lacks, note string
		policies               []string
	}{
		{"", "paths: [../policies]", "bundles:", "here they are in the folder policies", nil},
		{"", "paths: [../a.rego, ../b]", "bundles:", "", []string{"a.rego", "b"}},
		{"bundles: { a: {} }\n", "config_file: ../opa.yaml", "paths:", "", nil},
		{"bundles: { a: {} }\n", "paths: [../a.rego]", "", "", []string{"a.rego"}},
		{"discovery: {}\n", "config_file: ../opa.yaml", "paths:", "", nil},
		{"status: {}\n", "config_file: ../opa.yaml", "", "", nil},
		{"decision_logs: { console: true }\n", "decisions: stdout", "config_file", "", nil},
		{"decision_logs: { service: s }\n", "config_file: ../opa.yaml", "decisions: stdout", "", nil},
		{"decision_logs: { service: s, console: true }\n", "config_file: ../opa.yaml", "", "", nil},
		{"bundle: {}\nservices: {}\n", "", "config_file", "bundle: the old form", nil},
		{"services: {}\nlabels: {}\n", "", "config_file", "services, labels: not needed", nil},
		{"distributed_tracing: {}\n", "", "", "OTEL_EXPORTER_OTLP_ENDPOINT", nil},
		{"default_decision: x\nserver: {}\n", "", "", "server: OPA's own HTTP API", nil},
		{"caching: {}\n", "", "", "caching: no counterpart", nil},
	} {
		written, notes, err := migrate(c.rest+own(`addr: "127.0.0.1:1"`), func(m *opaenvoy.Migration) {
			m.Policies = c.policies
		})
		if err != nil || !strings.Contains(written, c.has) || c.lacks != "" && strings.Contains(written, c.lacks) ||
			!strings.Contains(notes, c.note) {
			t.Errorf("%+v: %v\n%s\n%s", c, err, written, notes)
		}
		if !strings.HasSuffix(strings.Split(written, "\n\n#")[0], "}") && !strings.Contains(
			written, "policy: {compat: opa-envoy") {
			t.Errorf("what decides does not stand last:\n%s", written)
		}
	}
	refusals := func(m *opaenvoy.Migration) {
		m.Text = []byte("bundles: { a: {} }\nservices: { s: { url: \"${URL}\" } }\n" + own(`addr: "127.0.0.1:1"`))
		m.Refusals = func(name string, text []byte) finding.List {
			if name != "opa.yaml" || string(text) != string(m.Text) {
				t.Errorf("%s: %s", name, text)
			}
			return finding.List{{Path: "services.s.url", Message: "must be https"}, {Path: "keys", Message: "unknown",
				Hint: "remove it"}, {Path: "x", Message: "old"}}
		}
	}
	_, notes, err := migrate("", refusals)
	if want := "ATTENTION: unknown: remove it\nATTENTION: old: change it in opa.yaml\n"; err != nil || notes != want {
		t.Errorf("%v\n%s\nwant %s", err, notes, want)
	}
	if _, _, err := migrate("bundles: { a: {} }\n"+own(""), func(m *opaenvoy.Migration) {
		m.Seen = func(string) string { return "-" }
	}); err == nil {
		t.Error("bundles go on by standard input")
	}
	written, notes, err := migrate("plugins: { envoy_ext_authz_grpc: {}, other: {} }", nil)
	if err != nil || !strings.Contains(notes, "plugins.other: another plugin") {
		t.Errorf("%s\n%s\n%v", written, notes, err)
	}
}

// Wherever the file is written, it finds what it names.
func TestSeenFrom(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, name := range []string{"out", "deep/er"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(dir, "deep", "er"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ out, name, want string }{
		{"", "p.rego", "p.rego"}, {"", "/p.rego", "/p.rego"}, {"stepward.yaml", "p.rego", "p.rego"},
		{"out/stepward.yaml", "p.rego", "../p.rego"},
		{"new/er/stepward.yaml", "p.rego", "../../p.rego"}, {"out/stepward.yaml", "out/p.rego", "p.rego"},
		{"out/stepward.yaml", "/etc/p.rego", "/etc/p.rego"},
		{"link/stepward.yaml", "p.rego", filepath.Join(dir, "p.rego")},
	} {
		if got := opaenvoy.SeenFrom(c.out, c.name); got != c.want {
			t.Errorf("%s from %s: %s; want %s", c.name, c.out, got, c.want)
		}
	}
}
