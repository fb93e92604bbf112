package proxy

import (
	"fmt"
	"net"
	"slices"
	"strings"
)

// wire says what arrives at Stepward's listener. The zero value means that we cannot tell.
type wire int

const (
	plainText wire = iota + 1
	speaksTLS
)

// hop describes how a call reaches Stepward if something other than a static Envoy cluster
// says whether it is encrypted.
type hop struct {
	at     node   // what says so, or should
	to     string // where the call goes
	wire   wire
	why    string // the reason
	doubt  string // what the files do not say
	broken string // why no call arrives, whatever stepward.yaml says
	// guarded means that a mesh encrypts the call and decrypts it before Stepward.
	guarded bool
	// verified and shows describe a TLS call: whether the server is verified, and whether
	// the caller shows a certificate.
	verified, shows bool
	silent          bool // by TLS, and without ALPN
}

// hopRule finds problems on a way to Stepward that a controller makes.
type hopRule struct {
	Rule
	find func(x *exam, h hop, tell tell)
}

// hopRules apply to the calls that controllers, meshes and gRPC clients make.
var hopRules = []hopRule{
	{Rule{"hop_tls", true,
		"a controller, a mesh or `google_grpc` calls by TLS and Stepward's listener does not speak it, or the " +
			"other way round",
		"every request fails",
		"exactly where stepward.yaml has `tls`: a BackendTLSPolicy for the Service (Envoy Gateway, Gateway " +
			"API), a DestinationRule with `tls.mode: SIMPLE` (Istio), `protocol: h2` with `validation` (Contour), " +
			"`ssl_credentials` (`google_grpc`)"}, hopTLS},
	{Rule{"hop_unknown", false,
		"the files do not say whether the call is encrypted as Stepward's listener expects",
		"every request may fail, or cross the network in plain text",
		"also name the missing file with `--envoy`; or look at a running proxy: `--envoy` takes its config dump"},
		hopUnknown},
	{Rule{"hop_plain", false,
		"Stepward's listener speaks plain text beyond its own machine, and nothing encrypts the call",
		"anyone on the path between can answer in Stepward's place, and allow everything",
		"`tls` in stepward.yaml and for the call; or a mesh on both sides"}, hopPlain},
	{Rule{"hop_unverified", true,
		"the call is by TLS and verifies nobody, or anybody with a certificate of that CA",
		"anyone on the path between can answer in Stepward's place, and allow everything",
		"write `subjectAltNames` (Istio), `validation` (Contour), a CA (Backend of Envoy Gateway); no " +
			"`insecureSkipVerify`"}, hopUnverified},
	{Rule{"hop_alpn", true,
		"Envoy Gateway calls by TLS, and offers no ALPN `h2`",
		"Stepward's gRPC ends the handshake: every request fails",
		"write `backendTLS: { alpnProtocols: [h2] }` in the EnvoyProxy that the Gateway or its class names, or " +
			"in `tls` of the Backend"}, hopALPN},
	{Rule{"hop_certificate", true,
		"stepward.yaml has `tls.client_ca_file`, and nothing shows a certificate",
		"the handshake fails, and with it every request",
		"write `tls.mode: MUTUAL` (Istio), `backendTLS.clientCertificateRef` of the EnvoyProxy (Envoy " +
			"Gateway), `tls.backend.clientCertificateRef` of the Gateway (Gateway API), `envoy.clientCertificate` " +
			"of the ContourConfiguration (Contour)"}, hopCertificate},
}

func hopTLS(x *exam, h hop, tell tell) {
	switch {
	case h.broken != "":
		tell(h.at, "the call to %s does not arrive: %s", h.to, h.broken)
	case h.wire == plainText && x.service.TLS:
		tell(h.at, "the call to %s arrives in plain text (%s), and stepward.yaml has tls", h.to, h.why)
	case h.wire == speaksTLS && !x.service.TLS:
		tell(h.at, "the call to %s arrives by TLS (%s), and stepward.yaml has no tls", h.to, h.why)
	}
}

// fits reports whether we know of nothing wrong with the hop.
func (h hop) fits(s Service) bool {
	return h.broken == "" && (h.wire == 0 || (h.wire == speaksTLS) == s.TLS)
}

func hopUnknown(x *exam, h hop, tell tell) {
	if h.doubt != "" && h.fits(x.service) {
		tell(h.at, "cannot tell about the call to %s: %s", h.to, h.doubt)
	}
}

func hopPlain(x *exam, h hop, tell tell) {
	if h.wire == plainText && !h.guarded && h.doubt == "" && h.fits(x.service) && !x.service.loopback() {
		tell(h.at, "the call to %s is plain text (%s)", h.to, h.why)
	}
}

func hopUnverified(x *exam, h hop, tell tell) {
	if h.wire == speaksTLS && h.fits(x.service) && !h.verified {
		tell(h.at, "the call to %s verifies nobody, or not by name (%s)", h.to, h.why)
	}
}

