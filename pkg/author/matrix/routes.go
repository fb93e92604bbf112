package matrix

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/stepward/stepward/pkg/finding"
)

// Route says where requests go. Path is a pattern of segments: {name} and * stand for one
// segment, ** at the end for any number.
type Route struct {
	Host    string   // empty for every host
	Path    string   // begins with /
	Methods []string // empty for GET and POST
	From    string   // where it is written
}

// String writes r as a line of a list that [ParseRoutes] reads.
func (r Route) String() string {
	return strings.TrimSpace(strings.Join(r.Methods, ",") + " " + r.Host + r.Path)
}

func (r Route) methods() []string {
	if len(r.Methods) == 0 {
		return []string{"GET", "POST"}
	}
	return r.Methods
}

// beyond is how many segments below ** a policy may look at one by one.
const beyond = 8

// input returns what is known about a request for the route, and what is not.
func (r Route) input(method, caller string) (map[string]any, []string) {
	unknown := []string{
		"input.request.raw_path", "input.request.query", "input.request.headers", "input.request.header_values",
		"input.request.body",
		"input.request.id", "input.request.size", "input.request.protocol", "input.source", "input.tls", "input.route",
	}
	request := map[string]any{"method": method, "scheme": "https"}
	segments, exact := []any{}, true
	for _, s := range strings.Split(strings.Trim(r.Path, "/"), "/") {
		switch {
		case s == "":
		case s == "**":
			exact = false
			for n := range beyond {
				unknown = append(unknown, fmt.Sprintf("input.request.segments[%d]", len(segments)+n))
			}
		case s == "*" || strings.HasPrefix(s, "{"):
			exact = false
			unknown = append(unknown, fmt.Sprintf("input.request.segments[%d]", len(segments)))
			segments = append(segments, s)
		default:
			segments = append(segments, s)
		}
	}
	request["segments"] = segments
	if exact {
		request["path"] = r.Path
	} else {
		unknown = append(unknown, "input.request.path")
	}
	if r.Host != "" && !strings.HasPrefix(r.Host, "*") {
		request["host"] = r.Host
	} else {
		unknown = append(unknown, "input.request.host")
	}
	input := map[string]any{"request": request}
	switch caller {
	case "nobody":
		unknown = append(unknown, "input.request.kind")
	default:
		input["token"] = map[string]any{"principal": map[string]string{"user": "user", "program": "client"}[caller]}
		unknown = append(unknown, "input.request.kind")
		for _, name := range []string{"issuer", "issuer_name", "subject", "client_id", "audience", "scopes", "levels",
			"acr", "amr", "sender_constrained", "scheme", "claims"} {
			unknown = append(unknown, "input.token."+name)
		}
	}
	return input, unknown
}

// ErrNoRoutes means that a file holds nothing that we recognize as routes.
var ErrNoRoutes = errors.New("matrix: no routes found")

// ParseRoutes reads routes from text: an OpenAPI document, HTTPRoutes, an Envoy
// configuration or config dump, in YAML or JSON, or a list with a line for each, such
// as "POST /payments/**".
func ParseRoutes(name string, text []byte) ([]Route, error) {
	routes, broken := documents(name, text)
	if len(routes) > 0 && broken != nil {
		return nil, broken // everything after it would be missing
	}
	if len(routes) == 0 {
		var err error
		if routes, err = lines(text); err != nil {
			if broken != nil && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name)) {
				return nil, broken
			}
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if len(routes) == 0 {
		return nil, fmt.Errorf("%s: %w", name, ErrNoRoutes)
	}
	for i := range routes {
		routes[i].From = name
	}
	return routes, nil
}

// documents reads the routes of YAML or JSON, up to the first part that is neither. broken
// is a finding if there is such a part: the text may be a list of lines, or a document with
// a slip.
func documents(name string, text []byte) (routes []Route, broken error) {
	d := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var document any
		if err := d.Decode(&document); errors.Is(err, io.EOF) {
			return routes, nil
		} else if err != nil {
			return routes, finding.List{finding.YAML(name, text, err)}
		}
		o, ok := document.(map[string]any)
		if !ok {
			return routes, nil
		}
		routes = append(routes, routesOf(o)...)
	}
}

// routesOf reads the routes of one document.
func routesOf(o map[string]any) []Route {
	switch {
	case o["openapi"] != nil || o["swagger"] != nil:
		return openAPI(o)
	case o["kind"] == "HTTPRoute" || o["kind"] == "GRPCRoute":
		return httpRoute(o)
	case o["kind"] == "List":
		var routes []Route
		for _, item := range list(o["items"]) {
			if i, ok := item.(map[string]any); ok && i["kind"] == "HTTPRoute" {
				routes = append(routes, httpRoute(i)...)
			}
		}
		return routes
	}
	return envoy(o)
}

// lines reads a list. A line is a path, with or without a host before it, and optionally
// methods joined by commas in front. A line that begins with # is a comment.
func lines(text []byte) ([]Route, error) {
	var routes []Route
	s := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; s.Scan(); n++ {
		fields := strings.Fields(s.Text())
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		var r Route
		if len(fields) == 2 {
			r.Methods = strings.Split(fields[0], ",")
			fields = fields[1:]
		}
		host, path, found := strings.Cut(fields[0], "/")
		if len(fields) != 1 || !found || slices.ContainsFunc(r.Methods, func(m string) bool {
			return m == "" || strings.ToUpper(m) != m
		}) {
			return nil, fmt.Errorf("line %d is not a route, such as POST /payments/**", n)
		}
		r.Host, r.Path = host, "/"+path
		routes = append(routes, r)
	}
	return routes, nil
}

