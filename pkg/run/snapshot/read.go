package snapshot

import (
	"context"
	"slices"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/config/files"
	"github.com/stepward/stepward/pkg/engine/opaenvoy"
	"github.com/stepward/stepward/pkg/engine/rego"
)

// Read reads a configuration and every file that it names, once they have stopped changing.
// It returns the error of load, or a [files.MovingError] if they do not stop. The look is
// for [Options].
func Read(ctx context.Context, load func(*files.Look) (config.Config, error), t files.Terms) (config.Config,
	*files.Look, error) {
	return settled(load, func(all func(*files.Look)) (*files.Look, error) { return files.Settle(ctx, t, all) })
}

// Glance does what [Read] does, for commands that serve nothing: it looks twice at once
// at files that were written a while ago.
func Glance(ctx context.Context, load func(*files.Look) (config.Config, error), t files.Terms) (config.Config,
	*files.Look, error) {
	return settled(load, func(all func(*files.Look)) (*files.Look, error) { return files.Glance(ctx, t, all) })
}

func settled(load func(*files.Look) (config.Config, error), settle func(func(*files.Look)) (*files.Look, error)) (
	c config.Config, look *files.Look, err error) {
	look, moving := settle(func(l *files.Look) { c, err = LookAt(l, load) })
	if moving != nil {
		return c, nil, moving
	}
	return c, look, err
}

// LookAt loads a configuration, and reads all files that it names into the look. A file
// that cannot be read is reported when it is used.
func LookAt(l *files.Look, load func(*files.Look) (config.Config, error)) (config.Config, error) {
	c, err := load(l)
	folders := slices.Concat(c.Policy.Paths, c.Policy.Candidate.Paths)
	for _, p := range folders {
		_, _ = rego.FromLook(l, []string{p})
	}
	for _, name := range c.Sources {
		switch {
		case slices.Contains(folders, name):
		case name == c.Policy.ProtoDescriptor:
			_, _ = l.Read(name, opaenvoy.MaxDescriptors)
		default:
			_, _ = l.Read(name, files.MaxFile)
		}
	}
	return c, err
}
