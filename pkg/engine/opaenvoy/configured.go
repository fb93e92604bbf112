package opaenvoy

import (
	"fmt"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/engine/rego"
)

// MaxDescriptors limits a file of message descriptors, in bytes.
const MaxDescriptors = 32 << 20

// Configured returns the options for loading the policy of c. look reads the file that c
// names.
func Configured(c config.Policy, o rego.Options, look *files.Look) (Options, error) {
	options := Options{Options: o, Path: c.Path, Body: Body{Skip: c.SkipBody}, Network: c.Network}
	if c.ProtoDescriptor == "" {
		return options, nil
	}
	text, err := look.Read(c.ProtoDescriptor, MaxDescriptors)
	if err == nil {
		options.Body.Message, err = Messages(text)
	}
	if err != nil {
		err = fmt.Errorf("policy.proto_descriptor: %w", err)
	}
	return options, err
}