func hopALPN(x *exam, h hop, tell tell) {
	if h.wire == speaksTLS && h.fits(x.service) && h.silent {
		tell(h.at, "the call to %s offers no ALPN h2", h.to)
	}
}

func hopCertificate(x *exam, h hop, tell tell) {
	if h.wire == speaksTLS && h.fits(x.service) && x.service.ClientCertificate && !h.shows {
		tell(h.at, "no certificate is shown to %s (%s)", h.to, h.why)
	}
}

// loopback reports whether only this machine can reach the listener.
func (s Service) loopback() bool {
	host, _, ok := s.address()
	ip := net.ParseIP(host)
	return !ok || host == "localhost" || ip != nil && ip.IsLoopback()
}

// hops returns the ways on which calls from a reach Stepward.
func (x *exam) hops(a ask) []hop {
	switch a.product.name {
	case istio.name:
		return []hop{x.istioHop(a.node)}
	case gateway.name:
		refs := slices.Collect(a.node.get("grpc/backendRefs").items())
		if ref := a.node.get("grpc/backendRef"); ref.there() {
			refs = append(refs, ref)
		}
		return x.backendHops(a, refs)
	case gatewayAPI.name:
		return x.backendHops(a, []node{a.node.get("backendRef")})
	case contour.name:
		return []hop{x.contourHop(a)}
	}
	return x.envoyHops(a.node.get("grpc_service"))
}

// envoyHops returns the calls of an Envoy filter, unless they go to a cluster that the file
// describes completely.
func (x *exam) envoyHops(service node) []hop {
	if google := service.get("google_grpc"); google.there() {
		return []hop{googleHop(google)}
	}
	name := service.get("envoy_grpc/cluster_name")
	if !name.there() {
		return nil
	}
	h := hop{at: name, to: fmt.Sprintf("cluster %q", name.text())}
	c := x.cluster(name.text())
	switch {
	case !c.there():
		h.doubt = "the cluster is not in the files"
	case len(cluster{node: c}.wires()) > 1:
		h.at, h.doubt = c.get("transport_socket_matches"), "some endpoints are called by TLS, and some in plain text"
	default:
		return nil // the rules of clusters know all of it
	}
	return []hop{h}
}

// googleHop describes a call by Envoy's other gRPC client.
func googleHop(n node) hop {
	h := hop{at: n, to: n.get("target_uri").text()}
	credentials := n.get("channel_credentials")
	ssl := credentials.get("ssl_credentials")
	switch {
	case ssl.y != nil:
		h.at, h.wire, h.why, h.verified, h.shows = ssl, speaksTLS, "ssl_credentials", true,
			ssl.get("cert_chain").there()
	case credentials.get("google_default").y != nil:
		h.wire, h.why, h.verified = speaksTLS, "google_default", true
	case n.get("credentials_factory_name").there():
		h.doubt = "the credentials are those of a plug-in"
	default:
		h.wire, h.why = plainText, "no channel_credentials"
	}
	return h
}

// contourHop describes the call to the target of an ExtensionService.
func (x *exam) contourHop(a ask) hop {
	ref := a.node.get("extensionRef")
	namespace := or(ref.get("namespace").text(), a.object.namespace())
	h := hop{at: or(ref, a.node), to: fmt.Sprintf("ExtensionService %s/%s", namespace, ref.get("name").text())}
	e := x.find("projectcontour.io", "ExtensionService", namespace, ref.get("name").text())
	if !e.there() {
		h.doubt = "it is not in the files"
		return h
	}
	protocol, validation := e.get("spec/protocol"), e.get("spec/validation")
	h.at, h.wire, h.why = or(protocol, e.get("spec")), speaksTLS, "protocol "+or(protocol.text(), "h2 by default")
	h.verified = validation.there()
	for _, c := range x.objects {
		h.shows = h.shows || c.get("kind").text() == "ContourConfiguration" &&
			c.get("spec/envoy/clientCertificate").there()
	}
	if protocol.text() == "h2c" {
		h.wire = plainText
		if validation.there() {
			h.at, h.broken = validation, "Contour refuses validation beside protocol h2c"
		}
	}
	return h
}

// find returns the object of that group, kind and name.
func (x *exam) find(group, kind, namespace, name string) node {
	for _, o := range x.objects {
		g, _, named := strings.Cut(o.get("apiVersion").text(), "/")
		if !named {
			g = "" // the first of all
		}
		if g == group && o.get("kind").text() == kind && o.namespace() == namespace &&
			o.get("metadata/name").text() == name {
			return o
		}
	}
	return node{}
}

// namespace returns the namespace of an object; one that names none gets the API server's
// default.
func (n node) namespace() string { return or(n.get("metadata/namespace").text(), "default") }
