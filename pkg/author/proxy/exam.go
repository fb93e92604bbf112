package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/stepward/stepward/pkg/finding"
)

// exam holds the content of the examined files, and the findings.
type exam struct {
	service Service
	found   finding.List

	bootstraps []node
	managers   []manager
	clusters   []node
	routes     map[string]node // route configurations by name
	asks       []ask
	meshes     []node   // that hold extensionProviders
	custom     []node   // authorization policies that ask a provider
	objects    []node   // of Kubernetes, of any kind
	lines      []string // of the file being read
}

// manager holds an HTTP connection manager and the filter in it that asks Stepward.
type manager struct {
	node   node
	filter node   // element of http_filters; absent if nobody is asked
	asking []node // all elements of http_filters that ask
	routes node   // its route configuration; absent if it comes from elsewhere
	scoped []node // the ones from which it chooses by scope
	// forwards names the clusters that its routes lead to.
	forwards map[string]bool
}

// ask is one place that tells a proxy to ask an authorization service.
type ask struct {
	product product
	node    node // of the settings
	object  node // of Kubernetes that holds them; absent elsewhere
}

// report adds a finding of r at n.
func (x *exam) report(r Rule, n node, what string) *finding.Finding {
	f := finding.Finding{File: n.file, Line: 1, Column: 1, Code: r.Code, Path: n.path, Message: what, Hint: r.Instead}
	if n.y != nil {
		f.Line, f.Column = n.y.Line+n.line, n.y.Column+n.col
	}
	if r.Why != "" {
		f.Message += ": " + r.Why
	}
	if !r.Refused {
		f.Severity = finding.Warning
	}
	x.found = append(x.found, f)
	return &x.found[len(x.found)-1]
}

var (
	ruleYAML = Rule{"yaml", true,
		"a file that is neither YAML nor JSON",
		"",
		"proxies refuse it, too"}
	ruleNothing = Rule{"nothing_asks", true,
		"nothing in the file has anything to do with Stepward",
		"nobody is asked",
		"name a bootstrap or config dump of Envoy, a MeshConfig or AuthorizationPolicy of Istio, a " +
			"SecurityPolicy of Envoy Gateway, an HTTPProxy of Contour, or an HTTPRoute with ExternalAuth"}
	ruleUnknown = Rule{"unknown_field", true,
		"a field that the proxy or its controller does not know",
		"Envoy refuses the file; a controller may drop the field without a word",
		"compare it with the reference of your version"}
	ruleValue = Rule{"field_value", true,
		"a value that its field does not take",
		"Envoy refuses the file",
		"compare it with the reference of your version"}
)

// fileRules apply to the files themselves.
var fileRules = []Rule{ruleYAML, ruleNothing, ruleUnknown, ruleValue}

// read splits a file into documents.
func (x *exam) read(f File) {
	d := yaml.NewDecoder(bytes.NewReader(f.Text))
	x.lines = strings.Split(string(f.Text), "\n")
	known := x.known()
	for {
		var root yaml.Node
		err := d.Decode(&root)
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			var v any
			err = root.Decode(&v) // finds duplicate members, and endless aliases
		}
		if err != nil {
			x.broken(f, err)
			return
		}
		if len(root.Content) == 1 {
			x.document(node{file: f.Name}.at(root.Content[0], ""))
		}
	}
	if x.known() == known {
		x.report(ruleNothing, node{file: f.Name}, "no configuration of a proxy")
	}
}

// known counts the documents that belong to a proxy.
func (x *exam) known() int { return len(x.bootstraps) + len(x.meshes) + len(x.objects) }

func (x *exam) broken(file File, err error) {
	f := x.report(ruleYAML, node{file: file.Name}, "")
	why := finding.YAML(file.Name, file.Text, err)
	f.Line, f.Column, f.Message = why.Line, why.Column, why.Message
	if why.Hint != "" {
		f.Hint = why.Hint
	}
}

// document files a document by its kind.
func (x *exam) document(n node) {
	switch {
	case n.get("kind").text() == "List":
		for item := range n.get("items").items() {
			x.document(item)
		}
	case n.get("apiVersion").there() && n.get("kind").there():
		x.object(n)
	case meshOf(n).there():
		x.mesh(meshOf(n))
	default:
		x.envoy(n)
	}
}

