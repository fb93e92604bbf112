package snapshot

import (
	"context"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/engine/opaenvoy"
	"github.com/stepward/stepward/pkg/engine/rego"
)

// compileCompat loads sources as a policy for opa-envoy-plugin.
func compileCompat(ctx context.Context, c config.Policy, sources []rego.Source, o rego.Options, with Options) (
	authz.Policy, error) {
	options, err := opaenvoy.Configured(c, o, with.Look)
	if err != nil {
		return nil, err
	}
	options.Now = with.Now
	p, err := opaenvoy.Load(ctx, sources, options)
	if err != nil {
		return nil, err // and not a nil policy in a non-nil interface
	}
	return p, nil
}
