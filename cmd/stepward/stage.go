package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/stepward/stepward/pkg/author/scenario"
	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/credential"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/rollout/bundle"
	"github.com/stepward/stepward/pkg/run/snapshot"
	"github.com/stepward/stepward/pkg/token"
)

// rehearsalConfig is where scenarios play when no configuration is named: three levels,
// one issuer, and a login application for browsers.
const rehearsalConfig = `issuers: [{ name: corp, issuer: "https://idp.example.com", audiences: ["https://api.example.com"] }]
levels:
- { name: password, acr: ["urn:example:loa:1"], amr: [[pwd]] }
- { name: mfa, acr: ["urn:example:loa:2"], amr: [[mfa], [pwd, otp]] }
- { name: phishing-resistant, acr: [phr, phrh] }
login_redirect: { url: "https://login.example.com/step-up", hosts: [app.example.com] }
policy: { default: true, timeout: 5s }
limits: { deadline: 10s }
`

// rehearsal is the configuration that the flags name, else a stepward.yaml beside or
// above the first of the paths, else one that is built in. found is its file, or empty.
func (f *configFlags) rehearsal(paths []string) (c config.Config, found string, err error) {
	if f.file == "" && os.Getenv("STEPWARD_CONFIG") == "" && len(paths) > 0 {
		dir := paths[0]
		if info, err := os.Stat(dir); err == nil && !info.IsDir() {
			dir = filepath.Dir(dir)
		}
		for _, d := range []string{dir, filepath.Join(dir, "..")} {
			if _, err := os.Stat(filepath.Join(d, "stepward.yaml")); err == nil {
				f.file = filepath.Join(d, "stepward.yaml")
				break
			}
		}
	}
	if f.file == "" && os.Getenv("STEPWARD_CONFIG") == "" {
		c, err = config.Parse("built-in", []byte(rehearsalConfig), config.Options{})
		return c, "", err
	}
	played := *f
	played.insecure, played.nobody = true, true // nothing is served
	c, err = played.load("", "")
	return c, f.file, err
}

// nobody is a verifier for scenarios: their tokens do not come to it.
type nobody struct{}

func (nobody) Verify(context.Context, request.Request, credential.Credential) (*token.Token, error) {
	return nil, errors.New("no token is verified in a rehearsal")
}

// patient gives policies more time than a service may: who asks here waits, and the
// machine may be busy.
func patient(c config.Config) config.Config {
	c.Policy.Timeout = max(c.Policy.Timeout, config.Duration(10*time.Second))
	return c
}

// loadOptions are what policies are loaded with under c, with time enough for a
// machine that is busy.
func loadOptions(c config.Config) (rego.Options, error) {
	ladder, err := c.Ladder()
	return rego.Options{Ladder: ladder, HeaderPrefix: c.Upstream.HeaderPrefix, Timeout: time.Duration(
		patient(c).Policy.Timeout), Optional: c.Policy.OptionalData, FoldPathCase: c.Request.PathCase == "fold"}, err
}

// needsRules is an error of what the user wrote where c names a policy of another product,
// or one that is only in bundles, while paths name no files of it.
func needsRules(c config.Config, paths []string) error {
	if c.Policy.Compat != "" {
		return usage(
			errors.New(
				"policy.compat is opa-envoy: this command is about rules of require, which such a policy has not; ask about single requests with stepward explain"))
	}
	return needsFiles(c, paths)
}

// needsFiles is an error of what the user wrote where the policy of c is only in bundles,
// while paths name no files of it: another one would be asked in its place.
func needsFiles(c config.Config, paths []string) error {
	if c.Bundles.ConfigFile == "" || len(paths) > 0 {
		return nil
	}
	opa, err := bundle.Parse(c.Bundles.ConfigFile, []byte(c.Bundles.Text), bundle.ParseOptions{
		Insecure: c.Bundles.Insecure})
	if err != nil {
		return usage(err)
	}
	if opa.Policies() {
		return usage(errors.New("the policy is in bundles, which only serve fetches: name its files, too"))
	}
	return nil
}

// loadPolicy loads the policy at paths, or the shipped one where there are none, under c.
// A policy that is refused is a [finding.List] in an error of what the user wrote, and
// one of opa-envoy-plugin is not one whose rules can be shown.
func loadPolicy(ctx context.Context, c config.Config, paths []string) (*rego.Policy, rego.Options, []rego.Source,
	error) {
	sources, options, err := policySources(c, paths)
	if err != nil {
		return nil, options, nil, err
	}
	p, err := rego.Load(ctx, sources, options)
	return p, options, sources, policyRefused(err)
}

// policySources lists the sources of the policy at paths, or of the shipped one if there are
// none, and how it is loaded under c. It has an error of what the user wrote for a policy of
// another product.
func policySources(c config.Config, paths []string) ([]rego.Source, rego.Options, error) {
	options, err := loadOptions(c)
	if err != nil {
		return nil, options, usage(err)
	}
	if err := needsRules(c, paths); err != nil {
		return nil, options, err
	}
	sources, err := snapshot.Sources(paths)
	if err != nil {
		return nil, options, usage(err)
	}
	return sources, options, nil
}

// policyRefused makes a [finding.List] an error of what the user wrote.
func policyRefused(err error) error {
	if list := (finding.List)(nil); errors.As(err, &list) {
		return usage(fmt.Errorf("the policy is refused:\n%w", list))
	}
	return err
}

// newStage plays scenarios before a policy under c.
func newStage[P authz.Policy](c config.Config, p P) (*scenario.Stage, error) {
	a, err := snapshot.NewAuthorizer(c, nobody{}, p)
	if err != nil {
		return nil, err
	}
	return scenario.NewStage(a, c), nil
}

// answerer is stepward.answer under c.
func answerer(c config.Config) func(context.Context, rego.Evaluator, any) (any, error) {
	return func(ctx context.Context, p rego.Evaluator, written any) (any, error) {
		text, err := json.Marshal(written)
		if err != nil {
			return nil, err
		}
		s, err := scenario.Parse(text)
		if err != nil {
			return nil, err
		}
		stage, err := newStage(c, p)
		if err != nil {
			return nil, err
		}
		r, err := stage.Decide(ctx, s)
		if err != nil {
			return nil, err
		}
		return scenario.AnswerOf(r), nil
	}
}
