package proxy

import (
	"fmt"
	"strings"
)

// root is the namespace whose settings apply to a whole mesh, unless it was renamed.
const root = "istio-system"

// member says what the files reveal about Stepward's place in the mesh.
type member int

const (
	unsaid  member = iota
	outside        // told to stay out
	sidecar        // a sidecar ends the mesh's mTLS before Stepward
	ambient        // ztunnel does
)

// istioHop describes the call of an extension provider: as the DestinationRule of its host
// says, otherwise as Istio finds both ends capable.
func (x *exam) istioHop(provider node) hop {
	service := provider.get("service")
	host := serviceHost(service.text())
	h := hop{at: or(service, provider), to: host}
	namespace := ""
	if parts := strings.Split(host, "."); len(parts) > 2 && parts[2] == "svc" {
		namespace = parts[1]
	}
	if namespace == "" {
		h.doubt = "the host is not that of a Service, such as stepward.stepward.svc.cluster.local"
		return h
	}
	port := provider.get("port").text()
	rule := x.destination(host, namespace)
	tls := policyTLS(rule, port)
	if tls.there() {
		h.at = or(tls.get("mode"), tls)
	}
	place := x.place(namespace)
	strict, said := x.strictly(namespace, port)
	switch mode := tls.get("mode").text(); mode {
	case "SIMPLE", "MUTUAL":
		h.byRule(tls, mode)
		x.ruleTrouble(&h, rule, tls, sidecarSays{place, strict, said})
	case "DISABLE":
		h.wire, h.why = plainText, "DestinationRule with mode DISABLE"
		if strict && place == sidecar {
			h.broken = "Stepward's sidecar accepts only mTLS (PeerAuthentication STRICT), " +
				"and the DestinationRule has mode DISABLE"
		}
	default:
		h.byMesh(mode, place)
	}
	return h
}

// serviceHost returns the host of a provider's service, whose namespace may be in front of
// it.
func serviceHost(service string) string {
	if _, host, there := strings.Cut(service, "/"); there {
		return host
	}
	return service
}

// sidecarSays returns what Stepward's side of the mesh demands of a caller, as far as the
// files say.
type sidecarSays struct {
	place        member
	strict, said bool
}

// ruleTrouble says why a call may fail to arrive in the way that the DestinationRule says.
func (x *exam) ruleTrouble(h *hop, rule, tls node, own sidecarSays) {
	credential := tls.get("credentialName")
	switch place, strict := own.place, own.strict; {
	case place == sidecar && strict:
		h.broken = "Stepward's sidecar accepts only the mesh's own mTLS (PeerAuthentication STRICT)"
	case place == sidecar && !own.said:
		h.doubt = "Stepward's sidecar refuses it where a PeerAuthentication is STRICT, and none is in the files"
	case rule.get("spec/workloadSelector").there():
		h.doubt = "the DestinationRule applies to some callers only"
	case x.sidecarsAsk() && credential.there() && !strings.HasPrefix(credential.text(), "configmap://"):
		h.doubt = "a sidecar ignores credentialName in a DestinationRule without workloadSelector, " +
			"and calls in plain text"
	}
}

// byRule describes a call whose TLS Stepward itself ends.
func (h *hop) byRule(tls node, mode string) {
	h.wire, h.why, h.shows = speaksTLS, "DestinationRule with mode "+mode, mode == "MUTUAL"
	// Istio verifies the name by itself, unless it is told to send another one.
	named := len(tls.get("subjectAltNames").texts()) > 0 || tls.get("sni").text() == ""
	h.verified = named && !tls.get("insecureSkipVerify").yes()
}

// byMesh describes a call that Istio decides on: its own mTLS if Stepward's side ends it.
func (h *hop) byMesh(mode string, place member) {
	h.wire, h.why = plainText, "Istio's own mTLS ends before Stepward, and no DestinationRule has mode SIMPLE or MUTUAL"
	switch {
	case place == sidecar || place == ambient:
		h.guarded = true
	case place == outside && mode == "":
		h.why = "Stepward is outside of the mesh, and no DestinationRule is for its host"
	case place == outside:
		h.wire, h.verified, h.shows = speaksTLS, true, true
		h.why = "DestinationRule with mode " + mode + ", and no sidecar that ends it"
	case mode == "":
		h.doubt = "it is mTLS where a sidecar or ztunnel is at Stepward's side, and plain text where none is; " +
			"the files do not show the labels of its Namespace"
	default:
		h.wire, h.doubt = 0, "a sidecar or ztunnel must end the mTLS before Stepward, "+
			"and the files do not show the labels of its Namespace"
	}
}

