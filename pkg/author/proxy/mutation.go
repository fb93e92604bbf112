package proxy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/stepward/stepward/pkg/request"
	"github.com/stepward/stepward/pkg/response"
)

// MutationRule returns the header mutation rule of Envoy's ext_authz filter, in YAML, that
// permits exactly the changes that Stepward makes. See [Changes].
func MutationRule(prefix string, headers []string) string {
	return "decoder_header_mutation_rules:\n  disallow_all: true\n  disallow_is_error: true\n" +
		fmt.Sprintf("  allow_expression: { regex: %q }\n", Changes(prefix, headers))
}

// Changes returns an expression for the names of everything that Stepward sets and removes:
// identity headers with prefix, unverified credentials, and the headers that a policy may
// set, each in every spelling that an application may accept.
func Changes(prefix string, headers []string) string {
	names := []string{spellings(prefix) + ".*", "authorization", "dpop"}
	for _, h := range headers {
		names = append(names, spellings(h))
	}
	return "^(" + strings.Join(names, "|") + ")$"
}

// spellings returns an expression for every spelling of a name, given any of them.
func spellings(name string) string {
	return strings.ReplaceAll(regexp.QuoteMeta(request.Spelling(name)), "-", "[-_.]")
}

// changed lists the names that Stepward sets or removes, in every spelling.
func (s Service) changed() []string {
	var names []string
	// A name that a client makes up is removed, too.
	for _, name := range append(response.IdentityHeaders(), "made-up") {
		names = append(names, spelt(s.HeaderPrefix+name)...)
	}
	for _, h := range s.Headers {
		names = append(names, spelt(h)...)
	}
	return append(names, "authorization", "dpop")
}

// spelt lists the spellings of a name: each "-" as itself, as "_" and as ".", in every
// mixture for the first few.
func spelt(name string) []string {
	name = request.Spelling(name)
	all := []string{name}
	for range min(strings.Count(name, "-"), 4) {
		var more []string
		for _, n := range all {
			for _, separator := range []string{"_", "."} {
				more = append(more, strings.Replace(n, "-", separator, 1))
			}
		}
		all = append(all, more...)
	}
	all = append(all, strings.ReplaceAll(name, "-", "_"), strings.ReplaceAll(name, "-", "."))
	slices.Sort(all)
	return slices.Compact(all)
}

// mutations holds header mutation rules as Envoy applies them.
type mutations struct {
	allow, disallow *regexp.Regexp
	all             bool // disallow_all
}

func mutationsOf(n node) (mutations, node, error) {
	m := mutations{all: n.get("disallow_all").yes()}
	for name, into := range map[string]**regexp.Regexp{"allow_expression": &m.allow,
		"disallow_expression": &m.disallow} {
		e := n.get(name + "/regex")
		if !e.there() {
			continue
		}
		compiled, err := regexp.Compile("^(?:" + e.text() + ")$") // Envoy matches whole names, by RE2
		if err != nil {
			return m, e, err
		}
		*into = compiled
	}
	return m, node{}, nil
}

// permits reports whether Envoy allows changes to a name that is not a pseudo-header.
func (m mutations) permits(name string) bool {
	switch {
	case m.disallow != nil && m.disallow.MatchString(name):
		return false
	case m.allow != nil && m.allow.MatchString(name):
		return true
	}
	return !m.all
}
