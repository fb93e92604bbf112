package proxy

import (
	"fmt"
	"slices"
	"strings"
)

// backendHops returns the calls that a Gateway's controller makes to backends: by TLS if a
// BackendTLSPolicy, or an Envoy Gateway Backend, says so.
func (x *exam) backendHops(a ask, refs []node) []hop {
	var all []hop
	for _, ref := range refs {
		if ref.there() {
			all = append(all, x.backendHop(a, ref))
		}
	}
	return all
}

func (x *exam) backendHop(a ask, ref node) hop {
	kind, name := or(ref.get("kind").text(), "Service"), ref.get("name").text()
	namespace := or(ref.get("namespace").text(), a.object.namespace())
	h := hop{at: ref, to: fmt.Sprintf("%s %s/%s", kind, namespace, name), shows: x.clientCertificate(),
		silent: a.product.name == gateway.name && !x.offers()}
	if kind == "Backend" {
		b := x.find("gateway.envoyproxy.io", kind, namespace, name)
		if !b.there() {
			h.doubt = "the Backend is not in the files"
			return h
		}
		if tls := b.get("spec/tls"); tls.there() {
			h.at, h.wire, h.why, h.verified = tls, speaksTLS, "tls of the Backend", !tls.get("insecureSkipVerify").yes()
			h.silent = h.silent && !slices.Contains(tls.get("alpnProtocols").texts(), "h2")
			h.shows = h.shows || tls.get("clientCertificateRef").there()
			return h
		}
	}
	switch p, doubt := x.tlsPolicy(kind, namespace, name, ref.get("port").text()); {
	case p.there():
		h.at, h.wire, h.why, h.verified = p, speaksTLS, "a BackendTLSPolicy", true
		h.doubt = doubt
	default:
		h.wire, h.why = plainText, "no BackendTLSPolicy in namespace "+namespace+" names it"
	}
	return h
}

// tlsPolicy returns the target of the BackendTLSPolicy for a backend. Such a policy applies
// only in the backend's own namespace.
func (x *exam) tlsPolicy(kind, namespace, name, port string) (target node, doubt string) {
	for _, p := range x.objects {
		if p.get("kind").text() != "BackendTLSPolicy" || p.namespace() != namespace {
			continue
		}
		for t := range p.get("spec/targetRefs").items() {
			if or(t.get("kind").text(), "Service") != kind || t.get("name").text() != name {
				continue
			}
			section := t.get("sectionName").text()
			own, known := x.section(kind, namespace, name, port)
			switch {
			case section == "" || known && section == own:
				return t, ""
			case !known:
				target, doubt = t, fmt.Sprintf("the %s is not in the files, and the policy is only for its port %q",
					kind, section)
			}
		}
	}
	return target, doubt
}

// section returns what policies call a backend's port: its name, if it has one.
func (x *exam) section(kind, namespace, name, port string) (section string, known bool) {
	s := x.find("", kind, namespace, name)
	for p := range s.get("spec/ports").items() {
		if p.get("port").text() == port {
			return p.get("name").text(), true
		}
	}
	return "", s.there()
}

// clientCertificate reports whether the proxy of an Envoy Gateway or a Gateway shows a
// client certificate.
func (x *exam) clientCertificate() bool {
	for _, o := range x.objects {
		switch kind := o.get("kind").text(); {
		case kind == "EnvoyProxy" && o.get("spec/backendTLS/clientCertificateRef").there(),
			kind == "Gateway" && strings.HasPrefix(o.get("apiVersion").text(), "gateway.networking.k8s.io/") &&
				o.get("spec/tls/backend/clientCertificateRef").there():
			return true
		}
	}
	return false
}

// offers reports whether an Envoy Gateway proxy offers HTTP/2 to backends by ALPN.
func (x *exam) offers() bool {
	return slices.ContainsFunc(x.objects, func(o node) bool {
		return o.get("kind").text() == "EnvoyProxy" && slices.Contains(o.get("spec/backendTLS/alpnProtocols").texts(),
			"h2")
	})
}
