package server_test

import (
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/internal/testidp"
	"github.com/stepward/stepward/pkg/run/server"
)

// whole returns a configuration with nearly every key, and the files that it names.
func whole(t testing.TB, by authority) map[string]string {
	t.Helper()
	idp, err := testidp.New(testidp.Options{Issuer: "https://idp.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	files := variant("a")
	files["stepward.yaml"] = `listen: 127.0.0.1:0
admin: 127.0.0.1:0
tls: { cert_file: cert.pem, key_file: key.pem, client_ca_file: ca.pem, client_ids: ["spiffe://example.com/envoy"] }
issuers:
- name: corp
  issuer: https://idp.example.com
  audiences: ["` + testidp.Audience + `"]
  algorithms: [ES256]
  profile: rfc9068
  assurance: acr
  leeway: 10s
  jwks_file: keys.json
  levels: { mfa: { acr: ["2"], amr: [[otp]] } }
- { name: far, issuer: "https://far.example.com", audiences: [x], jwks_uri: "https://127.0.0.1:1/keys", optional: true }
levels: [{ name: mfa, acr: ["acr-a"] }]
policy: { paths: [policy], timeout: 10s }
request: { allow: [path_parameters], path_case: fold, trusted_hops: 1 }
upstream: { header_prefix: x-stepward-, authorization: remove }
challenge: { realm: realm-a, resource_metadata: "https://api.example.com/m", disclose: none }
cors: { origins: ["https://spa.example.com"], allow_headers: [authorization] }
errors: { status: 503 }
limits: { deadline: 10s, token: 8KiB, path: 2048, headers: 64KiB, message: 1MiB, in_flight: 64 }
login_redirect: { url: "https://login-a.example.com/", hosts: [app.example.com], sealing_keys_file: sealing.keys }
log: { level: info, decisions: stdout, max_size: 1MiB, max_files: 2 }
drain: { delay: 10ms, cap: 1s }
`
	files["keys.json"] = string(idp.JWKS())
	files["sealing.keys"] = strings.Repeat("A", 43) + "\n"
	files["cert.pem"], files["key.pem"] = by.issue(t, time.Now().Add(time.Hour))
	files["ca.pem"] = by.pem
	return files
}

// breakage turns good files into broken ones; a text of "" removes the file.
type breakage struct {
	name  string
	files map[string]string
}

// breakages lists ways to get a configuration wrong: every key with a value of
// another type, values out of range, references to nothing, damaged files.
func breakages(t testing.TB, good map[string]string, by authority) []breakage {
	t.Helper()
	var all []breakage
	add := func(name string, files map[string]string) { all = append(all, breakage{name, files}) }
	text := good["stepward.yaml"]
	swap := func(name, old, with string) {
		if !strings.Contains(text, old) {
			t.Fatalf("%s: no %q", name, old)
		}
		add(name, map[string]string{"stepward.yaml": strings.Replace(text, old, with, 1)})
	}
	for path, broken := range wrongTypes(t, text) {
		add("type of "+path, map[string]string{"stepward.yaml": broken})
	}
	for name, v := range map[string][2]string{
		"listen without port":  {"listen: 127.0.0.1:0", "listen: 127.0.0.1"},
		"relative socket":      {"listen: 127.0.0.1:0", "listen: unix://s.sock"},
		"admin without port":   {"admin: 127.0.0.1:0", "admin: here"},
		"control over TCP":     {"admin: 127.0.0.1:0", "control: 127.0.0.1:1"},
		"issuer in plain text": {"https://idp.example.com", "http://idp.example.com"},
		"issuer twice":         {"https://far.example.com", "https://idp.example.com"},
		"name twice":           {"name: far", "name: corp"},
		"name in upper case":   {"name: far", "name: Far"},
		"symmetric algorithm":  {"[ES256]", "[HS256]"},
		"algorithm none":       {"[ES256]", "[none]"},
		"unknown profile":      {"rfc9068", "rfc9069"},
		"unknown assurance":    {"assurance: acr", "assurance: amrs"},
		"leeway of an hour":    {"10s", "1h"},
		"negative leeway":      {"10s", "-10s"},
		"level of nobody":      {"levels: { mfa:", "levels: { otp:"},
		"level twice": {"levels: [{ name: mfa, acr: [\"acr-a\"] }]",
			"levels: [{ name: mfa, acr: [a] }, { name: mfa, acr: [b] }]"},
		"built-in level": {"levels: [{ name: mfa, acr: [\"acr-a\"] }]",
			"levels: [{ name: anonymous, acr: [a] }]"},
		"timeout > deadline":    {"timeout: 10s", "timeout: 11s"},
		"deadline of a minute":  {"deadline: 10s", "deadline: 1m"},
		"deadline zero":         {"deadline: 10s", "deadline: 0s"},
		"unknown allowance":     {"path_parameters", "path_parameter"},
		"unknown case":          {"fold", "lower"},
		"negative hops":         {"trusted_hops: 1", "trusted_hops: -1"},
		"prefix of the proxy":   {"x-stepward-,", "x-envoy-,"},
		"prefix without dash":   {"x-stepward-,", "x-stepward,"},
		"authorization kept":    {"authorization: remove", "authorization: keep"},
		"realm with a quote":    {"realm: realm-a", "realm: 'a\"b'"},
		"metadata no URL":       {"https://api.example.com/m", "api"},
		"disclose some":         {"disclose: none", "disclose: some"},
		"origin with a path":    {"https://spa.example.com", "https://spa.example.com/"},
		"origin star":           {"https://spa.example.com", "*"},
		"header in upper case":  {"[authorization]", "[Authorization]"},
		"status of success":     {"status: 503", "status: 200"},
		"token of a gigabyte":   {"8KiB", "1000MiB"},
		"in_flight zero":        {"in_flight: 64", "in_flight: -1"},
		"login without hosts":   {", hosts: [app.example.com]", ""},
		"login host with path":  {"hosts: [app.example.com]", "hosts: [app.example.com/]"},
		"login in plain text":   {"https://login-a", "http://login-a"},
		"unknown level of log":  {"level: info", "level: loud"},
		"unknown sink":          {"decisions: stdout", "decisions: syslog"},
		"file without sink":     {"decisions: stdout", "decisions: stdout, file: x.log"},
		"misspelt key":          {"policy:", "polcy:"},
		"key twice":             {"errors: { status: 503 }", "errors: { status: 503 }\nerrors: { status: 503 }"},
		"unset variable":        {"realm: realm-a", "realm: '${NO_SUCH_VARIABLE}'"},
		"missing policy":        {"paths: [policy]", "paths: [nowhere]"},
		"missing keys":          {"keys.json", "nowhere.json"},
		"missing certificate":   {"cert.pem", "nowhere.pem"},
		"certificate for a key": {"key_file: key.pem", "key_file: cert.pem"},
		"client_ids without CA": {"client_ca_file: ca.pem, ", ""},
		"client id no SPIFFE":   {"spiffe://example.com/envoy", "https://example.com/envoy"},
		"certificate alone":     {"key_file: key.pem, ", ""},
		"TLS off":               {"tls:", "# tls:"},
		"alias":                 {"errors: { status: 503 }", "errors: &e { status: 503 }\ndrain2: *e"},
		"tab":                   {"errors: {", "\terrors: {"},
		"control byte":          {"realm-a", "realm\x00"},
		"not UTF-8":             {"realm-a", "realm\xff"},
	} {
		swap(name, v[0], v[1])
	}
	for name, whole := range map[string]string{
		"a configuration that is cut": text[:len(text)*2/3] + "{", "a list": "- a\n", "a word": "stepward",
		"binary": "\x7fELF\x00\x01", "HTML": "<html><body>404</body></html>",
		"huge": "# " + strings.Repeat("x", 2<<20),
	} {
		add(name, map[string]string{"stepward.yaml": whole})
	}
	policy := good["policy/policy.rego"]
	for name, rego := range map[string]string{
		"a policy that is cut": policy[:len(policy)/2],
		"a policy of nothing":  "package stepward.policy\nimport rego.v2\n", "an old policy": strings.Replace(
			policy, "rego.v2", "rego.v1", 1),
		"an unknown level": strings.Replace(policy, `"mfa"`, `"mfaa"`, 1), "a boolean deny": policy +
			"\ndeny if true\n", "network": policy + "\nx := http.send({})\n", "the clock": policy +
			"\nx := time.now_ns()\n",
		"recursion": policy + "\na if b\nb if a\n", "a header of ours": policy +
			"\nheaders[\"x-stepward-level\"] := \"mfa\"\n", "a conflicting import": policy +
			"\nimport data.stepward.policy as input\n",
		"v0 syntax":           "package stepward.policy\nrequire[x] { x := {\"level\": \"mfa\"} }\n",
		"an unknown function": policy + "\nx := nowhere(1)\n", "a type error": policy + "\nx if \"a\" + 1 == 2\n",
		"an input that is not there": policy + "\nx if input.reqest.path\n", "another package": strings.Replace(
			policy, "stepward.policy", "stepward.polices", 1), "a policy of 50 MB": policy + "\n# " + strings.Repeat(
			"x", 50<<20),
		"an empty policy": "", "HTML for a policy": "<html><body>404</body></html>", "chance": policy +
			"\nx := rand.intn(\"a\", 2)\n", "the environment": policy + "\nx := opa.runtime()\n",
		"an unknown key":   policy + "\nrequire contains {\"levl\": \"mfa\"}\n",
		"a slip of a name": policy + "\nrequires contains {\"level\": \"mfa\"}\n", "a computed header": policy +
			"\nheaders[name] := \"x\" if some name in [\"x-a\"]\n", "anonymous by the token": policy +
			"\nrequire contains {\"level\": \"anonymous\"} if input.token.subject == \"root\"\n",
		"a link that leads out": "link:/etc/hostname", "a link to nowhere": "link:nowhere.rego",
		"a link to itself": "link:policy.rego", "headers as a whole": policy + "\nheaders := {}\n",
		"a header of the hop": policy + "\nheaders[\"connection\"] := \"x\"\n",
		"NUL in a policy":     policy + "\x00", "a policy that is not UTF-8": policy + "\n# \xff\xfe\nx := \"\xff\"\n",
	} {
		add(name, map[string]string{"policy/policy.rego": rego})
	}
	add("data in conflict", map[string]string{"policy/a.json": `{"x": 1}`, "policy/b.json": `{"x": 2}`})
	add("data twice", map[string]string{"policy/a.json": `{"x": 1, "x": 2}`})
	add("data that is cut", map[string]string{"policy/a.json": `{"x": `})
	add("data of 50 MB", map[string]string{"policy/a.json": `{"x": "` + strings.Repeat("x", 50<<20) + `"}`})
	add("data that is a list", map[string]string{"policy/a.json": `[1]`})
	add("data in a cycle", map[string]string{"policy/a.yaml": "x: &x\n  y: *x\n"})
	add("data with a BOM", map[string]string{"policy/a.json": "\ufeff{\"x\": 1}"})
	add("data with NUL", map[string]string{"policy/a.json": "{\"x\": \"\x00\"}"})
	add("data without end", map[string]string{"policy/a.json": strings.Repeat(`{"x":`, 100_000)})
	otherCert, otherKey := by.issue(t, time.Now().Add(time.Hour))
	oldCert, oldKey := by.issue(t, time.Now().Add(-time.Hour))
	for name, files := range map[string]map[string]string{
		"empty keys": {"keys.json": ""}, "keys that are cut": {"keys.json": good["keys.json"][:100]},
		"keys of nothing": {"keys.json": `{"keys":[]}`}, "keys gone": {"keys.json": "-"}, "keys with a BOM": {
			"keys.json": "\ufeff" + good["keys.json"]},
		"a secret that is gone": {"key.pem": "-"}, "another's key": {"key.pem": otherKey}, "another's certificate": {
			"cert.pem": otherCert}, "an expired certificate": {"cert.pem": oldCert, "key.pem": oldKey},
		"a certificate that is cut": {"cert.pem": good["cert.pem"][:100]}, "an empty CA": {"ca.pem": ""},
		"an empty configuration": {"stepward.yaml": "\n"}, "nothing but comments": {
			"stepward.yaml": "# " + strings.ReplaceAll(text, "\n", "\n# ")},
		"a second document": {"stepward.yaml": text + "---\nlevels: []\n"}, "cut after levels": {
			"stepward.yaml": text[:strings.Index(text, "policy:")]}, "policy without a value": {
			"stepward.yaml": text[:strings.Index(text, " { paths: [policy]")] + "\n"},
		"an empty policy": {"policy/policy.rego": "\n"}, "an empty data file": {"policy/data.yaml": "\n"},
		"two documents of data": {"policy/data.yaml": "a: 1\n---\nb: 2\n"}, "data with something behind it": {
			"policy/data.json": "{} {}"}, "policies gone": {"policy/policy.rego": "-"}, "the configuration gone": {
			"stepward.yaml": "-"},
	} {
		add(name, files)
	}
	return all
}

// wrongTypes returns copies of text in which one value each is of another type.
func wrongTypes(t testing.TB, text string) map[string]string {
	t.Helper()
	out := map[string]string{}
	var walk func(root, n *yaml.Node, path string)
	walk = func(root, n *yaml.Node, path string) {
		if path != "" && !strings.HasSuffix(path, "levels.mfa") {
			was := *n
			if n.Kind == yaml.ScalarNode {
				*n = yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*yaml.Node{
					{Kind: yaml.ScalarNode, Tag: "!!str", Value: "of"}, {Kind: yaml.ScalarNode, Tag: "!!str",
						Value: "another type"}}}
			} else {
				*n = yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: "of another type"}
			}
			broken, err := yaml.Marshal(root)
			if err != nil {
				t.Fatal(err)
			}
			out[path] = string(broken)
			*n = was
		}
		for i, c := range n.Content {
			switch {
			case n.Kind == yaml.SequenceNode:
				walk(root, c, fmt.Sprintf("%s[%d]", path, i))
			case n.Kind == yaml.MappingNode && i%2 == 1:
				walk(root, c, strings.TrimPrefix(path+"."+n.Content[i-1].Value, "."))
			case n.Kind == yaml.DocumentNode:
				walk(root, c, path)
			}
		}
	}
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(text), &root); err != nil {
		t.Fatal(err)
	}
	walk(&root, &root, "")
	return out
}

