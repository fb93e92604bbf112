package proxy

import (
	"time"

	"github.com/stepward/stepward/pkg/finding"
)

// product says how one proxy spells its settings; an empty name means that it cannot do
// that.
type product struct {
	name                                     string
	failOpen, status, timeout, reroute, body string
	metadata, certificate, session, hidden   string
	http                                     string        // asks the service by HTTP
	patience                                 time.Duration // if no timeout is set
	known                                    []string      // every setting, if we have no type for it
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

// tell adds a finding at a node. The caller may give the finding a fix.
type tell func(at node, format string, args ...any) *finding.Finding

// askRule finds problems where a service is asked.
type askRule struct {
	Rule
	find func(x *exam, a ask, tell tell)
}

// askRules apply to every place where a service is asked, whatever asks it.
var askRules = []askRule{
	{Rule{"fail_open", true,
		"`failure_mode_allow` (Envoy) or `failOpen` (elsewhere) is true",
		"requests go through without being judged whenever Stepward cannot be reached",
		"write `false`"}, failOpen},
	{Rule{"error_status", false,
		"`status_on_error` is missing, or not a 5xx",
		"an outage looks like a decision of the policy, as the default is 403",
		"write 503 (`ServiceUnavailable`)"}, errorStatus},
	{Rule{"check_timeout", false,
		"no timeout, one of more than 5 s, or one that is no longer than Stepward's `limits.deadline`",
		"a service that hangs holds every request, or Envoy gives up before Stepward answers with a reason",
		"write 0.25s, and longer than `limits.deadline`"}, checkTimeout},
	{Rule{"http_service", true,
		"the service is asked by HTTP",
		"Stepward answers Check of envoy.service.auth.v3 over gRPC, and nothing else: every request fails",
		"write `grpc_service` (Envoy), `envoyExtAuthzGrpc` (Istio), `grpc` (Envoy Gateway, Gateway API)"}, httpService},
	{Rule{"reroute", true,
		"`clear_route_cache`, `clearRouteCache` or `recomputeRoute` is true",
		"headers that are set after the decision choose another route, which was not judged",
		"write `false`"}, reroute},
	{Rule{"headers_hidden", true,
		"`allowed_headers`, `disallowed_headers`, `headersToExtAuth` or `allowedHeaders` keep headers from " +
			"Stepward",
		"what it is not shown it can neither judge nor remove: forged identity headers in other spellings go " +
			"through",
		"leave it out: all headers are sent"}, headersHidden},
	{Rule{"no_body", true,
		"the policy reads `input.request.body`, and no body is sent",
		"a rule that reads the body answers 400 `body_unreadable` to every request that has one",
		"write `with_request_body: { max_request_bytes: 8192, allow_partial_message: true, pack_as_bytes: true " +
			"}`, or the equivalent"}, noBody},
	{Rule{"body_refused", false,
		"bodies are sent whole or not at all",
		"Envoy answers 413 to every larger request, without asking",
		"write `allow_partial_message: true`; a body that was cut off is `input.request.body.truncated`"}, bodyRefused},
	{Rule{"body_as_text", false,
		"the policy reads `input.request.body`, and bodies are sent as text",
		"Envoy puts `!` in place of bytes that are not UTF-8: Stepward judges another body than the " +
			"application reads",
		"write `pack_as_bytes: true`, where the filter is and not on a route"}, bodyAsText},
	{Rule{"no_route_metadata", true,
		"the policy reads `input.route.metadata`, or a route sets a floor in its metadata, and the namespace " +
			"is not sent",
		"the floor does not hold; rules judge metadata that is never there",
		"write `route_metadata_context_namespaces: [stepward]` (Envoy), `includeRouteMetadata: true` (Envoy " +
			"Gateway); others cannot send any"}, noRouteMetadata},
	{Rule{"no_certificate", true,
		"the policy reads `input.source.certificate`, and it is not sent",
		"its rules judge a certificate that is never there",
		"write `include_peer_certificate: true`; others cannot send it"}, noCertificate},
	{Rule{"no_sni", true,
		"the policy reads `input.tls.sni`, and it is not sent",
		"its rules judge a name that is never there",
		"write `include_tls_session: true`; others cannot send it"}, noSNI},
	{Rule{"port", false,
		"no endpoint has the address of `listen`",
		"Envoy asks somewhere else, unless a Service or a NAT leads to it",
		"the address of `listen` in stepward.yaml"}, port},
	{Rule{"api_version", true,
		"`transport_api_version` is V2",
		"Envoy refuses the file",
		"write `V3`, or leave it out"}, apiVersion},
	{Rule{"partly_asked", true,
		"`filter_enabled`, `filter_enabled_metadata`, `shadow_mode` or `disabled` on the filter",
		"requests go through without being judged, or whatever the answer is",
		"leave it out; observe with `shadow: true` in the policy"}, partlyAsked},
	{Rule{"mutation_rules_unset", false,
		"no `decoder_header_mutation_rules`",
		"only Stepward itself keeps a policy from setting headers that steer Envoy",
		"the rule that `stepward validate --mutation-rule` prints"}, mutationsUnset},
	{Rule{"mutation_rule", true,
		"`decoder_header_mutation_rules` do not permit a name that Stepward sets or removes",
		"with `disallow_is_error` every request is a 500; without it the client's forged header reaches the " +
			"application",
		"the rule that `stepward validate --mutation-rule` prints"}, mutationNames},
	{Rule{"mutation_rule_silent", true,
		"`decoder_header_mutation_rules` without `disallow_is_error`",
		"a removal that the rules forbid is silently skipped: the client's forged header reaches the " +
			"application",
		"write `disallow_is_error: true`"}, mutationsSilent},
	{Rule{"mutations_unchecked", false,
		"`validate_mutations` is not true",
		"CR and LF in a header would split a response; Stepward refuses to send one, but is then the only " +
			"safeguard",
		"write `true`"}, unchecked},
	{Rule{"headers_joined", false,
		"`encode_raw_headers` is not true",
		"repeated headers arrive joined by commas, and bytes that are not text are replaced",
		"write `true`"}, joined},
	{Rule{"retry", false,
		"a `retry_policy` without `retry_on`, or without a `retry_back_off.max_interval` below the timeout",
		"it retries nothing, or waits longer than a Check may take: max_interval is also the time of one try",
		"write `retry_on: unavailable,cancelled,connect-failure,refused-stream,reset` and `retry_back_off: { " +
			"base_interval: 0.005s, max_interval: 0.12s }`"}, retry},
	{Rule{"try_unbounded", false,
		"a `retry_policy`, and a cluster without a `max_stream_duration` below the timeout",
		"a replica that hangs uses up the time of the retry on another; from Envoy 1.41 on max_interval no " +
			"longer bounds a try",
		"write `common_http_protocol_options: { max_stream_duration: 0.12s }` in HttpProtocolOptions of the " +
			"cluster"}, tryUnbounded},
}