// object files a Kubernetes object by its kind.
func (x *exam) object(n node) {
	group, _, _ := strings.Cut(n.get("apiVersion").text(), "/")
	kind := n.get("kind").text()
	switch {
	case kind == "ConfigMap" && n.get("data/mesh").there():
		x.inner(n.get("data/mesh"))
	case meshOf(n.get("spec/meshConfig")).there():
		x.mesh(n.get("spec/meshConfig"))
	case group == "security.istio.io" && kind == "AuthorizationPolicy" && n.get("spec/action").text() == "CUSTOM":
		x.custom = append(x.custom, n)
	case kind == "HTTPProxy" && n.get("spec/virtualhost/authorization").there():
		x.asks = append(x.asks, ask{product: contour, node: n.get("spec/virtualhost/authorization"), object: n})
	case kind == "HTTPRoute":
		x.filters(n)
	case kind == "ContourConfiguration" && n.get("spec/globalExtAuth").there():
		x.asks = append(x.asks, ask{product: contour, node: n.get("spec/globalExtAuth"), object: n})
	case kind == "SecurityPolicy" && group == "gateway.envoyproxy.io" && n.get("spec/extAuth").there():
		x.asks = append(x.asks, ask{product: gateway, node: n.get("spec/extAuth"), object: n})
	}
	x.objects = append(x.objects, n)
}

// filters collects the filters of a Gateway API route that ask.
func (x *exam) filters(n node) {
	for r := range n.get("spec/rules").items() {
		for f := range r.get("filters").items() {
			if e := f.get("externalAuth"); e.there() {
				x.asks = append(x.asks, ask{product: gatewayAPI, node: e, object: n})
			}
		}
	}
}

// inner reads the document inside a text, and keeps its positions correct.
func (x *exam) inner(n node) {
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(n.text()), &root); err != nil || len(root.Content) == 0 {
		x.report(ruleYAML, n, "the mesh configuration in it is not YAML")
		return
	}
	place := node{file: n.file, line: n.y.Line - 1, col: n.y.Column}
	if n.y.Style&yaml.LiteralStyle != 0 { // it begins on the next line
		place.line, place.col = n.y.Line, 0
		for _, l := range x.lines[min(n.y.Line, len(x.lines)):] {
			if text := strings.TrimLeft(l, " "); text != "" {
				place.col = len(l) - len(text)
				break
			}
		}
	}
	inside := place.at(root.Content[0], n.path)
	if mesh := meshOf(inside); mesh.there() {
		x.mesh(mesh)
	}
}

// meshOf returns n, or its member meshConfig, if that names providers.
func meshOf(n node) node {
	for _, m := range []node{n, n.get("meshConfig")} {
		if m.get("extensionProviders").there() {
			return m
		}
	}
	return node{}
}

func (x *exam) mesh(n node) {
	x.meshes = append(x.meshes, n)
	for p := range n.get("extensionProviders").items() {
		if http := p.get("envoyExtAuthzHttp"); http.there() {
			x.asks = append(x.asks, ask{product: istio, node: http})
		}
		if grpc := p.get("envoyExtAuthzGrpc"); grpc.there() {
			x.asks = append(x.asks, ask{product: istio, node: grpc})
		}
	}
}

func itoa(i int) string { return strconv.Itoa(i) }

// look applies every rule to everything that was read.
func (x *exam) look() {
	x.settle()
	if len(x.asks)+len(x.custom) == 0 && len(x.found) == 0 {
		for _, n := range slices.Concat(x.bootstraps, x.objects) {
			x.report(ruleNothing, n, "nothing asks an authorization service")
			break
		}
	}
	for _, a := range x.asks {
		for key := range a.node.members() {
			if a.product.known != nil && !slices.Contains(a.product.known, camel(key.y.Value)) &&
				!strings.Contains(a.node.path, "Http") {
				x.unknown(key, a.product.name, a.product.known)
			}
		}
		for _, r := range askRules {
			r.find(x, a, x.teller(r.Rule))
		}
		x.way(a)
	}
	for _, m := range x.managers {
		m.scopes(func(scope node) {
			for _, o := range m.own(scope) { // a route may ask a different service than the filter
				if service := o.get("check_settings/grpc_service"); service.there() {
					x.way(ask{product: envoy, node: o.get("check_settings")})
				}
			}
		})
		for _, r := range managerRules {
			r.find(x, m, x.teller(r.Rule))
		}
	}
	for _, n := range slices.Concat(x.meshes, x.custom) {
		for _, r := range meshRules {
			r.find(x, n, x.teller(r.Rule))
		}
	}
	for _, n := range x.objects {
		for _, r := range gatewayRules {
			r.find(x, n, x.teller(r.Rule))
		}
	}
}

// way examines how the calls of a reach Stepward.
func (x *exam) way(a ask) {
	if name := a.node.get("grpc_service/envoy_grpc/cluster_name"); name.there() {
		for _, r := range clusterRules {
			r.find(x, cluster{name: name, node: x.cluster(name.text())}, x.teller(r.Rule))
		}
	}
	for _, h := range x.hops(a) {
		for _, r := range hopRules {
			r.find(x, h, x.teller(r.Rule))
		}
	}
}

func (x *exam) teller(r Rule) tell {
	return func(at node, format string, args ...any) *finding.Finding {
		return x.report(r, at, fmt.Sprintf(format, args...))
	}
}