func place(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if text == "-" {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if target, ok := strings.CutPrefix(text, "link:"); ok {
			os.Remove(filepath.Join(dir, name))
			if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		write(t, dir, map[string]string{name: text})
	}
}

// restore puts the good files back and takes away what a breakage has added.
func restore(t testing.TB, dir string, good map[string]string, b breakage) {
	t.Helper()
	for name := range b.files {
		if _, ours := good[name]; !ours {
			os.Remove(filepath.Join(dir, name))
		}
	}
	write(t, dir, good)
}

// Broken at start it is refused, before a port is open.
func TestBrokenStart(t *testing.T) {
	t.Parallel()
	by := newAuthority(t)
	good := whole(t, by)
	dir := t.TempDir()
	write(t, dir, good)
	load := func() (*server.Server, error) {
		c, err := config.Load(filepath.Join(dir, "stepward.yaml"), config.Options{
			Getenv: func(string) string { return "" }})
		if err != nil {
			return nil, err
		}
		return server.New(t.Context(), c, server.Options{Listener: opened{t}, AdminListener: opened{t}})
	}
	if _, err := load(); err != nil {
		t.Fatalf("good: %v", err)
	}
	all := breakages(t, good, by)
	t.Logf("%d kinds", len(all))
	if len(all) < 100 {
		t.Fatalf("only %d breakages", len(all))
	}
	for _, b := range all {
		if b.name == "TLS off" {
			continue // that is another configuration; only a running service cannot follow
		}
		place(t, dir, b.files)
		if _, err := load(); err == nil {
			t.Errorf("%s: starts", b.name)
		} else if strings.TrimSpace(err.Error()) == "" || strings.Contains(err.Error(), "PRIVATE KEY") {
			t.Errorf("%s: %q", b.name, err)
		}
		restore(t, dir, good, b)
	}
}

// opened is a listener that is given and never used, so that none is opened.
type opened struct{ t testing.TB }

func (o opened) Accept() (net.Conn, error) { o.t.Error("served"); return nil, net.ErrClosed }
func (o opened) Close() error              { return nil }
func (o opened) Addr() net.Addr            { return &net.TCPAddr{} }

// Broken at reload the last good serves, and it is told why.
func TestBrokenReload(t *testing.T) {
	t.Parallel()
	by := newAuthority(t)
	good := whole(t, by)
	// the client here speaks plain text
	good["stepward.yaml"] = strings.Replace(good["stepward.yaml"], "tls:", "# tls:", 1)
	dir := t.TempDir()
	write(t, dir, good)
	f := serveDir(t, dir, server.Options{})
	revision := f.Revision()
	reloaded := func() string {
		_, body := page(t, f.running, "/metrics")
		for line := range strings.Lines(body) {
			if strings.HasPrefix(line, "stepward_config_reloads_total{result=\"error\"} ") {
				return line
			}
		}
		return ""
	}
	all := breakages(t, maps.Clone(good), by)
	for _, b := range all {
		touchesTLS := strings.Contains(b.name, "TLS") || strings.Contains(b.name, "tls") || strings.Contains(
			b.name, "ertificate") || strings.Contains(b.name, "client") ||
			strings.Contains(b.name, "CA") || strings.Contains(b.name, "another's key") || strings.Contains(
			b.name, "secret")
		if touchesTLS {
			continue // TestTLS and TestBrokenStart have these
		}
		was := reloaded()
		place(t, dir, b.files)
		f.Reload()
		eventually(t, b.name+" is told of", func() bool { return reloaded() != was })
		if status, body := page(t, f.running, "/readyz?verbose"); status != 200 || !strings.Contains(
			body, "the last good configuration stays in force: ") {
			t.Errorf("%s: %d %s", b.name, status, body)
		}
		if f.Revision() != revision || f.variant(t) != "a" {
			t.Errorf("%s: in force", b.name)
		}
		restore(t, dir, good, b)
	}
	f.Reload()
	eventually(t, "good again", func() bool {
		_, body := page(t, f.running, "/metrics")
		return strings.Contains(body, "stepward_config_last_reload_success 1")
	})
}
