package config

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

var decisionPath = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$`)

// source requires that the file name the policy that decides.
func (d *decoder) source(p Policy, bundles Bundles) {
	switch {
	case d.places["policy"] == nil:
		d.failAt("policy", "is missing",
			"policy: { paths: [policies/] } names your own, policy: { default: true } the one that Stepward ships")
	case p.Default && (len(p.Paths) > 0 || p.Compat != ""):
		d.failAt("policy.default", "cannot be combined with paths and compat",
			"it names the policy that Stepward ships, which would not decide beside another")
	case d.written("policy") && !p.Default && len(p.Paths) == 0 && bundles.ConfigFile == "" && p.Compat == "":
		d.failAt("policy", "names no policy",
			"paths: [policies/] names your own, default: true the one that Stepward ships, "+
				"and bundles.config_file those that OPA fetches")
	}
}

// policy refuses the keys that belong to another product's policies if compat is missing,
// and the keys that such policies cannot use if compat is set.
func (d *decoder) policy(p Policy, bundles Bundles) {
	if p.Compat == "" {
		for name, used := range map[string]bool{"path": p.Path != "", "skip_body": p.SkipBody,
			"proto_descriptor": p.ProtoDescriptor != ""} {
			if used {
				d.failAt("policy."+name, "needs compat: opa-envoy",
					"our own policies are found by their packages; see docs/policy.md")
			}
		}
		return
	}
	d.oneOf("policy.compat", p.Compat)
	if len(p.Paths) == 0 && bundles.ConfigFile == "" {
		d.failAt("policy.paths", "is missing",
			"name the files and folders that OPA was given, or bundles.config_file where OPA fetched them")
	}
	if len(p.Candidate.Paths) > 0 {
		d.failAt("policy.candidate", "cannot be combined with compat: opa-envoy",
			"a candidate is asked who the caller is, and here a token is verified only where the policy requires one")
	}
	if p.Path != "" && !decisionPath.MatchString(p.Path) {
		d.failAt("policy.path", "must be names with slashes between them",
			"such as envoy/authz/allow: the rule allow of package envoy.authz")
	}
}

// reserved reports whether a member of data belongs to Stepward rather than to the
// operator.
func reserved(name string) bool { return name == "stepward" || name == "system" || name == "" }

func (d *decoder) optionalData(p Policy) {
	for i, name := range p.OptionalData {
		path := fmt.Sprintf("policy.optional_data[%d]", i)
		switch {
		case p.Compat != "":
			d.failAt(path, "cannot be combined with compat: opa-envoy",
				"such a policy treats missing data as undefined, as its plugin does")
		case reserved(name):
			d.failAt(path, "is not one of your own members of data", "name it without data., as in risk")
		case strings.ContainsAny(name, ".[/"):
			d.failAt(path, "is not the name of a member of data",
				"name it without data. and without what is below it, as in risk")
		}
	}
}

func (d *decoder) data(data Data, p Policy) {
	if len(data.MaxAge) > 0 && p.Compat != "" {
		d.failAt("data.max_age", "cannot be combined with compat: opa-envoy",
			"such a policy does not know data.stepward.unknown: it would let in what it denies by data, "+
				"once that data is taken away")
	}
	for name, age := range data.MaxAge {
		if reserved(name) {
			d.failAt("data.max_age."+name, "is not one of your own members of data",
				"name a member of data that your files bring")
		}
		if time.Duration(age) < time.Second {
			d.failAt("data.max_age."+name, "must be at least 1s", "")
		}
	}
}
