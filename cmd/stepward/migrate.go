package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/engine/rego"
	"github.com/stepward/stepward/pkg/finding"
	"github.com/stepward/stepward/pkg/rollout/bundle"
)

func newMigrateCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "migrate", Short: "Read the configuration of another service and write ours"}
	cmd.AddCommand(newMigrateOPAEnvoyCommand())
	return cmd
}

func newMigrateOPAEnvoyCommand() *cobra.Command {
	var out string
	var policies []string
	var force bool
	cmd := &cobra.Command{
		Use:   "opa-envoy CONFIG",
		Short: "Write a stepward.yaml from the configuration of OPA with opa-envoy-plugin",
		Long: `Reads the configuration file of an OPA that runs opa-envoy-plugin, in YAML or JSON, and
prints a stepward.yaml under which the same policy decides on the same port. What has no
counterpart stands in comments at its end, and on standard error, each with a hint. Files
are named relative to the one that -o writes; on standard output, to this folder.

Bundles, discovery, decision logs and status go on by the same file, which stays as it is:
stepward.yaml names it in bundles.config_file. Where the policy is in files instead, OPA
takes them from its command line; give them with --policy. Then:

  stepward validate -c stepward.yaml
  stepward serve -c stepward.yaml`,
		Example: `  stepward migrate opa-envoy opa.yaml --policy policy.rego -o stepward.yaml`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := readFile(cmd, args[0])
			if err != nil {
				return usage(err)
			}
			written, notes, err := migrateOPAEnvoy(args[0], text, policies, func(name string) string {
				return seenFrom(out, name)
			})
			if list := (finding.List)(nil); errors.As(err, &list) {
				return usage(fmt.Errorf("the configuration of OPA is refused:\n%w", list))
			}
			if err != nil {
				return usage(fmt.Errorf("%s: %w", args[0], err))
			}
			for _, n := range notes {
				fmt.Fprintln(cmd.ErrOrStderr(), n)
			}
			if out == "" {
				_, err = cmd.OutOrStdout().Write(written)
				return err
			}
			if _, err := os.Lstat(out); err == nil && !force {
				return usage(fmt.Errorf("%s is there; --force overwrites it", out))
			}
			if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
				return usage(err)
			}
			if err := os.WriteFile(out, written, 0o644); err != nil {
				return usage(err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "wrote %s; next:\n  stepward validate -c %s\n", out, quoted(out))
			return nil
		},
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "file to write, in place of standard output")
	cmd.Flags().StringArrayVar(&policies, "policy", nil,
		"file or folder that OPA was given; more than once for more (default policies, or none where there are bundles)")
	cmd.Flags().BoolVar(&force, "force", false, "overwrite the file")
	return cmd
}

// note is a key of OPA's that has no counterpart, or another meaning here.
type note struct{ key, says string }

func (n note) String() string { return n.key + ": " + n.says }

// migration is what a configuration of OPA becomes.
type migration struct {
	members []*yaml.Node // of stepward.yaml, keys and values in turn
	policy  []*yaml.Node
	notes   []note
	config  string // the file that OPA's own plugins go on reading; empty where they have nothing to do
	seen    func(string) string
}

func (m *migration) note(key, format string, args ...any) {
	m.notes = append(m.notes, note{key, fmt.Sprintf(format, args...)})
}

// pair is a member of an object. Values are texts, numbers, and lists and objects of them.
func pair(key string, value any) []*yaml.Node {
	v := &yaml.Node{}
	if err := v.Encode(value); err != nil {
		v = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"} // which is as if it were not there
	}
	return []*yaml.Node{{Kind: yaml.ScalarNode, Value: key}, v}
}

// seenFrom is the name of a file as a configuration in the file at out names it: relative
// to the folder of that, wherever it is, or absolute where a link among the folders would
// lead astray. Without out it is the name itself, as for a file in the working folder.
func seenFrom(out, name string) string {
	if filepath.IsAbs(name) || out == "" {
		return name
	}
	dir, err := filepath.Abs(filepath.Dir(out))
	file, err2 := filepath.Abs(name)
	if err != nil || err2 != nil {
		return name // there is no working folder
	}
	// What is above a link depends on who asks: by the names, or by the folders.
	named, err := filepath.Rel(dir, file)
	really, err2 := filepath.Rel(withoutLinks(dir), filepath.Join(withoutLinks(filepath.Dir(file)),
		filepath.Base(file)))
	if err != nil || err2 != nil || named != really {
		return file
	}
	return named
}

