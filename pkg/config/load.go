package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/pkg/internal/strictyaml"
)

// Options are what the command line says about a configuration.
type Options struct {
	// InsecurePlaintextListener permits a Check listener off loopback. Whoever
	// reaches it MUST be trusted: it asks for no certificate.
	InsecurePlaintextListener bool
	// InsecurePolicyNetwork permits policies of opa-envoy-plugin to call other hosts
	// during a decision. Whoever writes such a policy chooses what is called with what,
	// and each call counts against the time of the decision.
	InsecurePolicyNetwork bool
	// InsecureBundles permits bundles, decision logs and status over plain HTTP, and
	// services whose certificate nobody checks. Whoever is on the way decides then.
	InsecureBundles bool
	// InsecureNoIssuers permits `issuers: []`. Nobody can sign in then: what is not public
	// is refused, and a credential proves nothing.
	InsecureNoIssuers bool
	// Excerpt takes a text without issuers and policy: a part of a configuration, where
	// what decides is named elsewhere, as on the page of the playground.
	Excerpt bool
	// Look is what files are read by; nil means a look of its own.
	Look *files.Look
	// Getenv is the environment, as [os.Getenv].
	Getenv func(string) string
	// Listen and Admin, where set, win over environment and file.
	Listen, Admin string
}

// Load reads and checks the configuration in a file. File names in it are made
// relative to its folder. The error is [finding.List] when something is wrong in the
// file, another when it cannot be read; Sources of the Config are set all the same,
// so that they can be watched for a mend.
func Load(file string, o Options) (Config, error) {
	if o.Look == nil {
		o.Look = files.NewLook()
	}
	text, err := o.Look.Read(file, files.MaxFile)
	if err != nil {
		return Config{Sources: []string{file}}, fmt.Errorf("config: %w", err)
	}
	return Parse(file, text, o)
}

// Parse is [Load] for a text that is read already.
func Parse(file string, text []byte, o Options) (Config, error) {
	root, err := strictyaml.Document(text)
	if err != nil {
		return Config{Sources: []string{file}}, finding.List{syntax(file, err)}
	}
	if o.Look == nil {
		o.Look = files.NewLook()
	}
	d := &decoder{file: file, getenv: o.Getenv, look: o.Look}
	if d.slips(root); len(d.found) > 0 {
		return Config{Sources: []string{file}}, d.found.Tidy()
	}
	var c Config
	d.decode(root, reflect.ValueOf(&c).Elem(), "")
	c = overrides(c, o).WithDefaults()
	c.Policy.Network = o.InsecurePolicyNetwork
	d.check(c, o)
	d.resolve(&c)
	c.Bundles.Insecure = o.InsecureBundles
	if len(d.found) > 0 {
		return Config{Sources: c.Sources}, d.found.Tidy()
	}
	return c, nil
}

// overrides applies flag over environment over file.
func overrides(c Config, o Options) Config {
	for _, x := range []struct {
		field     *string
		flag, env string
	}{{&c.Listen, o.Listen, "STEPWARD_LISTEN"}, {&c.Admin, o.Admin, "STEPWARD_ADMIN"}} {
		if o.Getenv != nil && o.Getenv(x.env) != "" {
			*x.field = o.Getenv(x.env)
		}
		if x.flag != "" {
			*x.field = x.flag
		}
	}
	return c
}

var yamlPlace = regexp.MustCompile(`line (\d+)(?:, column (\d+))?:? *`)

// syntax is the finding of a text that is no YAML.
func syntax(file string, err error) finding.Finding {
	f := finding.Finding{File: file, Line: 1, Column: 1, Code: "config", Message: err.Error()}
	if at := (*strictyaml.Error)(nil); errors.As(err, &at) {
		f.Line, f.Column, f.Message, f.Hint = at.Line, at.Column, at.Message, at.Hint
		return f
	}
	if m := yamlPlace.FindStringSubmatch(err.Error()); m != nil {
		f.Line, _ = strconv.Atoi(m[1])
		if m[2] != "" {
			f.Column, _ = strconv.Atoi(m[2])
		}
	}
	return f
}

// decoder walks the document beside the Go value that it fills, and remembers
// where each member stands.
type decoder struct {
	file   string
	getenv func(string) string
	look   *files.Look
	found  finding.List
	places map[string]*yaml.Node
}

func (d *decoder) fail(n *yaml.Node, path, message, hint string) {
	f := finding.Finding{File: d.file, Line: 1, Column: 1, Code: "config", Path: path, Message: message, Hint: hint}
	if n != nil {
		f.Line, f.Column = n.Line, n.Column
	}
	d.found = append(d.found, f)
}

// failAt reports something about the member at path, at the nearest place that is
// written out.
func (d *decoder) failAt(path, message, hint string) {
	for p := path; ; {
		if n := d.places[p]; n != nil {
			d.fail(n, path, path+": "+message, hint)
			return
		}
		i := strings.LastIndexAny(p, ".[")
		if i < 0 {
			d.fail(nil, path, path+": "+message, hint)
			return
		}
		p = p[:i]
	}
}

