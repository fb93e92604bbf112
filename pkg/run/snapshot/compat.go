package snapshot

import (
	"context"
	"fmt"

	"github.com/stepward/stepward/pkg/authz"
	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/extauthz"
	"github.com/stepward/stepward/pkg/request"
)

// compileCompat loads sources as a policy of opa-envoy-plugin.
func compileCompat(ctx context.Context, c config.Policy, sources []rego.Source, o rego.Options, with Options) (
	authz.Policy, error) {
	compat, err := compatOf(c, o, with.Look)
	if err != nil {
		return nil, err
	}
	compat.Now = with.Now
	p, err := rego.LoadCompat(ctx, sources, compat)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Compat says how a policy of opa-envoy-plugin is loaded under c.
func Compat(c config.Policy, o rego.Options) (rego.CompatOptions, error) {
	return compatOf(c, o, files.NewLook())
}

func compatOf(c config.Policy, o rego.Options, look *files.Look) (rego.CompatOptions, error) {
	options := rego.CompatOptions{Options: o, Path: c.Path, Body: request.BodyDecoding{Skip: c.SkipBody},
		Network: c.Network}
	if c.ProtoDescriptor == "" {
		return options, nil
	}
	text, err := look.Read(c.ProtoDescriptor, maxDescriptors)
	if err == nil {
		options.Body.Message, err = extauthz.Messages(text)
	}
	if err != nil {
		err = fmt.Errorf("policy.proto_descriptor: %w", err)
	}
	return options, err
}

// maxDescriptors bounds a file of descriptors of messages, in bytes.
const maxDescriptors = 32 << 20
