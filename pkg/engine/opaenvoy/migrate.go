package opaenvoy

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/stepward/stepward/pkg/config"
	"github.com/stepward/stepward/pkg/finding"
)

// Note says what became of an OPA key that has no counterpart here, or has another meaning.
type Note struct{ Key, Says string }

// String returns the note as one line.
func (n Note) String() string { return n.Key + ": " + n.Says }

// Migration says what to migrate.
type Migration struct {
	Name     string   // of the configuration of OPA; "-" is standard input
	Text     []byte   // of the configuration
	Policies []string // files and folders on OPA's command line
	// Seen turns a file name into the name by which stepward.yaml finds the file; see
	// [SeenFrom].
	Seen func(string) string
	// Refusals returns the parts of the configuration that OPA's own plugins would refuse
	// here.
	Refusals func(name string, text []byte) finding.List
}

// migration holds the result of migrating an OPA configuration.
type migration struct {
	Migration
	members []*yaml.Node // of stepward.yaml, keys and values in turn
	policy  []*yaml.Node
	notes   []Note
	config  string // the file that OPA's own plugins still read; empty if they have nothing to do
}

func (m *migration) note(key, format string, args ...any) {
	m.notes = append(m.notes, Note{key, fmt.Sprintf(format, args...)})
}

// pair makes a member of an object. Values are strings, numbers, and lists and objects of
// those.
func pair(key string, value any) []*yaml.Node {
	v := &yaml.Node{}
	if err := v.Encode(value); err != nil {
		v = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"} // the same as leaving it out
	}
	return []*yaml.Node{{Kind: yaml.ScalarNode, Value: key}, v}
}

// Migrate returns the stepward.yaml under which the same policy decides on the same port,
// and notes on what is not in it.
func (x Migration) Migrate() ([]byte, []Note, error) {
	var root map[string]any
	if err := yaml.Unmarshal(x.Text, &root); err != nil {
		return nil, nil, finding.List{finding.YAML(x.Name, x.Text, err)}
	}
	plugins, _ := root["plugins"].(map[string]any)
	plugin, there := plugins["envoy_ext_authz_grpc"]
	own, ok := plugin.(map[string]any)
	if !there || !ok && plugin != nil {
		return nil, nil, errors.New("no plugins.envoy_ext_authz_grpc: not the configuration of an opa-envoy-plugin")
	}
	m := &migration{Migration: x, policy: pair("compat", config.OPAEnvoy)}
	if err := m.plugin(own); err != nil {
		return nil, nil, err
	}
	m.paths(root["bundles"] != nil || root["discovery"] != nil)
	m.managed(root)
	if m.config == "-" {
		return nil, nil, errors.New("bundles, decision logs and status are read from the file itself: name it")
	}
	for _, key := range slices.Sorted(maps.Keys(plugins)) {
		if key != "envoy_ext_authz_grpc" && m.config == "" { // otherwise it is refused
			m.note("plugins."+key, "another plugin of OPA, which is not there")
		}
	}
	m.rest(root)
	written, err := m.write(filepath.Base(x.Name))
	return written, m.notes, err
}

// paths names the policies that do not come from bundles.
func (m *migration) paths(bundled bool) {
	policies := m.Policies
	switch {
	case len(policies) == 0 && bundled:
		return
	case len(policies) == 0:
		policies = []string{"policies"}
		m.note("policy.paths", "OPA takes its policies from its command line: here they are in the folder policies; "+
			"say where with --policy")
	}
	paths := make([]string, len(policies))
	for i, p := range policies {
		paths[i] = m.Seen(p)
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
		m.setting(key, own[key])
	}
	return nil
}

// setting migrates one key of the plugin, or notes what becomes of it.
func (m *migration) setting(key string, v any) {
	switch key {
	case "addr", "path", "query": // which have already been read
	case "skip-request-body-parse":
		if v == true {
			m.policy = append(m.policy, pair("skip_body", true)...)
		}
	case "proto-descriptor":
		m.policy = append(m.policy, pair("proto_descriptor", m.Seen(fmt.Sprint(v)))...)
	case "grpc-max-recv-msg-size":
		n, ok := v.(int)
		if !ok || n <= 0 || n > 64<<20 {
			m.note(key, "%v cannot be taken over: limits.message is at most 64MiB, and 4MiB unless it is set", v)
			return
		}
		m.members = append(m.members, pair("limits", map[string]any{"message": n})...)
	case "dry-run", "enable-reflection":
		if v == true {
			m.note(key, "%s", counterparts[key])
		}
	default:
		says, known := counterparts[key]
		if !known {
			says = "not a key of opa-envoy-plugin"
		}
		m.note(key, "%s", says)
	}
}

// counterparts says what replaces keys of the plugin that stepward.yaml does not have.
var counterparts = map[string]string{
	"dry-run": "ATTENTION: OPA let everything through, and Stepward enforces. To go on observing, keep OPA in front " +
		"until the decisions agree, or let Envoy ask without enforcing (shadow_mode of its filter, from 1.38)",
	"enable-reflection":                     "start with `stepward serve --grpc-reflection`",
	"grpc-max-send-msg-size":                "not needed: an answer is bounded by what a decision object may hold",
	"enable-performance-metrics":            metricsElsewhere,
	"grpc-request-duration-seconds-buckets": metricsElsewhere,
}

const metricsElsewhere = "metrics are always there, under names of ours, at /metrics of the admin listener; " +
	"see docs/reference/metrics.md"

// listen migrates an OPA address. A missing host there means every interface, without TLS.
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
		m.note("addr", "OPA listens at %s without TLS. Here it is loopback, which is enough for an Envoy beside it; "+
			"for another set listen and tls, "+
			"or start with --insecure-plaintext-listener where the network is trusted", addr)
		host = "127.0.0.1"
	}
	m.members = append(m.members, pair("listen", net.JoinHostPort(host, port))...)
	return nil
}

var plainQuery = regexp.MustCompile(`^data(\.[A-Za-z_][A-Za-z0-9_]*)+$`)

// decision finds out which decision OPA is asked for.
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
		path = DefaultPath
	}
	m.policy = append(m.policy, pair("path", strings.Trim(path, "/"))...)
	return nil
}

// memberOf returns the text of a member, or the fallback otherwise if there is none.
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
