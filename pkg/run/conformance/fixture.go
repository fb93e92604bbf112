package conformance

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/internal/testidp"
	"github.com/stepward/stepward/pkg/run/snapshot"
)

// issuer is the issuer that the fixtures trust. Nobody calls it: the keys are in a file.
const issuer = "https://idp.example.com"

// baseConfig is the configuration of every fixture. The deadline is long, since the cases
// test the answer and not the speed of the machine.
const baseConfig = `issuers:
- name: corp
  issuer: ` + issuer + `
  audiences: [` + testidp.Audience + `]
  jwks_file: jwks.json
- name: down
  issuer: https://down.example.com
  audiences: [` + testidp.Audience + `]
  jwks_uri: https://127.0.0.1:1/keys
  optional: true
levels:
- { name: password, acr: ["urn:example:loa:1"] }
- { name: mfa, acr: ["urn:example:loa:2"] }
- { name: phishing-resistant, acr: [phr, phrh] }
drain: { delay: 10ms }
`

const baseLimits = "limits: { deadline: 5s }\n"

// Rig holds the keys and the folder for fixtures. Close it after use.
type Rig struct {
	suite Suite
	idp   *testidp.IDP
	key   *testidp.Holder // of the client that proves possession
	dir   string
	own   bool   // the folder is ours to remove
	up    bool   // the provider serves, for fixtures that ask it
	list  string // uri of its status list
}

// NewRig makes new keys and a new folder.
func NewRig(s Suite) (*Rig, error) {
	dir, err := os.MkdirTemp("", "stepward-conformance-")
	if err != nil {
		return nil, err
	}
	r, err := newRig(s, dir)
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	r.own = true
	return r, nil
}

// newRig makes new keys, and writes the public ones into dir.
func newRig(s Suite, dir string) (*Rig, error) {
	idp, err := testidp.New(testidp.Options{Issuer: issuer})
	if err != nil {
		return nil, err
	}
	key, err := testidp.NewHolder()
	if err != nil {
		return nil, err
	}
	return &Rig{suite: s, idp: idp, key: key, dir: dir}, os.WriteFile(filepath.Join(dir, "jwks.json"), idp.JWKS(),
		0o600)
}

// Close stops the provider and removes the folder.
func (r *Rig) Close() {
	if r.up {
		r.idp.Close()
	}
	if r.own {
		os.RemoveAll(r.dir)
	}
}

// WriteFixture writes the base fixture into a folder: stepward.yaml, policy.rego,
// jwks.json, and the keys that sign the cases' tokens. A Stepward that serves it
// can be tested with [OpenFixture].
func WriteFixture(s Suite, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	r, err := newRig(s, dir)
	if err != nil {
		return err
	}
	defer r.Close()
	text, err := r.write("base")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "stepward.yaml"), text, 0o600); err != nil {
		return err
	}
	return r.idp.Save(dir)
}

// OpenFixture reads the keys from a folder that [WriteFixture] wrote.
func OpenFixture(s Suite, dir string) (*Rig, error) {
	idp, err := testidp.New(testidp.Options{Issuer: issuer})
	if err != nil {
		return nil, err
	}
	key, err := testidp.NewHolder()
	if err != nil {
		return nil, err
	}
	return &Rig{suite: s, idp: idp, key: key, dir: dir}, idp.Load(dir)
}

// write writes the policy of a fixture and returns its configuration.
func (r *Rig) write(name string) ([]byte, error) {
	f := r.suite.Fixtures[name]
	policy := []byte(f.Policy)
	paths := []string{name + ".rego"}
	if f.Policy == "" {
		var err error
		if policy, err = files.ReadFile("cases/policy.rego"); err != nil {
			return nil, err
		}
		for _, more := range []string{"table.json", "route.rego"} {
			text, err := files.ReadFile("cases/" + more)
			if err != nil {
				return nil, err
			}
			if err := os.WriteFile(filepath.Join(r.dir, more), text, 0o600); err != nil {
				return nil, err
			}
			paths = append(paths, more)
		}
	}
	if err := os.WriteFile(filepath.Join(r.dir, paths[0]), policy, 0o600); err != nil {
		return nil, err
	}
	for _, name := range []string{"nonce.keys", "sealing.keys"} {
		if !strings.Contains(f.Issuer+f.Config, name) {
			continue
		}
		key := base64.RawURLEncoding.EncodeToString(make([]byte, 32)) // no secret: nobody is served with it
		if err := os.WriteFile(filepath.Join(r.dir, name), []byte(key), 0o600); err != nil {
			return nil, err
		}
	}
	if strings.Contains(f.Issuer, "${IDP}") {
		if err := r.provide(); err != nil {
			return nil, err
		}
		f.Issuer = strings.ReplaceAll(f.Issuer, "${IDP}", r.idp.Address())
	}
	text := strings.Replace(baseConfig, "  jwks_file: jwks.json\n", "  jwks_file: jwks.json\n"+f.Issuer, 1) + f.Config
	return []byte(unhurried(text, f.Config, paths)), nil
}

