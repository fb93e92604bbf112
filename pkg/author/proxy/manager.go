package proxy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stepward/stepward/pkg/request"
)

// managerRule finds problems in an Envoy connection manager.
type managerRule struct {
	Rule
	find func(x *exam, m manager, tell tell)
}

// managerRules apply to Envoy's connection managers and their routes.
var managerRules = []managerRule{
	{Rule{"unasked", true,
		"a connection manager without the filter, whose routes lead to a cluster that another one protects",
		"requests to that listener are not judged",
		"the filter in every listener that leads to an application"}, unasked},
	{Rule{"route_unasked", true,
		"the filter is disabled, for some route or as such",
		"nobody is asked",
		"remove `disabled`; say in the policy what is public: `level: anonymous`"}, routeUnasked},
	{Rule{"route_body", true,
		"`disable_request_body_buffering` on a route, and the policy reads bodies",
		"a rule that reads the body answers 400 `body_unreadable` to every request that has one",
		"leave it out"}, routeBody},
	{Rule{"floor", true,
		"context extensions or metadata of a route that Stepward does not understand",
		"every request of that route is answered 503 `route_config`",
		"write `stepward.level`, `stepward.max_age`, `stepward.policy` in extensions; `level`, `max_age`, " +
			"`policy` in metadata"}, floor},
	{Rule{"no_catch_all", false,
		"no virtual host for `*`, or a last route that does not take everything",
		"Envoy answers 404 to the rest without asking anyone",
		"a last route with `match: { prefix: / }`"}, noCatchAll},
	{Rule{"filter_after", false,
		"a filter after ext_authz that may change a request or its route",
		"the application gets a different request from the one that was judged",
		"put it before ext_authz"}, filterAfter},
	{Rule{"paths", false,
		"`normalize_path` or `merge_slashes` is not true",
		"Envoy routes on one reading of a path, and the application may serve another; Stepward refuses such " +
			"requests, with 400",
		"write `true`"}, paths},
	{Rule{"escaped_slashes", false,
		"`path_with_escaped_slashes_action` is neither REJECT_REQUEST nor UNESCAPE_AND_REDIRECT",
		"`%2F` is a slash to some applications and not to others; Stepward refuses it, with 400",
		"write `REJECT_REQUEST`"}, escapedSlashes},
	{Rule{"underscores", false,
		"`headers_with_underscores_action` is neither REJECT_REQUEST nor DROP_HEADER",
		"`x_stepward_subject` is `x-stepward-subject` to many applications; Stepward removes it, but is then " +
			"the only safeguard",
		"write `REJECT_REQUEST`"}, underscores},
	{Rule{"remote_address", false,
		"`use_remote_address` is not true",
		"`x-forwarded-*` and `x-envoy-*` of the client are believed",
		"write `true`"}, remoteAddress},
	{Rule{"internal", false,
		"`internal_address_config` has no `cidr_ranges`, or one of every address",
		"clients on private addresses, and clients behind a NAT, are internal: their `x-envoy-*` headers steer " +
			"retries, timeouts and the path in logs, and reach the application",
		"write `internal_address_config: { cidr_ranges: [ { address_prefix: 255.255.255.255, prefix_len: 32 } " +
			"] }`: nobody"}, internal},
	{Rule{"hops", false,
		"`xff_num_trusted_hops` is not `request.trusted_hops`",
		"`input.source.client_address` is another's address",
		"the same number in both"}, hops},
}

func unasked(x *exam, m manager, tell tell) {
	if m.filter.there() {
		return
	}
	for _, other := range x.managers {
		for cluster := range m.forwards {
			if other.filter.there() && other.forwards[cluster] {
				tell(m.node, "no ext_authz filter, and a route to cluster %q", cluster)
				return
			}
		}
	}
}

func routeUnasked(_ *exam, m manager, tell tell) {
	for _, f := range m.asking {
		if n := f.get("disabled"); n.yes() {
			tell(n, "the filter is disabled").Fix = n.fix("false")
		}
	}
	m.scopes(func(scope node) {
		for _, o := range m.own(scope) {
			if n := o.get("disabled"); n.yes() {
				tell(n, "ext_authz is disabled here")
			}
		}
	})
}

func routeBody(x *exam, m manager, tell tell) {
	m.scopes(func(scope node) {
		for _, o := range m.own(scope) {
			if n := o.get("check_settings/disable_request_body_buffering"); n.yes() && x.service.reads(
				"request", "body") {
				tell(n, "the policy reads input.request.body, and no body is sent here")
			}
		}
	})
}

