package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/finding"
)

func good(t testing.TB) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "good.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func parse(text []byte) (config.Config, error) {
	return config.Parse(filepath.Join("testdata", "stepward.yaml"), text, config.Options{
		Getenv: func(string) string { return "" }})
}

// foreign are the keys that do not go with policy.paths, go with compat: opa-envoy, or are
// a flag: none of them go with policy.candidate, which is in good.yaml.
var foreign = regexp.MustCompile(`^\.Policy\.(Default|Compat|Path|SkipBody|ProtoDescriptor|Network)$`)

func TestCompat(t *testing.T) {
	c, err := config.Parse(filepath.Join("testdata", "stepward.yaml"),
		[]byte(
			"issuers: []\npolicy: { compat: opa-envoy, paths: [policy.rego], path: a/b, skip_body: true, proto_descriptor: secret.txt }"), config.Options{InsecurePolicyNetwork: true})
	want := config.Policy{Compat: config.OPAEnvoy, Paths: []string{filepath.Join("testdata", "policy.rego")}, Path: "a/b", SkipBody: true, ProtoDescriptor: filepath.Join("testdata", "secret.txt"), Network: true, Timeout: config.Duration(50 * time.Millisecond)} // clock: what a file says
	if err != nil || !reflect.DeepEqual(c.Policy, want) || len(c.Sources) != 3 {
		t.Errorf("%+v %q %v", c.Policy, c.Sources, err)
	}
}

// Such a policy is in files or in bundles, and its data does not age.
func TestCompatBundles(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "opa.yaml"), []byte("status: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"policy: { compat: opa-envoy }":                                                                       "policy.paths: is missing",
		"policy: { compat: opa-envoy }\nbundles: { config_file: opa.yaml }":                                   "",
		"policy: { compat: opa-envoy }\nbundles: { config_file: opa.yaml }\ndata: { max_age: { risk: 10m } }": "data.max_age: cannot be combined with compat: opa-envoy",
		"policy: {}\nbundles: { config_file: opa.yaml }\ndata: { max_age: { risk: 10m } }":                    "",
	} {
		_, err := config.Parse(filepath.Join(dir, "stepward.yaml"), []byte("issuers: []\n"+text), config.Options{
			InsecureNoIssuers: true})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestGood(t *testing.T) {
	c, err := parse(good(t))
	if err != nil {
		t.Fatal(err)
	}
	// No field keeps its zero value: the file really has every key.
	var walk func(v reflect.Value, path string)
	walk = func(v reflect.Value, path string) {
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				walk(v.Field(i), path+"."+v.Type().Field(i).Name)
			}
		case reflect.Slice:
			if v.Len() == 0 {
				t.Errorf("%s is empty", path)
			} else {
				walk(v.Index(0), path+"[0]")
			}
		default:
			others := foreign.MatchString(path) || strings.HasSuffix(path, "[0].JWKSFile") || strings.HasSuffix(
				path, "[0].Introspection.ClientSecretFile") || strings.HasSuffix(path, "[0].Introspection.CertFile") ||
				strings.HasSuffix(path, ".Bundles.Insecure") // of a flag
			if v.IsZero() && !others {
				t.Errorf("%s is not in testdata/good.yaml", path)
			}
		}
	}
	walk(reflect.ValueOf(c), "")
	if got := c.Policy.Paths[0]; got != filepath.Join("testdata", "policy.rego") {
		t.Errorf("a file name is not relative to the configuration: %s", got)
	}
	if ladders, err := c.Ladders(); err != nil || len(ladders) != 2 {
		t.Errorf("%v, %v", ladders, err)
	}
}

// least is the smallest configuration.
const least = `issuers: [{ name: corp, issuer: "https://idp.example.com", audiences: [x] }]
policy: { default: true }
`

// Whose tokens are trusted and what decides is said, or there is no configuration.
func TestRequired(t *testing.T) {
	const issuers, policy = "issuers: [{ name: corp, issuer: \"https://idp.example.com\", audiences: [x] }]\n",
		"policy: { default: true }\n"
	const empty = "the file is empty"
	for _, c := range []struct {
		text, want string
		nobody     bool
	}{
		{"", empty, false}, {"# nothing\n", empty, false}, {"---\n", empty, false}, {"null\n", empty, false},
		{"{}\n", "policy: is missing", true},
		{issuers + "---\n" + policy, "a second document", false}, {issuers + policy + "---\n", "a second document",
			false},
		{policy, "issuers: is missing", false}, {policy, "issuers: is missing", true},
		{policy + "issuers:\n", "issuers has nothing in it", false},
		{policy + "issuers: ~\n", "issuers has nothing in it", true},
		{policy + "issuers: []\n", "issuers: names nobody", false}, {policy + "issuers: []\n", "", true},
		{issuers, "policy: is missing", false}, {issuers + "policy:\n", "policy has nothing in it", false},
		{issuers + "policy: {}\n", "policy: names no policy", false},
		{issuers + "policy: { timeout: 20ms }\n", "policy: names no policy", false},
		{issuers + "policy: { paths: [] }\n", "policy: names no policy", false},
		{issuers + "policy: { paths: }\n", "policy.paths has nothing in it", false},
		{issuers + "policy: { default: }\n", "policy: names no policy", false},
		{issuers + "policy: { default: false }\n", "policy: names no policy", false},
		{issuers + "policy: { default: yes }\n", "must be true or false", false},
		{issuers + "policy: { candidate: { paths: [policy.rego] } }\n", "policy: names no policy", false},
		{issuers + "policy: { default: true, paths: [policy.rego] }\n", "policy.default: cannot be combined with paths",
			false},
		{issuers + "policy: { default: true, compat: opa-envoy, paths: [policy.rego] }\n",
			"policy.default: cannot be combined with", false},
		{"issuers: []\npolicy: { compat: opa-envoy, paths: [policy.rego] }\n", "", false},
		{issuers + policy + "levels:\n", "levels has nothing in it", false},
		{issuers + policy + "request:\n", "request has nothing in it", false},
		{issuers + policy + "data: { max_age: }\n", "data.max_age has nothing in it", false},
		{issuers + policy + "tls: { cert_file: , key_file: , client_ca_file: }\n", "", false},
		{issuers + policy, "", false}, {issuers + "policy: { paths: [policy.rego] }\n", "", false},
	} {
		_, err := config.Parse(filepath.Join("testdata", "stepward.yaml"), []byte(c.text), config.Options{
			InsecureNoIssuers: c.nobody})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v; want %q", c.text, err, c.want)
		}
	}
	if _, err := config.Parse("page", []byte("levels: []\n"), config.Options{Excerpt: true}); err != nil {
		t.Error(err)
	}
}