func (d *decoder) decode(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind == yaml.AliasNode {
		d.fail(n, path, "aliases are not used here", "write the value out")
		return
	}
	if d.places == nil {
		d.places = map[string]*yaml.Node{}
	}
	d.places[path] = n
	if n.Tag == "!!null" {
		d.nothing(n, v, path)
		return
	}
	switch v.Interface().(type) {
	case Duration:
		d.duration(n, v, path)
		return
	case Size:
		d.size(n, v, path)
		return
	case Assurance:
		d.assurance(n, v, path)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.object(n, v, path)
	case reflect.Map:
		d.mapping(n, v, path)
	case reflect.Slice:
		d.list(n, v, path)
	default:
		d.scalar(n, v, path)
	}
}

// nothing takes a key without a value for one that is not there, where it is a single
// value. What holds others is refused: a file that was cut ends like this, and without
// them it means something else.
func (d *decoder) nothing(n *yaml.Node, v reflect.Value, path string) {
	switch v.Kind() {
	case reflect.Struct, reflect.Map, reflect.Slice:
		d.fail(n, path, what(path)+" has nothing in it",
			"write what belongs there, or leave the key out; a file that was cut ends like this")
	}
}

// written reports whether the key at path is in the file, with a value.
func (d *decoder) written(path string) bool {
	n := d.places[path]
	return n != nil && n.Tag != "!!null"
}

func (d *decoder) object(n *yaml.Node, v reflect.Value, path string) {
	fields := map[string]int{}
	var known []string
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("yaml")
		if name == "-" {
			continue
		}
		fields[name] = i
		known = append(known, name)
	}
	d.members(n, path, func(key, value *yaml.Node) {
		i, ok := fields[key.Value]
		if !ok {
			d.fail(key, join(path, key.Value), fmt.Sprintf("unknown key %q%s", key.Value,
				finding.DidYouMean(key.Value, known)), keyHint(key.Value, known))
			return
		}
		d.decode(value, v.Field(i), join(path, key.Value))
	})
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, path string) {
	v.Set(reflect.MakeMap(v.Type()))
	d.members(n, path, func(key, value *yaml.Node) {
		x := reflect.New(v.Type().Elem()).Elem()
		d.decode(value, x, join(path, key.Value))
		v.SetMapIndex(reflect.ValueOf(key.Value), x)
	})
}

