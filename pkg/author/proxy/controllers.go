package proxy

import (
	"slices"
	"strconv"
	"strings"

	"github.com/stepward/stepward/pkg/request"
)

// meshRule finds problems in Istio's configuration. It gets a mesh configuration, or an
// authorization policy that asks a provider.
type meshRule struct {
	Rule
	find func(x *exam, n node, tell tell)
}

// meshRules apply to Istio.
var meshRules = []meshRule{
	{Rule{"partial_rules", true,
		"a CUSTOM policy without `rules: [{}]`",
		"a request that no rule matches is not asked about, and other spellings of a path may not match",
		"write `rules: [{}]`; say in the policy what is public"}, partialRules},
	{Rule{"dry_run", true,
		"the annotation `istio.io/dry-run` on a CUSTOM policy",
		"Stepward is called, and its answer ignored",
		"leave it out; observe with `shadow: true` in the policy"}, dryRun},
	{Rule{"provider", true,
		"a CUSTOM policy names a provider that the mesh does not have",
		"Istio turns the policy into a denial of everything",
		"the name of one of `extensionProviders`"}, provider},
	{Rule{"provider_unseen", false,
		"a CUSTOM policy, and no mesh configuration among the files",
		"cannot tell whether the provider exists, whether it fails open, and whether the call to it is " +
			"encrypted as Stepward's listener expects",
		"also name the mesh configuration with `--envoy`: `kubectl -n istio-system get configmap istio -o yaml`"},
		unseen},
	{Rule{"headless", true,
		"the Service of a provider of Istio is headless",
		"sidecars and waypoints make ORIGINAL_DST of it: no call arrives, and no mTLS is chosen",
		"a Service with an address: `service.headless: false` in the chart; Istio balances over its endpoints " +
			"all the same"}, headless},
	{Rule{"mesh_paths", false,
		"`pathNormalization` of the mesh is not DECODE_AND_MERGE_SLASHES",
		"the gateway routes on one reading of a path, and the application may serve another; Stepward refuses " +
			"such requests, with 400",
		"write `pathNormalization: { normalization: DECODE_AND_MERGE_SLASHES }`"}, meshPaths},
}

func partialRules(_ *exam, n node, tell tell) {
	if n.get("kind").text() != "AuthorizationPolicy" {
		return
	}
	everything := false
	for r := range n.get("spec/rules").items() {
		conditions := 0
		for range r.members() {
			conditions++
		}
		everything = everything || conditions == 0
	}
	if rules := n.get("spec/rules"); !everything {
		tell(or(rules, n.get("spec")), "some requests are not asked about")
	}
}

func dryRun(_ *exam, n node, tell tell) {
	for key, value := range n.get("metadata/annotations").members() {
		if dry, _ := strconv.ParseBool(value.text()); key.y.Value == "istio.io/dry-run" && dry { // as Istio reads it
			tell(value, "istio.io/dry-run is %s", value.text())
		}
	}
}

func provider(x *exam, n node, tell tell) {
	if len(x.meshes) == 0 || n.get("kind").text() != "AuthorizationPolicy" {
		return
	}
	name := n.get("spec/provider/name")
	for _, mesh := range x.meshes {
		for p := range mesh.get("extensionProviders").items() {
			if p.get("name").text() == name.text() {
				return
			}
		}
	}
	tell(or(name, n.get("spec")), "no provider %q", name.text())
}

func meshPaths(_ *exam, n node, tell tell) {
	if !n.get("extensionProviders").there() {
		return
	}
	if v := n.get("pathNormalization/normalization"); v.text() != "DECODE_AND_MERGE_SLASHES" {
		tell(or(v, n), "pathNormalization is %s", or(v.text(), "not set"))
	}
}

// gatewayRule finds problems in objects of Envoy Gateway and Contour.
type gatewayRule struct {
	Rule
	find func(x *exam, n node, tell tell)
}

