package proxy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/stepward/stepward/pkg/finding"
)

// product is how one proxy spells its settings; an empty name is what it cannot do.
type product struct {
	name                                     string
	failOpen, status, timeout, reroute, body string
	metadata, certificate, session, hidden   string
	http                                     string        // that the service is asked by HTTP
	patience                                 time.Duration // where no timeout is said
	known                                    []string      // every setting, where no type of ours knows
}

var (
	envoy = product{
		name: "Envoy", failOpen: "failure_mode_allow", status: "status_on_error/code", timeout: "grpc_service/timeout",
		reroute: "clear_route_cache",
		body:    "with_request_body", metadata: "route_metadata_context_namespaces",
		certificate: "include_peer_certificate", session: "include_tls_session",
		hidden: "allowed_headers", http: "http_service", patience: 200 * time.Millisecond,
	}
	istio = product{
		name: "Istio", failOpen: "failOpen", status: "statusOnError", timeout: "timeout", reroute: "clearRouteCache",
		body: "includeRequestBodyInCheck",
		http: "pathPrefix", patience: 600 * time.Second,
		known: []string{"service", "port", "timeout", "failOpen", "clearRouteCache", "statusOnError",
			"includeRequestBodyInCheck"},
	}
	gateway = product{
		name: "Envoy Gateway", failOpen: "failOpen", status: "statusOnError", timeout: "timeout",
		reroute: "recomputeRoute", body: "bodyToExtAuth",
		metadata: "includeRouteMetadata", hidden: "headersToExtAuth", http: "http", patience: 10 * time.Second,
		known: []string{"grpc", "http", "headersToExtAuth", "bodyToExtAuth", "timeout", "failOpen", "recomputeRoute",
			"includeRouteMetadata", "contextExtensions", "statusOnError"},
	}
	contour = product{
		name: "Contour", failOpen: "failOpen", timeout: "responseTimeout", body: "withRequestBody",
		patience: 2 * time.Second,
		known:    []string{"extensionRef", "responseTimeout", "failOpen", "authPolicy", "withRequestBody"},
	}
	gatewayAPI = product{
		name: "Gateway API", body: "forwardBody", hidden: "grpc/allowedHeaders", http: "http",
		known: []string{"protocol", "backendRef", "grpc", "http", "forwardBody"},
	}
)

// tell adds a finding at a place. What it returns may be given a fix.
type tell func(at node, format string, args ...any) *finding.Finding

// askRule finds trouble where a service is asked.
type askRule struct {
	Rule
	find func(x *exam, a ask, tell tell)
}