// unhurried gives every decision enough time in text, unless config, a fixture's own part
// of it, says how much: the cases test the answer.
func unhurried(text, config string, paths []string) string {
	switch {
	case !strings.Contains(config, "limits:"):
		text += baseLimits
	case !strings.Contains(config, "deadline:"):
		text = strings.Replace(text, "limits: { ", "limits: { deadline: 5s, ", 1)
	}
	switch {
	case !strings.Contains(config, "policy:"):
		text += fmt.Sprintf("policy: { paths: [%s], timeout: 5s }\n", strings.Join(paths, ", "))
	case !strings.Contains(config, "timeout:"):
		text = strings.Replace(text, "policy: { ", "policy: { timeout: 5s, ", 1)
	}
	return text
}

// provide lets the provider serve introspection and a status list.
func (r *Rig) provide() error {
	if r.up {
		return nil
	}
	if err := r.idp.Up(); err != nil {
		return err
	}
	r.up = true
	var err error
	if r.list, err = r.idp.StatusList("/statuslists/1", 16, []int{1}, nil); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.dir, "secret"), []byte(testidp.ClientSecret), 0o600)
}

// config returns the configuration of a fixture.
func (r *Rig) config(name string) (config.Config, error) {
	text, err := r.write(name)
	if err != nil {
		return config.Config{}, err
	}
	c, err := config.Parse(filepath.Join(r.dir, "stepward.yaml"), text, config.Options{})
	if err != nil {
		return c, fmt.Errorf("fixture %s: %w", name, err)
	}
	return c, nil
}

// snapshot makes the deciding part of a fixture, without its server.
func (r *Rig) snapshot(ctx context.Context, name string) (*snapshot.Snapshot, error) {
	c, err := r.config(name)
	if err != nil {
		return nil, err
	}
	s, err := snapshot.New(ctx, c, snapshot.Options{Observe: snapshot.Unobserved})
	if err != nil {
		return nil, fmt.Errorf("fixture %s: %w", name, err)
	}
	return s, nil
}

// mint returns the Authorization value for a case, or nothing.
func (r *Rig) mint(q Request) (string, error) {
	if q.Token == nil {
		return "", nil
	}
	scheme := q.Scheme
	switch {
	case scheme == "" && q.DPoP != nil:
		scheme = "DPoP "
	case scheme == "":
		scheme = "Bearer "
	}
	t := *q.Token
	if t.Raw != "" {
		return scheme + expand(t.Raw) + t.Append, nil
	}
	now := time.Now()
	at := map[string]int64{}
	for name, x := range map[string]struct {
		text string
		sign time.Duration
		zero time.Duration
	}{"auth_time": {t.AuthAge, -1, 0}, "iat": {t.Age, -1, 0}, "exp": {t.Expires, 1, 5 * time.Minute}} {
		d := x.zero
		if x.text != "" {
			var err error
			if d, err = time.ParseDuration(x.text); err != nil {
				return "", err
			}
		}
		at[name] = now.Add(x.sign * d).Unix()
	}
	claims := map[string]any{"auth_time": at["auth_time"], "iat": at["iat"], "exp": at["exp"]}
	if q.DPoP != nil {
		claims["cnf"] = map[string]any{"jkt": r.key.Thumbprint()}
	}
	for name, value := range t.Claims {
		claims[name] = value
	}
	if t.Status != nil {
		claims["status"] = map[string]any{"status_list": map[string]any{"idx": *t.Status, "uri": r.list}}
	}
	if t.Opaque {
		return scheme + r.idp.Opaque("", claims), nil
	}
	signed, err := r.idp.Mint(testidp.Token{Key: t.Key, Header: t.Header, Claims: claims})
	if err != nil {
		return "", err
	}
	if t.Unsigned {
		signed = signed[:strings.LastIndexByte(signed, '.')+1]
	}
	return scheme + signed + t.Append, nil
}

// lines lists every header line of a case's request, in order.
func (r *Rig) lines(q Request) ([]string, error) {
	var out []string
	out = append(out, presets[q.As]...)
	for _, h := range q.Headers {
		out = append(out, expand(h))
	}
	authorization, err := r.mint(q)
	if authorization != "" {
		out = append(out, "authorization: "+authorization)
	}
	if q.DPoP != nil && err == nil {
		path, _, _ := strings.Cut(q.Target, "?")
		_, raw, _ := strings.Cut(authorization, " ")
		var proof string
		proof, err = r.key.Prove(q.method(), "https://"+q.host()+path, raw, q.DPoP)
		out = append(out, "dpop: "+proof)
	}
	return out, err
}

func (q Request) method() string { return or(q.Method, "GET") }
func (q Request) host() string   { return or(q.Host, "app.example.com") }

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// number turns a number from YAML into a JSON number, so that they can be compared.
func number(v any) any {
	b, err := json.Marshal(v)
	if err != nil {
		return v
	}
	var out any
	if json.Unmarshal(b, &out) != nil {
		return v
	}
	return out
}