// gatewayRules apply to Envoy Gateway and Contour.
var gatewayRules = []gatewayRule{
	{Rule{"partial_target", false,
		"a SecurityPolicy that is attached to routes, and not to the Gateway",
		"a route that is added is not asked about",
		"a policy for the Gateway"}, partialTarget},
	{Rule{"overridden", true,
		"a SecurityPolicy without `extAuth` for a route or a listener, beside one that has it",
		"the more specific policy replaces the other as a whole: nobody is asked",
		"the same `extAuth` in it, or `mergeType: StrategicMerge`"}, overridden},
	{Rule{"filter_missing", true,
		"a rule of an HTTPRoute without ExternalAuth, whose backend another rule protects by it",
		"requests that match that rule are not judged",
		"the filter in every rule that leads to an application"}, filterMissing},
	{Rule{"patched", true,
		"an EnvoyFilter of Istio or an EnvoyPatchPolicy of Envoy Gateway that opens ext_authz",
		"what the provider or policy says is overruled, and requests go through without being judged",
		"leave it out"}, patched},
	{Rule{"gateway_paths", false,
		"a ClientTrafficPolicy that keeps escaped slashes, does not merge slashes, or allows underscores in " +
			"header names",
		"Envoy routes on one reading of a path, and the application may serve another; Stepward refuses such " +
			"requests, with 400",
		"write `escapedSlashesAction: RejectRequest`, `disableMergeSlashes: false`, `withUnderscoresAction: " +
			"RejectRequest`"}, gatewayPaths},
	{Rule{"contour_unasked", true,
		"`authPolicy.disabled` on a virtual host or route of Contour",
		"nobody is asked",
		"leave it out; say in the policy what is public: `level: anonymous`"}, contourUnasked},
	{Rule{"gateway_floor", true,
		"`contextExtensions` (Envoy Gateway), `authPolicy.context` (Contour) or annotations of a route that " +
			"Stepward does not understand",
		"every request of that route is answered 503 `route_config`",
		"write `stepward.level`, `stepward.max_age`, `stepward.policy` in extensions; annotations " +
			"`gateway.envoyproxy.io/stepward-level`, `-max-age`, `-policy`"}, gatewayFloor},
}

func partialTarget(_ *exam, n node, tell tell) {
	if n.get("kind").text() != "SecurityPolicy" || !n.get("spec/extAuth").there() {
		return
	}
	kinds := []string{n.get("spec/targetRef/kind").text()}
	for _, list := range []string{"spec/targetRefs", "spec/targetSelectors"} {
		for t := range n.get(list).items() {
			kinds = append(kinds, t.get("kind").text())
		}
	}
	if !slices.Contains(kinds, "Gateway") {
		tell(n.get("spec"), "not attached to a Gateway")
	}
}

// overridden finds policies that replace a policy that asks. A policy for a whole Gateway
// replaces none.
func overridden(x *exam, n node, tell tell) {
	asks := slices.ContainsFunc(x.asks, func(a ask) bool { return a.product.name == gateway.name })
	if n.get("kind").text() != "SecurityPolicy" || n.get("spec/extAuth").there() || n.get("spec/mergeType").there() ||
		!asks {
		return
	}
	targets := []node{n.get("spec/targetRef")}
	for _, list := range []string{"spec/targetRefs", "spec/targetSelectors"} {
		targets = slices.AppendSeq(targets, n.get(list).items())
	}
	for _, t := range targets {
		if t.there() && (t.get("kind").text() != "Gateway" || t.get("sectionName").there()) {
			tell(t, "it has no extAuth")
		}
	}
}

// backends returns the names of the backends of an HTTPRoute rule, and whether the rule
// asks.
func backends(route, rule node) (names []string, asks bool) {
	for b := range rule.get("backendRefs").items() {
		namespace := or(b.get("namespace").text(), route.get("metadata/namespace").text())
		names = append(names, namespace+"/"+b.get("name").text())
	}
	for f := range rule.get("filters").items() {
		asks = asks || f.get("externalAuth").there()
	}
	return names, asks
}

