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

// Options hold what the command line says about a configuration.
type Options struct {
	// InsecurePlaintextListener permits a plaintext Check listener beyond loopback. Every
	// host that can reach it MUST be trusted: it asks for no certificate.
	InsecurePlaintextListener bool
	// InsecurePolicyNetwork permits policies written for opa-envoy-plugin to call other
	// hosts during a decision. The author of such a policy chooses which hosts to call and
	// what to send, and each call counts against the time of the decision.
	InsecurePolicyNetwork bool
	// InsecureBundles permits bundles, decision logs and status over plain HTTP, and
	// services whose certificate nobody checks. Anyone on the network path can then decide.
	InsecureBundles bool
	// InsecureNoIssuers permits `issuers: []`. Nobody can then sign in: everything that is
	// not public is refused, and a credential proves nothing.
	InsecureNoIssuers bool
	// Excerpt accepts a text without issuers and policy: part of a configuration whose
	// policy is named elsewhere, as on the page of the playground.
	Excerpt bool
	// Look reads the files; nil means a new one.
	Look *files.Look
	// Getenv reads the environment, as [os.Getenv] does.
	Getenv func(string) string
	// Listen and Admin, if set, override environment and file.
	Listen, Admin string
}

// Load reads and checks the configuration in a file. File names in it are relative to its
// folder. The error is a [finding.List] if something in the file is wrong, and another
// error if the file cannot be read. Even then the Sources of the Config are set, so that
// they can be watched until somebody fixes them.
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

// Parse does what [Load] does, for text that has already been read.
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

// overrides applies flags and environment: a flag overrides the environment, which
// overrides the file.
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

// syntax returns the finding for a text that is not YAML.
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
