package proxy

import (
	"net"
	"slices"
	"strings"
)

// clusterRule finds problems on the way from Envoy to Stepward.
type clusterRule struct {
	Rule
	find func(x *exam, c cluster, tell tell)
}

// cluster holds a cluster that a filter asks. Its node is absent if the files do not define
// it.
type cluster struct {
	name node // where the filter names it
	node node
}

// clusterRules apply to the clusters that Envoy's filters ask.
var clusterRules = []clusterRule{
	{Rule{"cluster", true,
		"no cluster has the name that the filter asks for",
		"Envoy takes the file, and every request fails",
		"the name of a cluster of this file"}, clusterThere},
	{Rule{"cluster_http2", true,
		"the cluster does not speak HTTP/2",
		"gRPC needs it: every request fails",
		"write `http2_protocol_options: {}` in `explicit_http_config` of its HttpProtocolOptions"}, clusterHTTP2},
	{Rule{"cluster_tls", true,
		"the cluster speaks TLS and Stepward's listener does not, or the other way round",
		"every request fails",
		"write a `transport_socket` with UpstreamTlsContext exactly where stepward.yaml has `tls`"}, clusterTLS},
	{Rule{"cluster_alpn", true,
		"the cluster speaks TLS and offers no ALPN `h2`",
		"Stepward's gRPC ends the handshake: every request fails",
		"write `alpn_protocols: [h2]` in `common_tls_context`"}, clusterALPN},
	{Rule{"cluster_certificate", true,
		"stepward.yaml has `tls.client_ca_file`, and the cluster shows no certificate",
		"the handshake fails, and with it every request",
		"write `tls_certificates` or `tls_certificate_sds_secret_configs` in `common_tls_context`"},
		clusterCertificate},
	{Rule{"cluster_unverified", true,
		"the cluster speaks TLS and verifies nobody",
		"anyone on the path between can answer in Stepward's place, and allow everything",
		"write `validation_context` with `trusted_ca` and `match_typed_subject_alt_names`"}, clusterUnverified},
	{Rule{"cluster_address", false,
		"no endpoint of the cluster has the address of `listen`",
		"Envoy asks somewhere else, unless a NAT leads to it",
		"the address of `listen` in stepward.yaml"}, clusterAddress},
}

func clusterThere(x *exam, c cluster, tell tell) {
	if !c.node.there() && len(x.clusters) > 0 {
		tell(c.name, "no cluster %q", c.name.text())
	}
}

// protocol returns the HttpProtocolOptions of the cluster.
func (c cluster) protocol() node {
	for _, value := range c.node.get("typed_extension_protocol_options").members() {
		if value.typed(typeHTTP) {
			return value
		}
	}
	return node{}
}

func clusterHTTP2(_ *exam, c cluster, tell tell) {
	options := c.protocol()
	own := options.get("explicit_http_config/http2_protocol_options").y != nil ||
		options.get("use_downstream_protocol_config/http2_protocol_options").y != nil ||
		options.get("auto_config").there() || c.node.get("http2_protocol_options").y != nil
	if c.node.there() && !own {
		tell(c.node, "cluster %q has no http2_protocol_options", c.name.text())
	}
}

// sockets returns the transport sockets of the cluster: the ones chosen by endpoint if
// there are any, otherwise its own, which may be absent.
func (c cluster) sockets() []node {
	var all []node
	for m := range c.node.get("transport_socket_matches").items() {
		all = append(all, m.get("transport_socket"))
	}
	if len(all) == 0 {
		all = append(all, c.node.get("transport_socket"))
	}
	return all
}

// wires returns the protocols that the cluster speaks, without duplicates.
func (c cluster) wires() []wire {
	var all []wire
	for _, socket := range c.sockets() {
		w := plainText
		if socket.there() && !strings.Contains(socket.get("typed_config/@type").text(), "raw_buffer") {
			w = speaksTLS
		}
		if !slices.Contains(all, w) {
			all = append(all, w)
		}
	}
	return all
}

func clusterTLS(x *exam, c cluster, tell tell) {
	wires := c.wires()
	if !c.node.there() || len(wires) > 1 { // hop_unknown reports that
		return
	}
	switch speaks := wires[0] == speaksTLS; {
	case speaks == x.service.TLS:
	case speaks:
		tell(c.sockets()[0], "cluster %q speaks TLS, and stepward.yaml has no tls", c.name.text())
	default:
		tell(c.node, "cluster %q speaks plain TCP, and stepward.yaml has tls", c.name.text())
	}
}

// contexts returns the common_tls_contexts of the cluster.
func (c cluster) contexts() []node {
	var all []node
	for _, socket := range c.sockets() {
		if config := socket.get("typed_config"); config.typed(typeTLS) {
			all = append(all, or(config.get("common_tls_context"), config))
		}
	}
	return all
}

// has reports whether one of the members of n is there.
func (n node) has(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return n.get(name).there() })
}

func clusterALPN(_ *exam, c cluster, tell tell) {
	for _, context := range c.contexts() {
		if !slices.Contains(context.get("alpn_protocols").texts(), "h2") && !c.protocol().get("auto_config").there() {
			tell(context, "cluster %q offers no ALPN h2", c.name.text())
		}
	}
}

func clusterCertificate(x *exam, c cluster, tell tell) {
	for _, context := range c.contexts() {
		shows := context.has("tls_certificates", "tls_certificate_sds_secret_configs",
			"tls_certificate_provider_instance", "tls_certificate_certificate_provider_instance",
			"custom_tls_certificate_selector")
		if x.service.ClientCertificate && !shows {
			tell(context, "cluster %q shows no certificate", c.name.text())
		}
	}
}

func clusterUnverified(_ *exam, c cluster, tell tell) {
	for _, context := range c.contexts() {
		if !context.has("validation_context", "validation_context_sds_secret_config", "combined_validation_context") {
			tell(context, "cluster %q verifies no certificate", c.name.text())
		}
	}
}

func clusterAddress(x *exam, c cluster, tell tell) {
	var seen []string
	c.node.get("load_assignment").walk(func(o node) {
		if a := o.get("address/socket_address"); a.there() {
			seen = append(seen, net.JoinHostPort(a.get("address").text(), a.get("port_value").text()))
		}
		if p := o.get("address/pipe/path"); p.there() {
			seen = append(seen, "unix://"+p.text())
		}
	})
	if len(seen) > 0 && !slices.ContainsFunc(seen, x.service.at) {
		tell(c.node, "cluster %q is at %s, and listen is %s", c.name.text(), strings.Join(seen, ", "), x.service.Listen)
	}
}

// address returns the host and port of Listen; ok is false for a Unix socket.
func (s Service) address() (host, port string, ok bool) {
	host, port, err := net.SplitHostPort(s.Listen)
	return host, port, err == nil && !strings.HasPrefix(s.Listen, "unix:")
}

// at reports whether an endpoint may reach the service: the same socket, or the same port
// and not another address.
func (s Service) at(endpoint string) bool {
	host, port, ok := s.address()
	if !ok {
		return endpoint == s.Listen
	}
	h, p, err := net.SplitHostPort(endpoint)
	if err != nil || p != port {
		return false
	}
	own, theirs := net.ParseIP(host), net.ParseIP(h)
	return own == nil || theirs == nil || own.IsUnspecified() || own.Equal(theirs)
}