func (d *decoder) members(n *yaml.Node, path string, visit func(key, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		d.fail(n, path, what(path)+" must be an object of keys and values", "")
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode {
			d.fail(key, path, "a key must be a word", "")
			continue
		}
		if line := seen[key.Value]; line > 0 {
			d.fail(key, join(path, key.Value), fmt.Sprintf("key %q stands here twice", key.Value),
				fmt.Sprintf("it is at line %d already; keep one of them", line))
			continue
		}
		seen[key.Value] = key.Line
		visit(key, n.Content[i+1])
	}
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		d.fail(n, path, what(path)+" must be a list", "write [a, b], or one \"- a\" a line")
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, x := range n.Content {
		d.decode(x, out.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
	v.Set(out)
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.ScalarNode {
		d.fail(n, path, what(path)+" must be a single value", "")
		return
	}
	switch v.Kind() {
	case reflect.String:
		if n.Tag != "!!str" {
			d.fail(n, path, what(path)+" must be text", "put it in quotes")
			return
		}
		v.SetString(d.expand(n, path))
	case reflect.Bool:
		b, err := strconv.ParseBool(n.Value)
		if n.Tag != "!!bool" || err != nil {
			d.fail(n, path, what(path)+" must be true or false", "without quotes; yes, no, on and off are texts")
			return
		}
		v.SetBool(b)
	case reflect.Int:
		i, err := strconv.Atoi(n.Value)
		if n.Tag != "!!int" || err != nil {
			d.fail(n, path, what(path)+" must be a whole number", "")
			return
		}
		v.SetInt(int64(i))
	}
}

var variable = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// expand replaces ${NAME} by the environment's value, which must be there.
func (d *decoder) expand(n *yaml.Node, path string) string {
	return variable.ReplaceAllStringFunc(n.Value, func(m string) string {
		name := m[2 : len(m)-1]
		value := ""
		if d.getenv != nil {
			value = d.getenv(name)
		}
		if value == "" {
			d.fail(n, path, fmt.Sprintf("the environment variable %s is not set", name), "")
		}
		return value
	})
}

func (d *decoder) duration(n *yaml.Node, v reflect.Value, path string) {
	length, err := time.ParseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || length <= 0 {
		d.fail(n, path, what(path)+" must be a length of time", "such as 150ms, 30s or 5m")
		return
	}
	v.SetInt(int64(length))
}

// assurance is a word, or an object that names a claim.
func (d *decoder) assurance(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind == yaml.MappingNode {
		d.object(n, v, path)
		claim := v.Interface().(Assurance).Claim
		if claim == "" || claim == "acr" || claim == "amr" {
			d.fail(n, path, path+".claim must name a claim other than acr and amr",
				"write `assurance: acr` or `assurance: amr` for those")
		}
		return
	}
	if n.Kind != yaml.ScalarNode || n.Value != "acr" && n.Value != "amr" {
		d.fail(n, path, what(path)+" must be acr, amr or { claim: NAME }",
			"the one claim of this issuer that proves a level")
		return
	}
	v.Set(reflect.ValueOf(Assurance{Claim: n.Value}))
}

func (d *decoder) size(n *yaml.Node, v reflect.Value, path string) {
	bytes, err := parseSize(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil {
		d.fail(n, path, what(path)+" must be a size in bytes", "such as 4096, 16KiB or 1MiB")
		return
	}
	v.SetInt(bytes)
}

func parseSize(s string) (int64, error) {
	factor := int64(1)
	for unit, f := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20} {
		if number, ok := strings.CutSuffix(s, unit); ok {
			s, factor = strings.TrimSpace(number), f
			break
		}
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n <= 0 {
		return 0, errors.New("not a size")
	}
	return n * factor, nil
}

// resolve makes file names relative to the configuration's own folder.
func (d *decoder) resolve(c *Config) {
	dir := filepath.Dir(d.file)
	at := func(name string) string {
		if name == "" || filepath.IsAbs(name) {
			return name
		}
		return filepath.Join(dir, name)
	}
	for i := range c.Issuers {
		x := &c.Issuers[i]
		for name, field := range map[string]*string{
			"jwks_file": &x.JWKSFile, "dpop.nonce_keys_file": &x.DPoP.NonceKeysFile, "keys.cache_dir": &x.Keys.CacheDir,
			"introspection.client_secret_file": &x.Introspection.ClientSecretFile,
			"introspection.key_file":           &x.Introspection.KeyFile,
			"introspection.cert_file":          &x.Introspection.CertFile,
		} {
			*field = at(*field)
			path := d.exists(fmt.Sprintf("issuers[%d].%s", i, name), *field)
			if name != "keys.cache_dir" { // which we write ourselves
				c.Sources = append(c.Sources, path)
			}
		}
	}
	for path, field := range map[string]*string{
		"tls.cert_file": &c.TLS.CertFile, "tls.key_file": &c.TLS.KeyFile, "tls.client_ca_file": &c.TLS.ClientCAFile,
		"outbound.ca_file": &c.Outbound.CAFile, "outbound.cert_file": &c.Outbound.CertFile,
		"outbound.key_file":                &c.Outbound.KeyFile,
		"policy.proto_descriptor":          &c.Policy.ProtoDescriptor,
		"login_redirect.sealing_keys_file": &c.LoginRedirect.SealingKeysFile,
	} {
		*field = at(*field)
		c.Sources = append(c.Sources, d.exists(path, *field))
	}
	c.Log.File = at(c.Log.File)
	for path, field := range map[string]*[]string{"policy.paths": &c.Policy.Paths,
		"policy.candidate.paths": &c.Policy.Candidate.Paths} {
		paths := make([]string, len(*field))
		for i, p := range *field {
			paths[i] = at(p)
			c.Sources = append(c.Sources, d.exists(fmt.Sprintf("%s[%d]", path, i), paths[i]))
		}
		*field = paths
	}
	c.Bundles.ConfigFile = at(c.Bundles.ConfigFile)
	c.Sources = append(c.Sources, d.exists("bundles.config_file", c.Bundles.ConfigFile))
	c.Bundles.Text = d.opa(c.Bundles.ConfigFile)
	c.Sources = slices.DeleteFunc(append(c.Sources, d.file), func(name string) bool { return name == "" })
	slices.Sort(c.Sources)
}

// opa reads OPA's configuration and replaces ${NAME} in it, as OPA does.
func (d *decoder) opa(file string) string {
	if file == "" {
		return ""
	}
	text, err := d.look.Read(file, files.MaxFile)
	if err != nil {
		d.failAt("bundles.config_file", err.Error(), "")
		return ""
	}
	root, err := strictyaml.Document(text)
	if err != nil {
		d.found = append(d.found, syntax(file, err))
		return ""
	}
	inner := &decoder{file: file, getenv: d.getenv}
	inner.expandAll(root)
	d.found = append(d.found, inner.found...)
	out, err := yaml.Marshal(root)
	if err != nil {
		d.failAt("bundles.config_file", err.Error(), "")
	}
	return string(out)
}

// expandAll replaces ${NAME} in every value. What was written without quotes is read
// again: a variable can hold a number.
func (d *decoder) expandAll(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && strings.Contains(n.Value, "${") {
		n.Value = d.expand(n, "")
		if n.Style == 0 {
			n.Tag = ""
		}
	}
	for _, x := range n.Content {
		d.expandAll(x)
	}
}

// exists is name, which it reports when there is no such file.
func (d *decoder) exists(path, name string) string {
	if name == "" {
		return ""
	}
	if err := d.look.Exists(name); err != nil {
		d.failAt(path, err.Error(), "file names are relative to the folder of "+filepath.Base(d.file))
	}
	return name
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func what(path string) string {
	if path == "" {
		return "the configuration"
	}
	return path
}
