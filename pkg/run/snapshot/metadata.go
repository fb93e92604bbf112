package snapshot

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/trust/keyset"
)

// MetadataPoints compares what the configuration asks of issuer i with what its metadata m
// says that it can do. Without metadata there is nothing to compare.
func MetadataPoints(levels []config.Level, i config.Issuer, m keyset.Metadata) []Point {
	if m.Issuer == "" {
		return nil
	}
	list := levelPoints(levels, i, m)
	can := func(name string, yes bool, with, without string) {
		if !yes {
			with = without
		}
		list = append(list, ok(name, with))
	}
	can("claims parameter", m.ClaimsParameter, "supported: acr can be asked for as essential",
		"not supported: acr is asked for by acr_values")
	can("pushed requests", m.PushedRequestEndpoint != "", "supported (RFC 9126)", "not supported (RFC 9126)")
	can("dpop", len(m.DPoPAlgorithms) > 0, "supported with "+strings.Join(m.DPoPAlgorithms, ", "),
		"not supported (RFC 9449)")
	if len(i.DPoP.Origins) > 0 && len(m.DPoPAlgorithms) == 0 {
		list = append(list, warn("dpop", "dpop is configured, and the issuer's metadata do not name it",
			"its tokens will not be bound; see dpop_signing_alg_values_supported"))
	}
	switch at := i.Introspection.Endpoint; {
	case at != "" && m.IntrospectionEndpoint != "" && at != m.IntrospectionEndpoint:
		list = append(list, warn("introspection", fmt.Sprintf("is configured at %s, and the metadata say %s", at,
			m.IntrospectionEndpoint), ""))
	case m.IntrospectionEndpoint != "":
		list = append(list, ok("introspection", m.IntrospectionEndpoint))
	}
	return list
}

// levelPoints names the levels that the issuer does not say it can reach: asking for their
// acr values would be in vain.
func levelPoints(levels []config.Level, i config.Issuer, m keyset.Metadata) []Point {
	if i.Assurance.Claim != "acr" {
		return nil
	}
	if len(m.ACRValues) == 0 {
		return []Point{ok("levels", "the issuer's metadata name no acr_values_supported; "+
			"whether it reaches the levels shows only in its tokens")}
	}
	var list []Point
	for _, l := range levels {
		values := l.ACR
		if own, there := i.Levels[l.Name]; there {
			values = own.ACR
		}
		reached := slices.DeleteFunc(slices.Clone(values), func(a string) bool {
			return !slices.Contains(m.ACRValues, a)
		})
		switch {
		case len(values) == 0:
		case len(reached) == 0:
			list = append(list, warn("levels",
				fmt.Sprintf("level %s is proven by %s, and acr_values_supported has none of them: %s", l.Name,
					strings.Join(values, ", "), strings.Join(m.ACRValues, ", ")),
				"issuers[].levels gives this issuer's own words for a level"))
		default:
			list = append(list, ok("levels", fmt.Sprintf("level %s by %s", l.Name, strings.Join(reached, ", "))))
		}
	}
	return list
}
