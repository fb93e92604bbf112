// Package envoy holds the Envoy configuration that Stepward ships, and runs a real
// Envoy with it: for the demo, the conformance cases and the tests.
//
// [Render] puts addresses into the bundled configuration, [Find] and [Fetch] get the
// binary, and [Start] runs it.
package envoy

import (
	_ "embed"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"go.yaml.in/yaml/v4"
)

// Config holds the shipped envoy.yaml.
//
//go:embed envoy.yaml
var Config []byte

// Params say what differs from the shipped configuration.
type Params struct {
	Ingress   string   // host:port; port 0 takes a free one
	Apps      []string // host:port of each replica
	Stepwards []string // host:port of each replica
	AccessLog string   // file name; empty means none
	// CheckTimeout replaces the shipped 250 ms on a machine that is too busy for it, for
	// health checks too; 0 keeps it.
	CheckTimeout time.Duration
	// Routes are inserted before the last route, in Envoy's own form.
	Routes []map[string]any
	// Changes is an expression for the names of request headers that Stepward may change;
	// empty keeps the shipped one.
	Changes string
	// Body is how much of a request's body Envoy sends along, in bytes; 0 sends none.
	Body int
}

// Render returns the shipped configuration with the addresses of p. Everything else is as
// in envoy.yaml; the admin address is on a free port of loopback.
func Render(p Params) ([]byte, error) {
	var root map[string]any
	if err := yaml.Unmarshal(Config, &root); err != nil {
		return nil, fmt.Errorf("envoy: %w", err)
	}
	e := editor{}
	e.address(e.object(root, "admin"), "127.0.0.1:0")
	resources := e.object(root, "static_resources")
	listener := e.item(resources, "listeners", 0)
	e.address(listener, p.Ingress)
	filter := e.item(e.item(listener, "filter_chains", 0), "filters", 0)
	manager := e.object(filter, "typed_config")
	if p.AccessLog == "" {
		p.AccessLog = os.DevNull
	}
	e.object(e.item(manager, "access_log", 0), "typed_config")["path"] = p.AccessLog
	asking := e.object(e.item(manager, "http_filters", 0), "typed_config")
	e.filter(asking, p)
	if p.CheckTimeout > 0 {
		e.timeout(asking, e.item(resources, "clusters", 0), p.CheckTimeout)
	}
	host := e.item(e.object(manager, "route_config"), "virtual_hosts", 0)
	routes := []any{}
	for _, r := range p.Routes {
		routes = append(routes, r)
	}
	host["routes"] = append(routes, e.list(host, "routes")...)
	for i, addresses := range [][]string{p.Stepwards, p.Apps} {
		e.endpoints(e.item(resources, "clusters", i), addresses)
	}
	if e.err != nil {
		return nil, fmt.Errorf("envoy: the shipped configuration has another shape: %w", e.err)
	}
	return yaml.Marshal(root)
}

// editor walks a decoded document and keeps the first thing that is missing.
type editor struct{ err error }

func (e *editor) object(parent map[string]any, key string) map[string]any {
	o, ok := parent[key].(map[string]any)
	if !ok {
		e.miss(key)
		return map[string]any{}
	}
	return o
}

func (e *editor) list(parent map[string]any, key string) []any {
	l, ok := parent[key].([]any)
	if !ok {
		e.miss(key)
	}
	return l
}

func (e *editor) item(parent map[string]any, key string, i int) map[string]any {
	l := e.list(parent, key)
	if i >= len(l) {
		e.miss(key)
		return map[string]any{}
	}
	o, ok := l[i].(map[string]any)
	if !ok {
		e.miss(key)
		return map[string]any{}
	}
	return o
}

func (e *editor) miss(key string) {
	if e.err == nil {
		e.err = fmt.Errorf("no %s", key)
	}
}

func (e *editor) address(parent map[string]any, hostPort string) {
	parent["address"] = e.socket(hostPort)
}

func (e *editor) socket(hostPort string) map[string]any {
	host, port, err := net.SplitHostPort(hostPort)
	number, convErr := strconv.Atoi(port)
	if (err != nil || convErr != nil) && e.err == nil {
		e.err = fmt.Errorf("%q is not host:port", hostPort)
	}
	return map[string]any{"socket_address": map[string]any{"address": host, "port_value": number}}
}

// filter applies the fields of p that concern the filter that asks.
func (e *editor) filter(filter map[string]any, p Params) {
	if p.Changes != "" {
		e.object(e.object(filter, "decoder_header_mutation_rules"), "allow_expression")["regex"] = p.Changes
	}
	if p.Body > 0 {
		filter["with_request_body"] = map[string]any{"max_request_bytes": p.Body, "allow_partial_message": true,
			"pack_as_bytes": true}
	}
}

// timeout sets the time for a Check, and half of it for each of two tries.
func (e *editor) timeout(filter, cluster map[string]any, d time.Duration) {
	service := e.object(filter, "grpc_service")
	service["timeout"] = seconds(d)
	e.object(e.object(service, "retry_policy"), "retry_back_off")["max_interval"] = seconds(d / 2)
	options := e.object(e.object(cluster, "typed_extension_protocol_options"),
		"envoy.extensions.upstreams.http.v3.HttpProtocolOptions")
	e.object(options, "common_http_protocol_options")["max_stream_duration"] = seconds(d / 2)
	e.item(cluster, "health_checks", 0)["timeout"] = seconds(d)
}

// seconds writes d as protobuf does in JSON.
func seconds(d time.Duration) string { return fmt.Sprintf("%.3fs", d.Seconds()) }

func (e *editor) endpoints(cluster map[string]any, addresses []string) {
	var list []any
	for _, a := range addresses {
		list = append(list, map[string]any{"endpoint": map[string]any{"address": e.socket(a)}})
	}
	e.item(e.object(cluster, "load_assignment"), "endpoints", 0)["lb_endpoints"] = list
}