func TestDefaults(t *testing.T) {
	c, err := parse([]byte(least))
	if err != nil || c.Listen != "127.0.0.1:9191" || c.Errors.Status != 503 || c.Challenge.Disclose != "full" ||
		time.Duration(c.Limits.Deadline) != 150*time.Millisecond {
		t.Errorf("%+v, %v", c, err)
	}
}

// Each key misspelt, one by one, is found where it stands.
func TestMisspeltKeys(t *testing.T) {
	lines := strings.Split(string(good(t)), "\n")
	key := regexp.MustCompile(`([a-z_]+):( |$)`)
	tried := map[string]bool{}
	for i, line := range lines {
		for _, m := range key.FindAllStringSubmatchIndex(line, -1) {
			name := line[m[2]:m[3]]
			// names of the ladder and of data, not keys
			if strings.HasPrefix(line, "#") || name == "mfa" || name == "risk" {
				continue
			}
			tried[name] = true
			bad := append([]string{}, lines...)
			bad[i] = line[:m[3]-1] + "q" + line[m[3]-1:]
			_, err := parse([]byte(strings.Join(bad, "\n")))
			var found finding.List
			if !errors.As(err, &found) {
				t.Fatalf("%s: %v", bad[i], err)
			}
			hit := false
			for _, f := range found {
				hit = hit || f.Line == i+1 && f.Column == m[2]+1 && strings.Contains(
					f.Message, fmt.Sprintf("did you mean %q", name))
			}
			if !hit {
				t.Errorf("line %d %q:\n%v", i+1, bad[i], err)
			}
		}
	}
	if len(tried) < 35 {
		t.Errorf("only %d keys tried", len(tried))
	}
}

func TestBad(t *testing.T) {
	archive, err := txtar.ParseFile(filepath.Join("testdata", "bad.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range archive.Files {
		t.Run(f.Name, func(t *testing.T) {
			first, _, _ := strings.Cut(strings.TrimPrefix(string(f.Data), "# "), "\n")
			place, message, _ := strings.Cut(first, " ")
			_, err := parse(f.Data)
			var found finding.List
			if !errors.As(err, &found) {
				t.Fatalf("%v; want findings", err)
			}
			for _, x := range found {
				if fmt.Sprintf("%d:%d", x.Line, x.Column) == place && strings.Contains(x.Message, message) {
					return
				}
			}
			t.Errorf("found\n%v\nwant %s", err, first)
		})
	}
}

func TestPrecedence(t *testing.T) {
	env := func(name string) string {
		return map[string]string{"STEPWARD_ADMIN": "127.0.0.1:3", "REALM": "from env"}[name]
	}
	text := []byte(least + "listen: 127.0.0.1:1\nadmin: 127.0.0.1:2\nchallenge: {realm: \"${REALM}\"}\n")
	c, err := config.Parse("x.yaml", text, config.Options{Getenv: env, Listen: "127.0.0.1:4"})
	if err != nil || c.Listen != "127.0.0.1:4" || c.Admin != "127.0.0.1:3" || c.Challenge.Realm != "from env" {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := config.Parse("x.yaml", []byte(least+"listen: 0.0.0.0:1"), config.Options{
		InsecurePlaintextListener: true}); err != nil {
		t.Error(err)
	}
	if _, err := config.Load(filepath.Join(t.TempDir(), "missing.yaml"), config.Options{}); err == nil {
		t.Error("a file that is not there is a configuration")
	}
}

// Whatever the text, there is a configuration or findings with a place.
func FuzzParse(f *testing.F) {
	f.Add(good(f))
	f.Add([]byte("a: &x [*x]"))
	f.Add([]byte("listen: !!binary eA=="))
	f.Fuzz(func(t *testing.T, text []byte) {
		_, err := parse(text)
		var found finding.List
		if err != nil && (!errors.As(err, &found) || len(found) == 0 || found[0].Line < 1) {
			t.Errorf("%v", err)
		}
	})
}