func filterMissing(x *exam, n node, tell tell) {
	protected := map[string]bool{}
	for _, route := range x.objects {
		for r := range route.get("spec/rules").items() {
			names, asks := backends(route, r)
			for _, name := range names {
				protected[name] = protected[name] || asks
			}
		}
	}
	if n.get("kind").text() != "HTTPRoute" {
		return
	}
	for r := range n.get("spec/rules").items() {
		names, asks := backends(n, r)
		if i := slices.IndexFunc(names, func(name string) bool { return protected[name] }); i >= 0 && !asks {
			tell(r, "no ExternalAuth, and backend %s", names[i])
		}
	}
}

// patched examines patches that are merged into Envoy's configuration.
func patched(_ *exam, n node, tell tell) {
	if kind := n.get("kind").text(); kind != "EnvoyFilter" && kind != "EnvoyPatchPolicy" {
		return
	}
	n.get("spec").walk(func(o node) {
		for _, name := range []string{"failure_mode_allow", "shadow_mode", "disabled"} {
			set := o.get(name)
			if strings.HasSuffix(o.get("path").text(), "/"+name) {
				set = o.get("value")
			} else if !o.typed(typeFilter) && !o.typed(typePerRoute) &&
				!(name == "disabled" && o.get("typed_config").typed(typeFilter)) {
				continue
			}
			if set.yes() {
				tell(set, "%s is true", name)
			}
		}
		if f := o.get("filter_enabled"); o.typed(typeFilter) && f.there() && !whole(f.get("default_value")) {
			tell(f, "filter_enabled is below 100 percent")
		}
		if o.get("patch/operation").text() == "REMOVE" && strings.Contains(
			o.get("match/listener/filterChain/filter/subFilter/name").text(), "ext_authz") {
			tell(o.get("patch/operation"), "the filter is removed")
		}
	})
}

func gatewayPaths(_ *exam, n node, tell tell) {
	if n.get("kind").text() != "ClientTrafficPolicy" {
		return
	}
	for path, good := range map[string][]string{
		"spec/path/escapedSlashesAction":     {"RejectRequest", "UnescapeAndRedirect"},
		"spec/path/disableMergeSlashes":      {"false"},
		"spec/headers/withUnderscoresAction": {"RejectRequest", "DropHeader"},
	} {
		if v := n.get(path); v.there() && !slices.Contains(good, v.text()) {
			tell(v, "%s is %s", path[strings.LastIndex(path, "/")+1:], v.text())
		}
	}
}

// authPolicies returns the authorization policies of the virtual host and the routes of a
// Contour HTTPProxy.
func authPolicies(n node) []node {
	if n.get("kind").text() != "HTTPProxy" {
		return nil
	}
	all := []node{n.get("spec/virtualhost/authorization/authPolicy")}
	for r := range n.get("spec/routes").items() {
		all = append(all, r.get("authPolicy"))
	}
	return all
}

func contourUnasked(_ *exam, n node, tell tell) {
	for _, p := range authPolicies(n) {
		if d := p.get("disabled"); d.yes() {
			tell(d, "authPolicy is disabled").Fix = d.fix("false")
		}
	}
}

func gatewayFloor(x *exam, n node, tell tell) {
	if x.service.Route == nil {
		return
	}
	for _, p := range authPolicies(n) {
		if err := x.service.Route(request.Route{Extensions: p.get("context").strings()}); err != nil {
			tell(p.get("context"), "%v", err)
		}
	}
	extensions := map[string]string{}
	list := n.get("spec/extAuth/contextExtensions")
	for e := range list.items() {
		if e.get("value").there() {
			extensions[e.get("name").text()] = e.get("value").text()
		}
	}
	if err := x.service.Route(request.Route{Extensions: extensions}); err != nil {
		tell(list, "%v", err)
	}
	for key, value := range n.get("metadata/annotations").members() {
		name, ours := strings.CutPrefix(key.y.Value, "gateway.envoyproxy.io/")
		if !ours || !strings.HasPrefix(name, "stepward-") {
			continue
		}
		resource := map[string]any{"annotations": map[string]any{name: value.text()}}
		if err := x.service.Route(request.Route{Metadata: map[string]map[string]any{
			"envoy-gateway": {"resources": []any{resource}}}}); err != nil {
			tell(value, "%v", err)
		}
	}
}