// openAPI reads paths and their operations.
func openAPI(o map[string]any) []Route {
	var routes []Route
	paths, _ := o["paths"].(map[string]any)
	for path, item := range paths {
		operations, _ := item.(map[string]any)
		r := Route{Path: path}
		for _, m := range []string{"get", "head", "post", "put", "patch", "delete", "options"} {
			if operations[m] != nil {
				r.Methods = append(r.Methods, strings.ToUpper(m))
			}
		}
		if len(r.Methods) > 0 {
			routes = append(routes, r)
		}
	}
	slices.SortFunc(routes, func(a, b Route) int { return strings.Compare(a.Path, b.Path) })
	return routes
}

// httpRoute reads the matches of a Gateway API route.
func httpRoute(o map[string]any) []Route {
	spec, _ := o["spec"].(map[string]any)
	hosts := texts(spec["hostnames"])
	if len(hosts) == 0 {
		hosts = []string{""}
	}
	var routes []Route
	add := func(path string, methods []string) {
		for _, h := range hosts {
			routes = append(routes, Route{Host: h, Path: path, Methods: methods})
		}
	}
	for _, rule := range list(spec["rules"]) {
		r, _ := rule.(map[string]any)
		matches := list(r["matches"])
		if len(matches) == 0 {
			add("/**", nil)
		}
		for _, match := range matches {
			m, _ := match.(map[string]any)
			if call, ok := m["method"].(map[string]any); ok { // of a GRPCRoute
				service, _ := call["service"].(string)
				method, _ := call["method"].(string)
				if method == "" {
					method = "*"
				}
				add("/"+service+"/"+method, []string{"POST"})
				continue
			}
			path, _ := m["path"].(map[string]any)
			value, _ := path["value"].(string)
			if value == "" {
				value = "/"
			}
			var methods []string
			if s, ok := m["method"].(string); ok {
				methods = []string{s}
			}
			switch path["type"] {
			case "Exact":
				add(value, methods)
			case "RegularExpression":
				add("/**", methods)
			default:
				add(value, methods)
				add(strings.TrimSuffix(value, "/")+"/**", methods)
			}
		}
	}
	return routes
}

// envoy finds virtual hosts wherever they are.
func envoy(node any) []Route {
	var routes []Route
	switch x := node.(type) {
	case map[string]any:
		for _, v := range list(first(x, "virtual_hosts", "virtualHosts")) {
			if host, ok := v.(map[string]any); ok {
				routes = append(routes, virtualHost(host)...)
			}
		}
		names := make([]string, 0, len(x))
		for name := range x {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			if name != "virtual_hosts" && name != "virtualHosts" {
				routes = append(routes, envoy(x[name])...)
			}
		}
	case []any:
		for _, v := range x {
			routes = append(routes, envoy(v)...)
		}
	}
	return routes
}

func virtualHost(o map[string]any) []Route {
	hosts := texts(o["domains"])
	if slices.Contains(hosts, "*") || len(hosts) == 0 {
		hosts = []string{""}
	}
	var routes []Route
	for _, v := range list(o["routes"]) {
		route, _ := v.(map[string]any)
		match, _ := route["match"].(map[string]any)
		for _, host := range hosts {
			for _, path := range paths(match) {
				routes = append(routes, Route{Host: host, Path: path, Methods: methodsOf(match)})
			}
		}
	}
	return routes
}

// paths returns the paths that an Envoy match accepts. One that we do not understand may
// accept anything.
func paths(match map[string]any) []string {
	if s, ok := match["path"].(string); ok {
		return []string{s}
	}
	if prefix, ok := first(match, "path_separated_prefix", "pathSeparatedPrefix").(string); ok {
		return []string{prefix, strings.TrimSuffix(prefix, "/") + "/**"}
	}
	prefix, ok := match["prefix"].(string)
	switch {
	case !ok:
		return []string{"/**"}
	case strings.HasSuffix(prefix, "/"):
		return []string{prefix, prefix + "**"}
	}
	// The prefix is one of text: /pay also matches /payments.
	at := strings.LastIndexByte(prefix, '/') + 1
	longer := prefix[:at] + "{" + prefix[at:] + "…}"
	return []string{prefix, prefix + "/**", longer, longer + "/**"}
}

// methodsOf returns the methods that an Envoy match names by the header :method.
func methodsOf(match map[string]any) []string {
	var methods []string
	for _, h := range list(match["headers"]) {
		header, _ := h.(map[string]any)
		if header["name"] != ":method" {
			continue
		}
		value := first(header, "string_match", "stringMatch")
		if m, ok := value.(map[string]any); ok {
			if s, ok := m["exact"].(string); ok {
				methods = append(methods, s)
			}
		}
	}
	return methods
}

func first(o map[string]any, names ...string) any {
	for _, n := range names {
		if v, there := o[n]; there {
			return v
		}
	}
	return nil
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

func texts(v any) []string {
	var out []string
	for _, x := range list(v) {
		if s, ok := x.(string); ok {
			out = append(out, s)
		}
	}
	return out
}