// withoutLinks is a folder without links in its name. What does not exist yet has none.
func withoutLinks(dir string) string {
	if there, err := filepath.EvalSymlinks(dir); err == nil {
		return there
	}
	if parent := filepath.Dir(dir); parent != dir {
		return filepath.Join(withoutLinks(parent), filepath.Base(dir))
	}
	return dir
}

// migrateOPAEnvoy is stepward.yaml for the configuration of an OPA, and what is not in it.
// seen turns the name of a file into one by which stepward.yaml finds it.
func migrateOPAEnvoy(name string, text []byte, policies []string, seen func(string) string) ([]byte, []note, error) {
	var root map[string]any
	if err := yaml.Unmarshal(text, &root); err != nil {
		return nil, nil, finding.List{finding.YAML(name, text, err)}
	}
	plugins, _ := root["plugins"].(map[string]any)
	plugin, there := plugins["envoy_ext_authz_grpc"]
	own, ok := plugin.(map[string]any)
	if !there || !ok && plugin != nil {
		return nil, nil, errors.New("no plugins.envoy_ext_authz_grpc: not the configuration of an opa-envoy-plugin")
	}
	m := &migration{seen: seen, policy: pair("compat", config.OPAEnvoy)}
	if err := m.plugin(own); err != nil {
		return nil, nil, err
	}
	m.paths(policies, root["bundles"] != nil || root["discovery"] != nil)
	m.managed(name, text, root)
	if m.config == "-" {
		return nil, nil, errors.New("bundles, decision logs and status are read from the file itself: name it")
	}
	for _, key := range slices.Sorted(maps.Keys(plugins)) {
		if key != "envoy_ext_authz_grpc" && m.config == "" { // else it is refused
			m.note("plugins."+key, "another plugin of OPA, which is not there")
		}
	}
	m.rest(root)
	written, err := m.write(filepath.Base(name))
	return written, m.notes, err
}

// paths are where policies are that do not come from bundles.
func (m *migration) paths(policies []string, bundled bool) {
	switch {
	case len(policies) == 0 && bundled:
		return
	case len(policies) == 0:
		policies = []string{"policies"}
		m.note("policy.paths",
			"OPA takes its policies from its command line: here they are in the folder policies; say where with --policy")
	}
	paths := make([]string, len(policies))
	for i, p := range policies {
		paths[i] = m.seen(p)
	}
	m.policy = append(m.policy, pair("paths", paths)...)
}

// plugin reads the plugin's own section.
func (m *migration) plugin(own map[string]any) error {
	addr, err := memberOf(own, "addr", ":9191")
	if err != nil {
		return err
	}
	if err := m.listen(addr); err != nil {
		return err
	}
	if err := m.decision(own); err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(own)) {
		v := own[key]
		switch key {
		case "addr", "path", "query":
		case "skip-request-body-parse":
			if v == true {
				m.policy = append(m.policy, pair("skip_body", true)...)
			}
		case "dry-run":
			if v == true {
				m.note(
					key,
					"ATTENTION: OPA let everything through, and Stepward enforces. To go on observing, keep OPA in front until the decisions agree, or let Envoy ask without enforcing (shadow_mode of its filter, from 1.38)")
			}
		case "enable-reflection":
			if v == true {
				m.note(key, "start with `stepward serve --grpc-reflection`")
			}
		case "grpc-max-recv-msg-size":
			n, ok := v.(int)
			if !ok || n <= 0 || n > 64<<20 {
				m.note(key, "%v cannot be taken over: limits.message is at most 64MiB, and 4MiB unless it is set", v)
				continue
			}
			m.members = append(m.members, pair("limits", map[string]any{"message": n})...)
		case "grpc-max-send-msg-size":
			m.note(key, "not needed: an answer is bounded by what a decision object may hold")
		case "proto-descriptor":
			m.policy = append(m.policy, pair("proto_descriptor", m.seen(fmt.Sprint(v)))...)
		case "enable-performance-metrics", "grpc-request-duration-seconds-buckets":
			m.note(
				key,
				"metrics are always there, under names of ours, at /metrics of the admin listener; see docs/reference/metrics.md")
		default:
			m.note(key, "no key of opa-envoy-plugin")
		}
	}
	return nil
}

