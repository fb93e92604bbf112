package validation

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/stepward/stepward/pkg/author/analysis"
	"github.com/stepward/stepward/pkg/author/proxy"
	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/engine/opaenvoy"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/pkg/run/rehearsal"
	"github.com/stepward/stepward/pkg/run/snapshot"
)

// Options say what more to check.
type Options struct {
	// Online asks each issuer whether it matches the configuration.
	Online bool
	// Rule asks for the mutation rule in the report. The rule depends on the headers that
	// the policy sets, so the policy must be in files.
	Rule bool
	// Proxies are configurations of the proxies in front.
	Proxies []string
	// ReadProxy reads one of them.
	ReadProxy func(name string) ([]byte, error)
}

// Configuration checks the file and the files that it names. load reads it, as a service
// does. An error means that something cannot be read at all.
func Configuration(ctx context.Context, file string, load func(*files.Look) (config.Config, error), o Options) (
	Report, error) {
	r := Report{Name: file}
	c, look, err := snapshot.Glance(ctx, load, files.Terms{})
	if errors.As(err, &r.Findings) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	made, err := snapshot.New(ctx, c, snapshot.Options{Look: look, Observe: snapshot.Unobserved})
	if errors.As(err, &r.Findings) {
		return r, nil
	}
	if err != nil {
		r.Findings = at(file, "config", err)
		return r, nil
	}
	r.Revision = made.Authorizer.Policy.Traits().Revision
	if made.Candidate != nil {
		r.Candidate = made.Candidate.Traits().Revision
	}
	if r.Warnings, err = snapshot.CheckBundles(c.Bundles); err != nil {
		r.Findings = at(c.Bundles.ConfigFile, "opa_config", err)
		return r, nil
	}
	if err := r.lint(c, c.Policy.Paths); err != nil {
		return r, err
	}
	if o.Rule || len(o.Proxies) > 0 {
		if err := rehearsal.NeedsFiles(c, c.Policy.Paths); err != nil {
			return r, err
		}
	}
	if err := r.proxies(c, made.Authorizer.Policy, o); err != nil {
		return r, err
	}
	if o.Online {
		r.issuers(ctx, file, c)
	}
	return r, nil
}

// Policy checks a policy that has no configuration of its own, under c.
func Policy(ctx context.Context, c config.Config, paths []string, o Options) (Report, error) {
	r := Report{Name: paths[0]}
	options, err := rehearsal.Options(c)
	if err != nil {
		return r, err
	}
	c.Policy.Paths = paths
	p, err := snapshot.LoadPolicy(ctx, c.Policy, options, nil)
	if errors.As(err, &r.Findings) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	r.Revision = p.Traits().Revision
	if err := r.lint(c, paths); err != nil {
		return r, err
	}
	return r, r.proxies(c, p, o)
}

// at returns a finding for a file as a whole.
func at(file, code string, err error) finding.List {
	return finding.List{{File: file, Line: 1, Column: 1, Code: code, Message: err.Error()}}
}

// lint adds warnings about the policy at paths.
func (r *Report) lint(c config.Config, paths []string) error {
	options, err := rehearsal.Options(c)
	if err != nil {
		return err
	}
	if c.Policy.Compat != "" {
		sources, err := rego.FromPaths(paths)
		if err != nil {
			return err
		}
		compat, err := opaenvoy.Configured(c.Policy, options, files.NewLook())
		if err != nil {
			return err
		}
		r.Warnings = append(r.Warnings, opaenvoy.Lint(sources, compat)...)
		return nil
	}
	sources, err := snapshot.Sources(paths)
	if err != nil {
		return err
	}
	hidden, err := rego.Hidden(paths)
	if err != nil {
		return err
	}
	r.Warnings = append(r.Warnings, hidden...)
	r.Warnings = append(r.Warnings, analysis.Lint(sources, analysis.LintUnder(c, options))...)
	return nil
}

// proxies checks that the configurations of proxies provide what c and its policy need.
func (r *Report) proxies(c config.Config, p authz.Policy, o Options) error {
	r.MutationRule = proxy.MutationRule(c.Upstream.HeaderPrefix, p.Traits().RequestHeaders)
	if len(o.Proxies) == 0 {
		return nil
	}
	service, err := serviceOf(c, p)
	if err != nil {
		return err
	}
	var list []proxy.File
	for _, name := range o.Proxies {
		text, err := o.ReadProxy(name)
		if err != nil {
			return err
		}
		list = append(list, proxy.File{Name: name, Text: text})
	}
	r.Name += " with " + strings.Join(o.Proxies, ", ")
	findings, warnings := proxy.Check(list, service)
	r.Findings, r.Warnings = append(r.Findings, findings...), append(r.Warnings, warnings...)
	return nil
}

// issuers asks each issuer whether it matches the configuration. A problem that keeps its
// tokens from being accepted is a finding; the rest are warnings.
func (r *Report) issuers(ctx context.Context, file string, c config.Config) {
	for n, i := range c.Issuers {
		for _, p := range snapshot.Examine(ctx, c, i) {
			f := finding.Finding{File: file, Line: 1, Column: 1, Code: "issuer", Path: fmt.Sprintf("issuers[%d]", n),
				Message: fmt.Sprintf("issuer %s: %s: %s", i.Name, p.Name, p.Detail), Hint: p.Hint}
			switch {
			case p.Grade == "fail" && !i.Optional:
				r.Findings = append(r.Findings, f)
			case p.Grade != "ok":
				f.Severity = finding.Warning
				r.Warnings = append(r.Warnings, f)
			}
		}
	}
}
