package proxy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
)

func failOpen(_ *exam, a ask, tell tell) {
	if n := a.node.get(a.product.failOpen); n.yes() {
		tell(n, "%s is true", a.product.failOpen).Fix = n.fix("false")
	}
}

func errorStatus(_ *exam, a ask, tell tell) {
	name, _, _ := strings.Cut(a.product.status, "/")
	n := a.node.get(a.product.status)
	if name == "" {
		return // that is not for us to say
	}
	if !n.there() {
		tell(a.node, "no %s", name)
		return
	}
	code, err := strconv.Atoi(n.text())
	if err != nil {
		code = int(typev3.StatusCode_value[n.text()])
	}
	if code < 500 || code > 599 {
		tell(n, "%s is %s", name, n.text())
	}
}

func checkTimeout(x *exam, a ask, tell tell) {
	n := a.node.get(a.product.timeout)
	d, ok := n.duration()
	switch {
	case a.node.get(a.product.http).there(), a.product.timeout == "":
	case !n.there() || !ok:
		tell(a.node, "no timeout, and %s are the default of %s", a.product.patience, a.product.name)
	case d > 5*time.Second || d == 0:
		tell(n, "the timeout is %s", n.text())
	case d <= x.service.Deadline:
		tell(n, "the timeout of %s is no longer than limits.deadline, %s", n.text(), x.service.Deadline)
	}
}

func httpService(_ *exam, a ask, tell tell) {
	if n := a.node.get(a.product.http); n.there() {
		tell(n, "%s asks by HTTP", a.product.name)
	} else if a.product.name == istio.name && strings.Contains(a.node.path, "envoyExtAuthzHttp") {
		tell(a.node, "%s asks by HTTP", a.product.name)
	}
}

func reroute(_ *exam, a ask, tell tell) {
	if n := a.node.get(a.product.reroute); n.yes() {
		tell(n, "%s is true", a.product.reroute).Fix = n.fix("false")
	}
}

func headersHidden(_ *exam, a ask, tell tell) {
	for _, name := range []string{a.product.hidden, "disallowed_headers"} {
		if n := a.node.get(name); name != "" && n.there() {
			tell(n, "%s is set", name)
		}
	}
}

func noBody(x *exam, a ask, tell tell) {
	if x.service.reads("request", "body") && !a.node.get(a.product.body).there() {
		tell(a.node, "the policy reads input.request.body, and %s is not set", a.product.body)
	}
}

func bodyRefused(_ *exam, a ask, tell tell) {
	n := a.node.get(a.product.body)
	partial := a.product.name == envoy.name || a.product.name == istio.name || a.product.name == contour.name
	if partial && n.there() && !n.get("allow_partial_message").yes() {
		tell(n, "%s without allow_partial_message", a.product.body)
	}
}

func bodyAsText(x *exam, a ask, tell tell) {
	n := a.node.get(a.product.body)
	packs := a.product.name == envoy.name || a.product.name == istio.name || a.product.name == contour.name
	if packs && n.there() && x.service.reads("request", "body") && !n.get("pack_as_bytes").yes() {
		tell(n, "%s without pack_as_bytes", a.product.body)
	}
}

func noRouteMetadata(x *exam, a ask, tell tell) {
	sent := a.node.get(a.product.metadata)
	for _, namespace := range x.namespaces() {
		switch {
		case a.product.metadata == "":
			tell(a.node, "the policy reads input.route.metadata")
			return
		case a.product.name == gateway.name && !sent.yes():
			tell(a.node, "route metadata is needed, and includeRouteMetadata is not true")
			return
		case a.product.name == envoy.name && !sends(sent.texts(), namespace):
			tell(a.node, "the metadata of routes%s is needed, and not sent", in(namespace))
			return
		}
	}
}

// sends reports whether a namespace is sent. A computed name may stand for any of them.
func sends(sent []string, namespace string) bool {
	return namespace == "" && len(sent) > 0 || namespace != "" && slices.Contains(sent, namespace)
}

func in(namespace string) string {
	if namespace == "" {
		return ""
	}
	return fmt.Sprintf(" in namespace %q", namespace)
}

// namespaces lists the namespaces of route metadata that the policy reads or that set
// floors; an empty one stands for a computed name.
func (x *exam) namespaces() []string {
	var all []string
	for _, r := range x.service.Reads {
		switch {
		case len(r) < 2 || r[0] != "route" || r[1] != "metadata":
		case len(r) == 2:
			all = append(all, "")
		default:
			all = append(all, r[2])
		}
	}
	for _, m := range x.managers {
		m.scopes(func(scope node) {
			if scope.get("metadata/filter_metadata/stepward").there() {
				all = append(all, "stepward")
			}
		})
	}
	for _, o := range x.objects {
		for key := range o.get("metadata/annotations").members() {
			if strings.HasPrefix(key.y.Value, "gateway.envoyproxy.io/stepward-") {
				all = append(all, "envoy-gateway")
			}
		}
	}
	return all
}

func noCertificate(x *exam, a ask, tell tell) {
	if x.service.reads("source", "certificate") && !a.node.get(a.product.certificate).yes() {
		tell(a.node, "the policy reads input.source.certificate, and it is not sent")
	}
}

