package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/stepup"
)

// Floors reads what a route itself asks for: requirements that a policy may
// raise but not lower, and names of packages stepward.route.NAME that take part.
//
// There are three places, and everything found in them applies: the context extensions
// stepward.level, stepward.max_age and stepward.policy (and stepward.allow, which is read
// when a request is normalized); the route metadata namespace "stepward" with level,
// max_age and policy; and the annotations of an HTTPRoute that Envoy Gateway reports,
// stepward-level, stepward-max-age and stepward-policy.
//
// An unknown key of ours, an unknown level and an ill-typed value are errors that wrap
// [ErrRoute]: otherwise a misspelt floor would silently be no floor.
func Floors(route request.Route, ladder stepup.Ladder) (floors []stepup.Requirement, routes []string, err error) {
	f := floorReader{ladder: ladder}
	for _, key := range slices.Sorted(maps.Keys(route.Extensions)) {
		if key == request.AllowExtension {
			f.allow(route.Extensions[key])
		} else if name, ours := strings.CutPrefix(key, "stepward."); ours {
			f.read("context extension "+key, name, route.Extensions[key])
		}
	}
	ours := route.Metadata["stepward"]
	for _, key := range slices.Sorted(maps.Keys(ours)) {
		f.read("route metadata stepward."+key, key, ours[key])
	}
	f.annotations(route.Metadata["envoy-gateway"])
	return f.floors, f.routes, f.err
}

type floorReader struct {
	ladder stepup.Ladder
	floors []stepup.Requirement
	routes []string
	err    error
}

// annotations reads envoy-gateway.resources[].annotations.
func (f *floorReader) annotations(gateway map[string]any) {
	resources, _ := gateway["resources"].([]any)
	for _, r := range resources {
		resource, _ := r.(map[string]any)
		annotations, _ := resource["annotations"].(map[string]any)
		for _, key := range slices.Sorted(maps.Keys(annotations)) {
			if name, ours := strings.CutPrefix(key, "stepward-"); ours {
				f.read("annotation "+key, strings.ReplaceAll(name, "-", "_"), annotations[key])
			}
		}
	}
}

func (f *floorReader) read(where, name string, value any) {
	switch name {
	case "level":
		level, ok := value.(string)
		if !ok || !f.ladder.Has(level) {
			f.fail(where, "is not a level of the ladder")
			return
		}
		f.floors = append(f.floors, stepup.Requirement{Level: level, Floor: true, Rule: where})
	case "max_age":
		d, err := decodeDuration(value)
		if err != nil {
			f.fail(where, err.Error())
			return
		}
		f.floors = append(f.floors, stepup.Requirement{Level: stepup.Authenticated, MaxAge: stepup.AgeOf(d),
			Floor: true, Rule: where})
	case "policy":
		route, ok := value.(string)
		if !ok || route == "" {
			f.fail(where, "is not the name of a policy")
			return
		}
		f.routes = append(f.routes, route)
	default:
		f.fail(where, "is not known; there are level, max_age and policy")
	}
}

// allow checks the names of the refusals that a route lifts. [request.New] has already
// lifted them; it ignores an unknown name.
func (f *floorReader) allow(value string) {
	names := request.AllowNames(value)
	for _, name := range names {
		if !slices.Contains(request.Refusals(), name) {
			f.fail("context extension "+request.AllowExtension, "is not one or more of "+strings.Join(
				request.Refusals(), ", "))
		}
	}
	if len(names) == 0 {
		f.fail("context extension "+request.AllowExtension, "is empty")
	}
}

func (f *floorReader) fail(where, what string) {
	if f.err == nil {
		f.err = fmt.Errorf("%w: %s %s", ErrRoute, where, what)
	}
}