func floor(x *exam, m manager, tell tell) {
	if x.service.Route == nil {
		return
	}
	m.scopes(func(scope node) {
		for _, o := range m.own(scope) {
			extensions := o.get("check_settings/context_extensions")
			if err := x.service.Route(request.Route{Extensions: extensions.strings()}); err != nil {
				tell(extensions, "%v", err)
			}
		}
		metadata := scope.get("metadata/filter_metadata/stepward")
		if said, ok := metadata.value().(map[string]any); ok {
			if err := x.service.Route(request.Route{Metadata: map[string]map[string]any{
				"stepward": said}}); err != nil {
				tell(metadata, "%v", err)
			}
		}
	})
}

func noCatchAll(_ *exam, m manager, tell tell) {
	if !m.filter.there() || !m.routes.get("virtual_hosts").there() {
		return
	}
	everyone := false
	m.hosts(func(host node) {
		everyone = everyone || slices.Contains(host.get("domains").texts(), "*")
		var last node
		for r := range host.get("routes").items() {
			last = r
		}
		match := last.get("match")
		whole := match.get("prefix").text() == "/" && !match.get("headers").there() &&
			!match.get("query_parameters").there() && !match.get("runtime_fraction").there()
		if !whole {
			tell(host, "the last route of virtual host %s does not take everything", host.get("name").text())
		}
	})
	if !everyone {
		tell(m.routes, "no virtual host for every domain")
	}
}

// harmless lists filters that leave a request and its route alone, by their message.
var harmless = []string{
	"router.v3.Router", "upstream_codec", "compressor.", "decompressor.", "cors.", "rbac.", "grpc_stats.", "grpc_web.",
	"ratelimit.", "rate_limit_quota.",
	"fault.", "tap.", "buffer.", "health_check.", "admission_control.", "adaptive_concurrency.", "bandwidth_limit.",
	"stateful_session.", "custom_response.",
	"ext_authz.", "cache.", "local_ratelimit.", "csrf.", "connect_grpc_bridge.", "grpc_http1_bridge.", "kill_request.",
	"on_demand.",
}

func filterAfter(_ *exam, m manager, tell tell) {
	after := false
	for f := range m.node.get("http_filters").items() {
		kind := f.get("typed_config/@type").text()
		if f.y == m.filter.y {
			after = true
			continue
		}
		if after && !slices.ContainsFunc(harmless, func(h string) bool {
			return strings.Contains(kind, "filters.http."+h)
		}) {
			tell(f, "%s comes after ext_authz", or(f.get("name").text(), kind))
		}
	}
}

func paths(_ *exam, m manager, tell tell) {
	for _, name := range []string{"normalize_path", "merge_slashes"} {
		if n := m.node.get(name); m.filter.there() && !n.yes() {
			f := tell(or(n, m.node), "%s is not true", name)
			if n.no() {
				f.Fix = n.fix("true")
			}
		}
	}
}

func escapedSlashes(_ *exam, m manager, tell tell) {
	n := m.node.get("path_with_escaped_slashes_action")
	if m.filter.there() && !slices.Contains([]string{"REJECT_REQUEST", "UNESCAPE_AND_REDIRECT"}, n.text()) {
		tell(or(n, m.node), "path_with_escaped_slashes_action is %s", or(n.text(), "not set"))
	}
}

func underscores(_ *exam, m manager, tell tell) {
	n := m.node.get("common_http_protocol_options/headers_with_underscores_action")
	if m.filter.there() && !slices.Contains([]string{"REJECT_REQUEST", "DROP_HEADER"}, n.text()) {
		tell(or(n, m.node), "headers_with_underscores_action is %s", or(n.text(), "not set"))
	}
}

func remoteAddress(_ *exam, m manager, tell tell) {
	if n := m.node.get("use_remote_address"); m.filter.there() && !n.yes() {
		tell(or(n, m.node), "use_remote_address is not true")
	}
}

// internal checks which clients count as internal. An empty list does not mean nobody: it
// means Envoy's default, all private addresses.
func internal(_ *exam, m manager, tell tell) {
	n := m.node.get("internal_address_config")
	if !m.filter.there() {
		return
	}
	ranges := n.get("cidr_ranges")
	some := false
	for r := range ranges.items() {
		some = true
		if length := r.get("prefix_len"); or(length.text(), "0") == "0" {
			tell(r, "every address is internal")
		}
	}
	if !some {
		tell(or(ranges, or(n, m.node)), "internal_address_config has no cidr_ranges")
	}
}

func hops(x *exam, m manager, tell tell) {
	n := m.node.get("xff_num_trusted_hops")
	if m.filter.there() && or(n.text(), "0") != fmt.Sprint(x.service.TrustedHops) {
		tell(or(n, m.node), "xff_num_trusted_hops is %s, and request.trusted_hops is %d", or(n.text(), "0"),
			x.service.TrustedHops)
	}
}

// or returns a, or b if a is empty.
func or[T comparable](a, b T) T {
	var nothing T
	if a == nothing {
		return b
	}
	return a
}