// listen makes an address of OPA's: there a missing host means every one, without TLS.
func (m *migration) listen(addr string) error {
	addr = strings.TrimPrefix(addr, "grpc://")
	if path, ok := strings.CutPrefix(addr, "unix://"); ok {
		if !strings.HasPrefix(path, "/") {
			m.note("addr", "%s is not an absolute path: write the path of a socket that Envoy reaches", addr)
			addr = "unix:///run/stepward.sock"
		}
		m.members = append(m.members, pair("listen", addr)...)
		return nil
	}
	host, port, err := net.SplitHostPort(addr)
	if _, number := strconv.ParseUint(port, 10, 16); err != nil || number != nil {
		return fmt.Errorf("addr %q is not host:port", addr)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		m.note(
			"addr",
			"OPA listens at %s without TLS. Here it is loopback, which is enough for an Envoy beside it; for another set listen and tls, or start with --insecure-plaintext-listener where the network is trusted", addr)
		host = "127.0.0.1"
	}
	m.members = append(m.members, pair("listen", net.JoinHostPort(host, port))...)
	return nil
}

var plainQuery = regexp.MustCompile(`^data(\.[A-Za-z_][A-Za-z0-9_]*)+$`)

// decision finds which decision is asked for.
func (m *migration) decision(own map[string]any) error {
	path, err := memberOf(own, "path", "")
	if err != nil {
		return err
	}
	query, err := memberOf(own, "query", "")
	switch {
	case err != nil:
		return err
	case query != "" && path != "":
		return errors.New("path and query exclude each other, for OPA too")
	case query != "" && !plainQuery.MatchString(query):
		return fmt.Errorf("query %q is more than the name of a rule: make a rule of it, and name that in path", query)
	case query != "":
		path = strings.ReplaceAll(strings.TrimPrefix(query, "data."), ".", "/")
	case path == "":
		path = rego.DefaultCompatPath
	}
	m.policy = append(m.policy, pair("path", strings.Trim(path, "/"))...)
	return nil
}

// memberOf is a text, or otherwise where there is none.
func memberOf(own map[string]any, key, otherwise string) (string, error) {
	v, there := own[key]
	s, ok := v.(string)
	if there && !ok {
		return "", fmt.Errorf("%s is not a text", key)
	}
	if s == "" {
		s = otherwise
	}
	return s, nil
}

// managed hands what OPA's own plugins do to them: they read the same file.
func (m *migration) managed(name string, text []byte, root map[string]any) {
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
	m.config = m.seen(name)
	_, err := bundle.Parse(name, text, bundle.ParseOptions{})
	var refused finding.List
	if !errors.As(err, &refused) {
		return
	}
	for _, f := range refused {
		if strings.HasSuffix(f.Path, ".url") && strings.Contains(string(text), "${") {
			continue // what it will be is known where it is served
		}
		m.note("ATTENTION: "+f.Message, "%s", cmp.Or(f.Hint, "change it in "+filepath.Base(name)))
	}
}

// unused names sections that say how to fetch something, where nothing is fetched.
func (m *migration) unused(root map[string]any) {
	if root["bundle"] != nil {
		m.note(
			"bundle",
			"the old form, which knows no signatures: write it under bundles: { NAME: { service: , resource: , signing: } }, and migrate again")
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

// rest names every other section.
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
		case m.config == "": // else it is refused
			m.note(key, "no counterpart")
		}
	}
}

// write is the file. Its order is that of the reference.
func (m *migration) write(name string) ([]byte, error) {
	policy := &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle, Content: m.policy}
	root := &yaml.Node{Kind: yaml.MappingNode, Content: m.members}
	if m.config != "" {
		root.Content = append(root.Content, pair("bundles", map[string]any{"config_file": m.config})...)
	}
	// Such a policy verifies tokens itself. What decides stands last and within brackets: a
	// file that was cut short is then no configuration.
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