// askRules are about every place where a service is asked, whatever asks.
var askRules = []askRule{
	{Rule{"fail_open", true, "`failure_mode_allow` (Envoy) or `failOpen` (elsewhere) is true",
		"what nobody judged goes through whenever Stepward cannot be reached", "write `false`"}, failOpen},
	{Rule{"error_status", false, "`status_on_error` is missing, or no 5xx",
		"an outage looks like a decision of the policy, as the default is 403", "write 503 (`ServiceUnavailable`)"},
		errorStatus},
	{
		Rule{"check_timeout", false,
			"no timeout, one of more than 5 s, or one that is no longer than Stepward's `limits.deadline`",
			"a service that hangs holds every request, or Envoy gives up before Stepward answers with a reason",
			"write 0.25s, and longer than `limits.deadline`"}, checkTimeout},
	{Rule{"http_service", true, "the service is asked by HTTP",
		"Stepward answers Check of envoy.service.auth.v3 over gRPC, and nothing else: every request fails",
		"write `grpc_service` (Envoy), `envoyExtAuthzGrpc` (Istio), `grpc` (Envoy Gateway, Gateway API)"}, httpService},
	{Rule{"reroute", true, "`clear_route_cache`, `clearRouteCache` or `recomputeRoute` is true",
		"headers that are set after the decision choose another route, which was not judged", "write `false`"},
		reroute},
	{
		Rule{"headers_hidden", true,
			"`allowed_headers`, `disallowed_headers`, `headersToExtAuth` or `allowedHeaders` keep headers from Stepward", "what it is not shown it can neither judge nor remove: forged identity headers in other spellings go through", "leave it out: all headers are sent"}, headersHidden},
	{Rule{"no_body", true, "the policy reads `input.request.body`, and no body is sent",
		"a rule that comes to the body answers 400 `body_unreadable` to every request that has one",
		"write `with_request_body: { max_request_bytes: 8192, allow_partial_message: true, pack_as_bytes: true }`, or its like"}, noBody},
	{Rule{"body_refused", false, "bodies are sent whole or not at all",
		"Envoy answers 413 to every larger request, without asking",
		"write `allow_partial_message: true`; a body that was cut off is `input.request.body.truncated`"}, bodyRefused},
	{Rule{"body_as_text", false, "the policy reads `input.request.body`, and bodies are sent as text",
		"Envoy puts `!` in place of bytes that are not UTF-8: another body is judged than the application reads",
		"write `pack_as_bytes: true`, where the filter is and not on a route"}, bodyAsText},
	{
		Rule{"no_route_metadata", true,
			"the policy reads `input.route.metadata`, or a route sets a floor in its metadata, and the namespace is not sent", "the floor does not hold; rules judge metadata that is never there", "write `route_metadata_context_namespaces: [stepward]` (Envoy), `includeRouteMetadata: true` (Envoy Gateway); others cannot send any"}, noRouteMetadata},
	{Rule{"no_certificate", true, "the policy reads `input.source.certificate`, and it is not sent",
		"its rules judge a certificate that is never there",
		"write `include_peer_certificate: true`; others cannot send it"}, noCertificate},
	{Rule{"no_sni", true, "the policy reads `input.tls.sni`, and it is not sent",
		"its rules judge a name that is never there", "write `include_tls_session: true`; others cannot send it"},
		noSNI},
	{Rule{"port", false, "no endpoint has the address of `listen`",
		"Envoy asks somewhere else, unless a Service or a NAT leads to it", "the address of `listen` in stepward.yaml"},
		port},
	{Rule{"api_version", true, "`transport_api_version` is V2", "Envoy refuses the file",
		"write `V3`, or leave it out"}, apiVersion},
	{
		Rule{"partly_asked", true,
			"`filter_enabled`, `filter_enabled_metadata`, `shadow_mode` or `disabled` on the filter",
			"requests go through unasked, or whatever is answered",
			"leave it out; observe with `shadow: true` in the policy"}, partlyAsked},
	{Rule{"mutation_rules_unset", false, "no `decoder_header_mutation_rules`",
		"nothing but Stepward itself keeps a policy from headers that steer Envoy",
		"the rule that `stepward validate --mutation-rule` prints"}, mutationsUnset},
	{Rule{"mutation_rule", true, "`decoder_header_mutation_rules` do not permit a name that Stepward sets or removes",
		"with `disallow_is_error` every request is a 500; without it the client's forged header reaches the application", "the rule that `stepward validate --mutation-rule` prints"}, mutationNames},
	{Rule{"mutation_rule_silent", true, "`decoder_header_mutation_rules` without `disallow_is_error`",
		"a removal that the rules forbid is silently skipped: the client's forged header reaches the application",
		"write `disallow_is_error: true`"}, mutationsSilent},
	{Rule{"mutations_unchecked", false, "`validate_mutations` is not true",
		"CR and LF in a header would split a response; Stepward refuses to send one, and is then the only one that does", "write `true`"}, unchecked},
	{Rule{"headers_joined", false, "`encode_raw_headers` is not true",
		"repeated headers arrive joined by commas, and bytes that are no text are replaced", "write `true`"}, joined},
	{
		Rule{
			"retry", false,
			"a `retry_policy` without `retry_on`, or without a `retry_back_off.max_interval` below the timeout",
			"it retries nothing, or waits for longer than a Check may take: max_interval is also the time of one try",
			"write `retry_on: unavailable,cancelled,connect-failure,refused-stream,reset` and `retry_back_off: { base_interval: 0.005s, max_interval: 0.12s }`"}, retry},
	{Rule{"try_unbounded", false, "a `retry_policy`, and a cluster without a `max_stream_duration` below the timeout",
		"a replica that hangs uses up the time of the retry on another; from Envoy 1.41 on max_interval does not bound a try any more", "write `common_http_protocol_options: { max_stream_duration: 0.12s }` in HttpProtocolOptions of the cluster"}, tryUnbounded},
}

func failOpen(_ *exam, a ask, tell tell) {
	if n := a.node.get(a.product.failOpen); n.yes() {
		tell(n, "%s is true", a.product.failOpen).Fix = n.fix("false")
	}
}

func errorStatus(_ *exam, a ask, tell tell) {
	name, _, _ := strings.Cut(a.product.status, "/")
	n := a.node.get(a.product.status)
	if name == "" {
		return // it is not ours to say
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
		case a.product.name == envoy.name && namespace == "" && len(sent.texts()) == 0, a.product.name == envoy.name &&
			namespace != "" && !slices.Contains(sent.texts(), namespace):
			tell(a.node, "the metadata of routes%s is needed, and not sent", in(namespace))
			return
		}
	}
}

func in(namespace string) string {
	if namespace == "" {
		return ""
	}
	return fmt.Sprintf(" in namespace %q", namespace)
}

// namespaces of route metadata that the policy reads or that set floors; empty for one
// whose name is computed.
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

// port compares the port that controllers name; a cluster of Envoy has rules
// of its own.
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
	// Envoy calls v3 where nothing is said, and where AUTO is.
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

// whole reports whether a fraction is all of it.
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

// limit is the time for a Check of Envoy.
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
