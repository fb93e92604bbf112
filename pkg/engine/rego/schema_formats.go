package rego

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/stepward/stepward/pkg/engine/rego/syntax"
	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/pkg/policy"
)

// formats returns the checks that JSON Schema cannot express.
func formats(opt Options) []*jsonschema.Format {
	text := func(name string, check func(string) error) *jsonschema.Format {
		return &jsonschema.Format{Name: name, Validate: func(v any) error {
			if s, ok := v.(string); ok {
				return check(s)
			}
			return nil
		}}
	}
	requirement := func(v any) error {
		return decodes(v, func() error { _, err := policy.DecodeRequirement(v, "data", opt.Ladder); return err },
			opt.Ladder.Names())
	}
	return []*jsonschema.Format{
		text("stepward-path", func(s string) error { return syntax.CheckPattern(s, opt.FoldPathCase) }),
		text("stepward-method", syntax.CheckMethod),
		text("stepward-host", syntax.CheckHost),
		{Name: "stepward-requirement", Validate: requirement},
		{Name: "stepward-named-requirement", Validate: func(v any) error {
			// A table of the library is a list of stop signs: an entry without a level has
			// lost it.
			if o, ok := v.(map[string]any); ok && o["level"] == nil && o["acr"] == nil {
				return cmp.Or(requirement(v), syntax.Wrong("names neither level nor acr",
					`say "level": "authenticated", where a valid token is enough`))
			}
			return requirement(v)
		}},
		{Name: "stepward-denial", Validate: func(v any) error {
			return decodes(v, func() error { _, err := policy.DecodeDenial(v, "data"); return err }, nil)
		}},
	}
}

// decodes words the error for a member of require or deny.
func decodes(v any, decode func() error, levels []string) error {
	err := decode()
	o, _ := v.(map[string]any)
	if err == nil {
		return nil
	}
	message := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "policy: require of data: "),
		"policy: deny of data: ")
	known := policy.RequirementKeys
	if levels == nil {
		known = policy.DenialKeys
	}
	for _, key := range slices.Sorted(maps.Keys(o)) {
		if !slices.Contains(known, key) {
			return syntax.Wrong(fmt.Sprintf("has an unknown member %q%s", key, finding.DidYouMean(key, known)),
				"known members: "+strings.Join(known, ", "))
		}
	}
	if level, ok := o["level"].(string); ok && levels != nil && !slices.Contains(levels, level) &&
		level != "anonymous" && level != "authenticated" {
		return syntax.Wrong(fmt.Sprintf("asks for level %q, which is not on the ladder%s", level,
			finding.DidYouMean(level, levels)), "levels: "+strings.Join(levels, ", "))
	}
	return syntax.Wrong("is no member of require or deny: "+message, "known members: "+strings.Join(known, ", "))
}
