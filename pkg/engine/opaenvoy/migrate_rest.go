package opaenvoy

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// managed migrates the sections for OPA's own plugins, which read the same file here.
func (m *migration) managed(root map[string]any) {
	logs, _ := root["decision_logs"].(map[string]any)
	if logs["console"] == true {
		m.members = append(m.members, pair("log", map[string]any{"decisions": "stdout"})...)
	}
	// to the first service, unless another is named
	uploads := root["decision_logs"] != nil && (logs["console"] != true || len(logs) > 1)
	if root["discovery"] == nil && root["bundles"] == nil && root["status"] == nil && !uploads {
		m.unused(root)
		return
	}
	m.config = m.Seen(m.Name)
	for _, f := range m.Refusals(m.Name, m.Text) {
		if strings.HasSuffix(f.Path, ".url") && strings.Contains(string(m.Text), "${") {
			continue // its content is known only where it is served
		}
		m.note("ATTENTION: "+f.Message, "%s", cmp.Or(f.Hint, "change it in "+filepath.Base(m.Name)))
	}
}

// unused notes sections that say how to fetch something if nothing is fetched.
func (m *migration) unused(root map[string]any) {
	if root["bundle"] != nil {
		m.note("bundle", "the old form, which knows no signatures: "+
			"write it under bundles: { NAME: { service: , resource: , signing: } }, and migrate again")
	}
	var kept []string
	for _, key := range []string{"services", "keys", "labels", "persistence_directory"} {
		if root[key] != nil {
			kept = append(kept, key)
		}
	}
	if len(kept) > 0 && root["bundle"] == nil {
		m.note(strings.Join(kept, ", "),
			"not needed: the file names neither bundles, discovery, decision_logs to upload nor status")
	}
}

// rest notes every other section.
func (m *migration) rest(root map[string]any) {
	known := []string{"plugins", "services", "bundles", "bundle", "discovery", "keys", "labels",
		"persistence_directory", "decision_logs", "status"}
	for _, key := range slices.Sorted(maps.Keys(root)) {
		switch {
		case slices.Contains(known, key):
		case key == "distributed_tracing":
			m.note(key, "set OpenTelemetry's environment variables, such as OTEL_EXPORTER_OTLP_ENDPOINT")
		case key == "default_decision" || key == "default_authorization_decision" || key == "server":
			m.note(key, "OPA's own HTTP API, which is not there")
		case m.config == "": // otherwise it is refused
			m.note(key, "no counterpart")
		}
	}
}

// write returns the file, in the order of the configuration reference.
func (m *migration) write(name string) ([]byte, error) {
	policy := &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle, Content: m.policy}
	root := &yaml.Node{Kind: yaml.MappingNode, Content: m.members}
	if m.config != "" {
		root.Content = append(root.Content, pair("bundles", map[string]any{"config_file": m.config})...)
	}
	// Such a policy verifies tokens itself. The section that decides comes last and in
	// brackets, so that a file that was cut short is not a configuration.
	root.Content = append(root.Content, pair("issuers", []string{})...)
	root.Content = append(root.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "policy"}, policy)
	text, err := yaml.Marshal(root)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# From %s, by `stepward migrate opa-envoy`. docs/opa-envoy.md says what differs.\n%s", name, text)
	if len(m.notes) > 0 {
		b.WriteString("\n# Not taken over:\n")
	}
	for _, n := range m.notes {
		fmt.Fprintf(&b, "# - %s\n", strings.ReplaceAll(n.String(), "\n", " "))
	}
	return []byte(b.String()), nil
}
