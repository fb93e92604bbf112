package config

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"

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