func noSNI(x *exam, a ask, tell tell) {
	if x.service.reads("tls") && !a.node.get(a.product.session).yes() {
		tell(a.node, "the policy reads input.tls.sni, and it is not sent")
	}
}

// port compares the port that controllers name. Envoy clusters have their own rules.
func port(x *exam, a ask, tell tell) {
	ports := []node{a.node.get("port"), a.node.get("backendRef/port")}
	if ref := a.node.get("extensionRef"); ref.there() {
		namespace := or(ref.get("namespace").text(), a.object.namespace())
		for s := range x.find("projectcontour.io", "ExtensionService", namespace, ref.get("name").text()).get(
			"spec/services").items() {
			ports = append(ports, s.get("port"))
		}
	}
	for b := range a.node.get("grpc/backendRefs").items() {
		ports = append(ports, b.get("port"))
	}
	for _, p := range ports {
		if _, own, ok := x.service.address(); ok && p.there() && p.text() != own {
			tell(p, "port %s, and listen is %s", p.text(), x.service.Listen)
		}
	}
}

func apiVersion(_ *exam, a ask, tell tell) {
	if a.product.name != envoy.name {
		return
	}
	// Envoy calls v3 if the setting is absent or AUTO.
	if n := a.node.get("transport_api_version"); n.text() == "V2" || n.text() == "1" {
		tell(n, "transport_api_version is %s", n.text()).Fix = n.fix("V3")
	}
}

func partlyAsked(_ *exam, a ask, tell tell) {
	if a.product.name != envoy.name {
		return
	}
	if n := a.node.get("filter_enabled"); n.there() && !whole(n.get("default_value")) {
		tell(n, "filter_enabled is below 100 percent")
	}
	if n := a.node.get("filter_enabled_metadata"); n.there() {
		tell(n, "filter_enabled_metadata is set")
	}
	if n := a.node.get("shadow_mode"); n.yes() {
		tell(n, "shadow_mode is true").Fix = n.fix("false")
	}
}

// whole reports whether a fraction means every request.
func whole(n node) bool {
	of := map[string]string{"": "100", "HUNDRED": "100", "TEN_THOUSAND": "10000", "MILLION": "1000000"}
	return n.get("numerator").text() == of[n.get("denominator").text()]
}

func mutationsUnset(_ *exam, a ask, tell tell) {
	if a.product.name == envoy.name && !a.node.get("decoder_header_mutation_rules").there() {
		tell(a.node, "no decoder_header_mutation_rules")
	}
}

func mutationNames(x *exam, a ask, tell tell) {
	n := a.node.get("decoder_header_mutation_rules")
	if !n.there() {
		return
	}
	m, at, err := mutationsOf(n)
	if err != nil {
		tell(at, "not an expression: %v", err)
		return
	}
	var missing []string
	for _, name := range x.service.changed() {
		if !m.permits(name) {
			missing = append(missing, name)
		}
	}
	more := ""
	if k := len(missing); k == 0 {
		return
	} else if k > 3 {
		more, missing = fmt.Sprintf(" and %d more", k-3), missing[:3]
	}
	tell(n, "may not be changed, and must be: %s%s", strings.Join(missing, ", "), more).Hint =
		fmt.Sprintf("write allow_expression: { regex: %q }", Changes(x.service.HeaderPrefix, x.service.Headers))
}

func mutationsSilent(_ *exam, a ask, tell tell) {
	if n := a.node.get("decoder_header_mutation_rules"); n.there() && !n.get("disallow_is_error").yes() {
		tell(n, "no disallow_is_error")
	}
}

func unchecked(_ *exam, a ask, tell tell) {
	if a.product.name == envoy.name && !a.node.get("validate_mutations").yes() {
		tell(a.node, "validate_mutations is not true")
	}
}

func joined(_ *exam, a ask, tell tell) {
	if a.product.name == envoy.name && !a.node.get("encode_raw_headers").yes() {
		tell(a.node, "encode_raw_headers is not true")
	}
}

func retry(_ *exam, a ask, tell tell) {
	if a.product.name != envoy.name {
		return
	}
	n := a.node.get("grpc_service/retry_policy")
	if !n.there() {
		return
	}
	limit := a.limit()
	longest, ok := n.get("retry_back_off/max_interval").duration()
	switch {
	case n.get("retry_on").text() == "":
		tell(n, "no retry_on")
	case !ok:
		tell(n, "no retry_back_off.max_interval")
	case longest >= limit:
		tell(n.get("retry_back_off/max_interval"), "max_interval is not below the timeout")
	}
}

// limit returns the time that Envoy gives a Check.
func (a ask) limit() time.Duration {
	if d, _ := a.node.get("grpc_service/timeout").duration(); d != 0 {
		return d
	}
	return envoy.patience
}

func tryUnbounded(x *exam, a ask, tell tell) {
	name := a.node.get("grpc_service/envoy_grpc/cluster_name").text()
	c := cluster{node: x.cluster(name)}
	if !a.node.get("grpc_service/retry_policy").there() || !c.node.there() {
		return
	}
	n := c.protocol().get("common_http_protocol_options/max_stream_duration")
	switch d, ok := n.duration(); {
	case !ok:
		tell(c.node, "cluster %q has no max_stream_duration", name)
	case d == 0 || d >= a.limit():
		tell(n, "max_stream_duration is not below the timeout")
	}
}