// destination returns the most specific DestinationRule for a host.
func (x *exam) destination(host, namespace string) node {
	best, length := node{}, -1
	for _, o := range x.objects {
		group := o.get("apiVersion").text()
		if o.get("kind").text() != "DestinationRule" || !strings.HasPrefix(group, "networking.istio.io/") {
			continue
		}
		named := o.get("spec/host").text()
		if named != "" && !strings.ContainsAny(named, ".*") { // a short name is in the rule's own namespace
			named = fmt.Sprintf("%s.%s.svc.cluster.local", named, o.namespace())
		}
		suffix, wild := strings.CutPrefix(named, "*")
		if named != host && !(wild && strings.HasSuffix(host, suffix)) {
			continue
		}
		specific := len(suffix)
		if !wild {
			specific = 1000
		}
		if specific > length {
			best, length = o, specific
		}
	}
	return best
}

// policyTLS returns what a DestinationRule says about a port. Settings of the port replace
// all others.
func policyTLS(rule node, port string) node {
	policy := rule.get("spec/trafficPolicy")
	for p := range policy.get("portLevelSettings").items() {
		if p.get("port/number").text() == port {
			return p.get("tls")
		}
	}
	return policy.get("tls")
}

// place finds Stepward's place in the mesh by the labels of its namespace, or of its pods
// if they are in the files.
func (x *exam) place(namespace string) member {
	at := unsaid
	labels := func(n node) {
		inject := or(n.label("sidecar.istio.io/inject"), n.label("istio-injection"))
		switch {
		case n.label("istio.io/dataplane-mode") == "ambient":
			at = ambient
		case inject == "true" || inject == "enabled" || inject == "" && n.label("istio.io/rev") != "":
			at = sidecar
		case inject != "" || n.label("istio.io/dataplane-mode") == "none":
			at = outside
		}
	}
	for _, o := range x.objects {
		if o.get("kind").text() == "Namespace" && o.get("metadata/name").text() == namespace {
			labels(o.get("metadata/labels"))
		}
	}
	for _, o := range x.objects {
		if o.get("kind").text() == "Deployment" && o.namespace() == namespace {
			labels(o.get("spec/template/metadata/labels"))
		}
	}
	return at
}

// label returns the value of a label or annotation, whose name may contain a slash.
func (n node) label(name string) string {
	for key, value := range n.members() {
		if key.y.Value == name {
			return value.text()
		}
	}
	return ""
}

// strictly reports whether Stepward's sidecar accepts only the mesh's mTLS at a port, and
// whether the files say anything about it. Settings of a namespace override those of the
// mesh.
func (x *exam) strictly(namespace, port string) (strict, said bool) {
	for _, where := range []string{root, namespace} {
		for _, o := range x.objects {
			if o.get("kind").text() != "PeerAuthentication" || o.namespace() != where {
				continue
			}
			mode := o.get("spec/mtls/mode").text()
			if o.get("spec/selector").there() {
				for key, value := range o.get("spec/portLevelMtls").members() {
					if key.y.Value == port {
						mode = value.get("mode").text()
					}
				}
			}
			if mode != "" && mode != "UNSET" {
				strict, said = mode == "STRICT", true
			}
		}
	}
	return strict, said
}

// sidecarsAsk reports whether sidecars may be among the callers: a policy that names its
// targets is for gateways and waypoints.
func (x *exam) sidecarsAsk() bool {
	for _, c := range x.custom {
		if !c.get("spec/targetRefs").there() && !c.get("spec/targetRef").there() {
			return true
		}
	}
	return len(x.custom) == 0
}

// headless finds a provider whose Service has no address. For a sidecar or a waypoint,
// Istio turns it into a cluster of type ORIGINAL_DST, which sends a call to where the
// request was going; for a gateway it does not.
func headless(x *exam, n node, tell tell) {
	for p := range n.get("extensionProviders").items() {
		host := p.get("envoyExtAuthzGrpc/service")
		parts := strings.Split(serviceHost(host.text()), ".")
		if len(parts) < 2 || !x.sidecarsAsk() && !x.waypointsAsk() {
			continue
		}
		if s := x.find("", "Service", parts[1], parts[0]); s.get("spec/clusterIP").text() == "None" {
			tell(host, "Service %s/%s is headless", parts[1], parts[0])
		}
	}
}

// waypointsAsk reports whether waypoints may be among the callers: a policy is for a
// Service, or for a Gateway that is a waypoint or is not in the files.
func (x *exam) waypointsAsk() bool {
	for _, c := range x.custom {
		for t := range c.get("spec/targetRefs").items() {
			g := x.find("gateway.networking.k8s.io", "Gateway", c.namespace(), t.get("name").text())
			if t.get("kind").text() != "Gateway" || !g.there() || strings.Contains(
				g.get("spec/gatewayClassName").text(), "waypoint") {
				return true
			}
		}
	}
	return false
}

// unseen finds policies whose provider is in none of the files.
func unseen(x *exam, n node, tell tell) {
	if len(x.meshes) == 0 && n.get("kind").text() == "AuthorizationPolicy" {
		name := n.get("spec/provider/name")
		tell(or(name, n.get("spec")), "no mesh configuration tells where provider %q is", name.text())
	}
}
