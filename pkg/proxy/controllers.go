package proxy

import (
	"slices"
	"strings"

	"github.com/stepward/stepward/pkg/request"
)

// meshRule finds trouble in what Istio was told: n is a mesh configuration, or an
// authorization policy that asks a provider.
type meshRule struct {
	Rule
	find func(x *exam, n node, tell tell)
}

// meshRules are about Istio.
var meshRules = []meshRule{
	{Rule{"partial_rules", true, "a CUSTOM policy without `rules: [{}]`", "a request that no rule matches is not asked about, and other spellings of a path may not match", "write `rules: [{}]`; say in the policy what is public"}, partialRules},
	{Rule{"dry_run", true, "the annotation `istio.io/dry-run` on a CUSTOM policy", "Stepward is called, and its answer ignored", "leave it out; observe with `shadow: true` in the policy"}, dryRun},
	{Rule{"provider", true, "a CUSTOM policy names a provider that the mesh does not have", "Istio turns the policy into a denial of everything", "the name of one of `extensionProviders`"}, provider},
	{Rule{"mesh_paths", false, "`pathNormalization` of the mesh is not DECODE_AND_MERGE_SLASHES", "the gateway routes on one reading of a path, and the application may serve another; Stepward refuses such requests, with 400", "write `pathNormalization: { normalization: DECODE_AND_MERGE_SLASHES }`"}, meshPaths},
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
		if key.y.Value == "istio.io/dry-run" && value.text() == "true" {
			tell(value, "istio.io/dry-run is true")
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

// gatewayRule finds trouble in objects of Envoy Gateway and Contour.
type gatewayRule struct {
	Rule
	find func(x *exam, n node, tell tell)
}

// gatewayRules are about Envoy Gateway and Contour.
var gatewayRules = []gatewayRule{
	{Rule{"partial_target", false, "a SecurityPolicy that is attached to routes, and not to the Gateway", "a route that is added is not asked about", "a policy for the Gateway"}, partialTarget},
	{Rule{"gateway_paths", false, "a ClientTrafficPolicy that keeps escaped slashes, does not merge slashes, or allows underscores in header names", "Envoy routes on one reading of a path, and the application may serve another; Stepward refuses such requests, with 400", "write `escapedSlashesAction: RejectRequest`, `disableMergeSlashes: false`, `withUnderscoresAction: RejectRequest`"}, gatewayPaths},
	{Rule{"contour_unasked", true, "`authPolicy.disabled` on a virtual host or route of Contour", "nobody is asked", "leave it out; say in the policy what is public: `level: anonymous`"}, contourUnasked},
	{Rule{"gateway_floor", true, "`contextExtensions` (Envoy Gateway), `authPolicy.context` (Contour) or annotations of a route that Stepward does not understand", "every request of that route is answered 503 `route_config`", "write `stepward.level`, `stepward.max_age`, `stepward.policy` in extensions; annotations `gateway.envoyproxy.io/stepward-level`, `-max-age`, `-policy`"}, gatewayFloor},
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

// authPolicies are those of the virtual host and the routes of an HTTPProxy of Contour.
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
		if err := x.service.Route(request.Route{Metadata: map[string]map[string]any{"envoy-gateway": {"resources": []any{resource}}}}); err != nil {
			tell(value, "%v", err)
		}
	}
}
