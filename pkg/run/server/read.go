package server

import (
	"context"
	"slices"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/engine/rego"
)

// Read reads a configuration and every file that it names, when they have stopped
// changing. The error is that of load, or of files that do not stop: [files.MovingError].
// The look is for [SnapshotOptions].
func Read(ctx context.Context, load func(*files.Look) (config.Config, error), t files.Terms) (config.Config,
	*files.Look, error) {
	return read(load, func(all func(*files.Look)) (*files.Look, error) { return files.Settle(ctx, t, all) })
}

// Glance is [Read] for commands that serve nothing: files that were written a while ago are
// looked at twice at once.
func Glance(ctx context.Context, load func(*files.Look) (config.Config, error), t files.Terms) (config.Config,
	*files.Look, error) {
	return read(load, func(all func(*files.Look)) (*files.Look, error) { return files.Glance(ctx, t, all) })
}

func read(load func(*files.Look) (config.Config, error), settle func(func(*files.Look)) (*files.Look, error)) (
	c config.Config, look *files.Look, err error) {
	look, moving := settle(func(l *files.Look) { c, err = lookAt(l, load) })
	if moving != nil {
		return c, nil, moving
	}
	return c, look, err
}

// lookAt loads a configuration, and reads all that it names into the look. What cannot be
// read is told of when something is made of it.
func lookAt(l *files.Look, load func(*files.Look) (config.Config, error)) (config.Config, error) {
	c, err := load(l)
	folders := slices.Concat(c.Policy.Paths, c.Policy.Candidate.Paths)
	for _, p := range folders {
		_, _ = rego.FromLook(l, []string{p})
	}
	for _, name := range c.Sources {
		switch {
		case slices.Contains(folders, name):
		case name == c.Policy.ProtoDescriptor:
			_, _ = l.Read(name, maxDescriptors)
		default:
			_, _ = l.Read(name, files.MaxFile)
		}
	}
	return c, err
}
