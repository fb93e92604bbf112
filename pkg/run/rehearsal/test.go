package rehearsal

import (
	"context"
	"errors"
	"fmt"

	"github.com/stepward/stepward/pkg/author/tester"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/engine/opaenvoy"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/pkg/run/snapshot"
	"github.com/stepward/stepward/policies"
)

// Test runs the tests of the policy at paths, or of the shipped policy and library without
// paths, under c. filter is a regular expression on package.name; an empty one runs all
// tests.
func Test(ctx context.Context, c config.Config, paths []string, filter string) (tester.Report, error) {
	load, err := Options(c)
	if err != nil {
		return tester.Report{}, err
	}
	sources, library, err := testSources(paths)
	if err != nil {
		return tester.Report{}, refused(err)
	}
	options := tester.Options{Filter: filter, Library: library, Answer: answerer(c), Load: load}
	if c.Policy.Compat != "" {
		compat, err := opaenvoy.Configured(Patient(c).Policy, load, files.NewLook())
		if err != nil {
			return tester.Report{}, refused(err)
		}
		options.OPAEnvoy, options.Library = &compat, nil
	}
	report, err := tester.Run(ctx, sources, options)
	if list := (finding.List)(nil); errors.As(err, &list) {
		return report, refused(fmt.Errorf("the policy does not compile:\n%w", err))
	}
	return report, err
}

// testSources returns the sources to test, and the library. The library itself is tested
// only if nothing else is named.
func testSources(paths []string) (own, library []rego.Source, err error) {
	if len(paths) == 0 {
		own, err = snapshot.Sources(nil)
		return own, nil, err
	}
	if own, err = rego.FromPaths(paths); err != nil {
		return nil, nil, err
	}
	library, err = rego.FromFS(policies.Library())
	return own, library, err
}
