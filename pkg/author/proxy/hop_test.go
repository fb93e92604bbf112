package proxy_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stepward/stepward/envoy"
	"github.com/stepward/stepward/pkg/author/proxy"
	"github.com/stepward/stepward/pkg/finding"
)

// way is a way to call Stepward, and what arrives: "plain", "TLS", or "unknown" where
// nobody can tell from these files.
type way struct{ arrives, text string }

func object(kind, namespace, rest string) string {
	group := map[string]string{
		"Service": "v1", "Namespace": "v1", "DestinationRule": "networking.istio.io/v1",
		"PeerAuthentication": "security.istio.io/v1", "SecurityPolicy": "gateway.envoyproxy.io/v1alpha1",
		"Backend": "gateway.envoyproxy.io/v1alpha1", "BackendTLSPolicy": "gateway.networking.k8s.io/v1",
		"HTTPRoute":        "gateway.networking.k8s.io/v1",
		"ExtensionService": "projectcontour.io/v1alpha1", "HTTPProxy": "projectcontour.io/v1",
		"ContourConfiguration": "projectcontour.io/v1alpha1", "Deployment": "apps/v1",
	}[kind]
	return "---\napiVersion: " + group + "\nkind: " + kind + "\nmetadata: { name: stepward, namespace: " + namespace +
		" }\n" + rest + "\n"
}

const (
	provider = "extensionProviders: [ { name: s, envoyExtAuthzGrpc: { service: %, port: 9191, timeout: 0.25s, statusOnError: \"503\" } } ]\npathNormalization: { normalization: DECODE_AND_MERGE_SLASHES }\n"
	filter   = `{"@type":"type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz","grpc_service":%}`
	routes   = `{"virtual_hosts":[{"name":"v","domains":["*"],"routes":[{"match":{"prefix":"/"},"route":{"cluster":"a"},"typed_per_filter_config":{"f":{"@type":"type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute","check_settings":{"grpc_service":%}}}}]}]}`
	manager  = `{"@type":"type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager","http_filters":[{"name":"f","typed_config":%}],"route_config":ROUTES}`
	cluster  = `{"name":"s","typed_extension_protocol_options":{"o":{"@type":"type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions","explicit_http_config":{"http2_protocol_options":{}}}}%}`
	socket   = `,"transport_socket":{"name":"t","typed_config":{"@type":"type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext","common_tls_context":{"alpn_protocols":["h2"],"validation_context":{}}}}`
)

func fill(text, with string) string { return strings.Replace(text, "%", with, 1) }

// bootstrap asks service, and on its one route another.
func bootstrap(service, perRoute, clusters string) string {
	r := `{}`
	if perRoute != "" {
		r = fill(routes, perRoute)
	}
	m := strings.Replace(fill(manager, fill(filter, service)), "ROUTES", r, 1)
	return `{"static_resources":{"listeners":[{"filter_chains":[{"filters":[{"name":"m","typed_config":` + m +
		`}]}]}],"clusters":[` + clusters + `]}}`
}

func ways() map[string]way {
	mesh := fill(provider, "stepward.stepward.svc.cluster.local")
	joined := object("Namespace", "x", "metadata: {}")
	namespace := func(labels string) string {
		return strings.Replace(joined, "metadata: { name: stepward, namespace: x }\nmetadata: {}",
			"metadata: { name: stepward, labels: { "+labels+" } }", 1)
	}
	rule := func(tls string) string {
		return object("DestinationRule", "stepward",
			"spec: { host: stepward.stepward.svc.cluster.local, trafficPolicy: { tls: { "+tls+" } } }")
	}
	eg := func(ref string) string {
		return object("SecurityPolicy", "app",
			"spec: { targetRefs: [ { kind: Gateway, name: g } ], extAuth: { timeout: 250ms, statusOnError: 503, grpc: { "+ref+" } } }")
	}
	policy := object("BackendTLSPolicy", "stepward",
		"spec: { targetRefs: [ { group: \"\", kind: Service, name: stepward } ] }")
	refs := eg("backendRefs: [ { name: stepward, namespace: stepward, port: 9191 } ]")
	route := object("HTTPRoute", "stepward",
		"spec: { rules: [ { filters: [ { type: ExternalAuth, externalAuth: { protocol: GRPC, backendRef: { name: stepward, port: 9191 }, grpc: {} } } ] } ] }")
	contour := object("HTTPProxy", "stepward",
		"spec: { virtualhost: { authorization: { responseTimeout: 250ms, extensionRef: { name: stepward } } } }")
	global := object("ContourConfiguration", "contour",
		"spec: { globalExtAuth: { responseTimeout: 250ms, extensionRef: { name: stepward, namespace: stepward } } }")
	service := func(spec string) string { return object("ExtensionService", "stepward", "spec: { "+spec+" }") }
	const ours, google = `{"envoy_grpc":{"cluster_name":"s"},"timeout":"0.25s"}`,
		`{"google_grpc":{"target_uri":"s","stat_prefix":"s"%}}`
	tls := fill(cluster, socket)
	return map[string]way{
		"Istio, nothing said":                  {"unknown", mesh},
		"Istio, a sidecar":                     {"plain", mesh + namespace("istio-injection: enabled")},
		"Istio, a sidecar of a revision":       {"plain", mesh + namespace("istio.io/rev: stable")},
		"Istio, ambient":                       {"plain", mesh + namespace("istio.io/dataplane-mode: ambient")},
		"Istio, out of the mesh":               {"plain", mesh + namespace("istio-injection: disabled")},
		"Istio, its mTLS to nobody knows whom": {"unknown", mesh + rule("mode: ISTIO_MUTUAL")},
		"Istio, its mTLS to a sidecar": {"plain", mesh + namespace("istio-injection: enabled") + rule(
			"mode: ISTIO_MUTUAL")},
		"Istio, its mTLS to Stepward": {"TLS", mesh + namespace("istio-injection: disabled") + rule(
			"mode: ISTIO_MUTUAL")},
		"Istio, TLS": {"unknown", mesh + namespace("istio-injection: enabled") + rule(
			"mode: SIMPLE")},
		"Istio, TLS out of the mesh": {"TLS", mesh + namespace("istio-injection: disabled") + rule(
			"mode: SIMPLE")},
		"Istio, TLS through ztunnel": {"TLS", mesh + namespace("istio.io/dataplane-mode: ambient") + rule(
			"mode: MUTUAL")},
		"Istio, DISABLE": {"plain", mesh + rule("mode: DISABLE")},
		"Istio, a rule for another": {"plain", mesh + namespace("istio-injection: enabled") +
			strings.ReplaceAll(rule("mode: SIMPLE"), "host: stepward.", "host: other.")},
		"Istio, a host of the internet": {"unknown", fill(provider, "stepward.example.com")},
		"Istio, a host with a namespace": {
			"TLS", fill(provider, "stepward/stepward.stepward.svc.cluster.local") + rule("mode: SIMPLE") + namespace(
				"istio-injection: disabled")},
		"Envoy Gateway":      {"plain", refs},
		"Envoy Gateway, TLS": {"TLS", refs + policy},
		"Envoy Gateway, the old reference": {
			"TLS", eg("backendRef: { name: stepward, namespace: stepward, port: 9191 }") + policy},
		"Envoy Gateway, a policy elsewhere": {"plain", refs + strings.Replace(policy, "namespace: stepward",
			"namespace: app", 1)},
		"Envoy Gateway, a Backend": {
			"TLS",
			eg(
				"backendRefs: [ { kind: Backend, group: gateway.envoyproxy.io, name: stepward, namespace: stepward } ]") + object("Backend", "stepward", "spec: { tls: { wellKnownCACertificates: System } }")},
		"Envoy Gateway, a Backend without TLS": {
			"plain",
			eg(
				"backendRefs: [ { kind: Backend, group: gateway.envoyproxy.io, name: stepward, namespace: stepward } ]") + object("Backend", "stepward", "spec: { endpoints: [] }")},
		"Envoy Gateway, a Backend not there": {
			"unknown",
			eg(
				"backendRefs: [ { kind: Backend, group: gateway.envoyproxy.io, name: stepward, namespace: stepward } ]")},
		"Envoy Gateway, a port by name": {
			"TLS", refs + strings.Replace(policy, "kind: Service, name: stepward",
				"kind: Service, name: stepward, sectionName: grpc", 1) + object("Service", "stepward",
				"spec: { ports: [ { name: grpc, port: 9191 } ] }")},
		"Envoy Gateway, another port": {
			"plain", refs + strings.Replace(policy, "kind: Service, name: stepward",
				"kind: Service, name: stepward, sectionName: http", 1) + object("Service", "stepward",
				"spec: { ports: [ { name: grpc, port: 9191 } ] }")},
		"Gateway API":      {"plain", route},
		"Gateway API, TLS": {"TLS", route + policy},
		"Contour": {
			"TLS", contour + service("validation: { caSecret: a, subjectName: b }")},
		"Contour, h2c":                 {"plain", contour + service("protocol: h2c")},
		"Contour, for all":             {"plain", global + service("protocol: h2c")},
		"Contour, no ExtensionService": {"unknown", contour},
		"Envoy":                        {"plain", bootstrap(ours, "", fill(cluster, ""))},
		"Envoy, TLS":                   {"TLS", bootstrap(ours, "", tls)},
		"Envoy, by endpoint": {
			"unknown", bootstrap(ours, "", fill(cluster, `,"transport_socket_matches":[{"name":"a"},{"name":"b"`+socket+
				`}]`))},
		"Envoy, plain by endpoint": {
			"plain", bootstrap(ours, "", fill(cluster, `,"transport_socket_matches":[{"name":"a"}]`+socket))},
		"Envoy, as Envoy Gateway makes it": {
			"TLS", bootstrap(ours, "", fill(cluster, `,"transport_socket_matches":[{"name":"a"`+socket+
				`}],"transport_socket":{"name":"dummy","typed_config":{"@type":"type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext","common_tls_context":{}}}`))},
		"Envoy, a cluster from elsewhere": {"unknown", bootstrap(ours, "", "")},
		"Envoy, the other client":         {"plain", bootstrap(fill(google, ""), "", "")},
		"Envoy, the other client, TLS": {
			"TLS", bootstrap(fill(google, `,"channel_credentials":{"ssl_credentials":{}}`), "", "")},
		"Envoy, the other client, by a plug-in": {"unknown", bootstrap(fill(google, `,"credentials_factory_name":"x"`),
			"", "")},
		"Envoy, another service for one route": {
			"plain", bootstrap(ours, `{"google_grpc":{"target_uri":"s","stat_prefix":"s"}}`, "")},
		"Envoy, TLS to another, for one route": {
			"TLS",
			bootstrap(
				ours,
				`{"google_grpc":{"target_uri":"s","stat_prefix":"s","channel_credentials":{"ssl_credentials":{}}}}`,
				"")},
		"Envoy, another cluster for one route": {"plain", bootstrap(ours, `{"envoy_grpc":{"cluster_name":"t"}}`,
			tls+","+strings.Replace(fill(cluster, ""), `"s"`, `"t"`, 1))},
		"Envoy, another cluster for one route +": {"TLS", bootstrap(ours, `{"envoy_grpc":{"cluster_name":"t"}}`,
			fill(cluster, "")+","+strings.Replace(tls, `"s"`, `"t"`, 1))},
	}
}

// Whichever way Stepward is called: where the files tell that the listener speaks
// otherwise, the call is refused; where they do not tell, that is said; and only where
// both agree is nothing said.
func TestEveryWay(t *testing.T) {
	for name, w := range ways() {
		for _, listener := range []string{"plain", "TLS"} {
			t.Run(name+" to "+listener, func(t *testing.T) {
				s := plain()
				s.Listen, s.TLS = ":9191", listener == "TLS"
				findings, warnings := proxy.Check([]proxy.File{{Name: "f", Text: []byte(w.text)}}, s)
				has := func(list finding.List, codes ...string) bool {
					return slices.ContainsFunc(list, func(f finding.Finding) bool {
						return slices.Contains(codes, f.Code)
					})
				}
				refused, unknown := has(findings, "hop_tls", "cluster_tls"), has(warnings, "hop_unknown")
				switch {
				case has(findings, "cluster_unverified", "cluster_alpn"):
					t.Fatalf("what is verified: %v", findings)
				case has(findings, "yaml", "nothing_asks", "unknown_field", "field_value"):
					t.Fatalf("the files say something else: %v", findings)
				case name == "Istio, nothing said" && listener == "TLS": // plain text or its own mTLS: neither fits
					if !refused {
						t.Error("taken")
					}
				case strings.Contains(name, "for one route"): // one of the two fits, the other never does
					if !refused && !(w.arrives == listener && unknown) {
						t.Errorf("taken: %v %v", findings, warnings)
					}
				case w.arrives == "unknown" && (refused || !unknown):
					if !(name == "Istio, TLS" && listener == "plain" && refused) { // TLS at a listener without
						t.Errorf("refused %t, unknown %t: %v %v", refused, unknown, findings, warnings)
					}
				case w.arrives != "unknown" && (refused != (w.arrives != listener) || unknown):
					t.Errorf("refused %t, unknown %t: %v %v", refused, unknown, findings, warnings)
				}
			})
		}
	}
}

// What a rule says that Envoy refuses, the real one refuses; it takes the rest.
func TestEnvoyRefuses(t *testing.T) {
	path, err := envoy.Get(t.Context(), "", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	shipped := string(read(t, "../../../envoy/envoy.yaml")[0].Text)
	for name, c := range map[string]struct {
		old, new string
		code     string // of the finding; empty where the file is good
	}{
		"as shipped":       {"transport_api_version: V3", "transport_api_version: V3", ""},
		"no API version":   {"transport_api_version: V3", "# nothing", ""},
		"API version AUTO": {"transport_api_version: V3", "transport_api_version: AUTO", ""},
		"API version V2":   {"transport_api_version: V3", "transport_api_version: V2", "api_version"},
		"API version 1":    {"transport_api_version: V3", "transport_api_version: 1", "api_version"},
		"a misspelt field": {"failure_mode_allow: false", "failure_mode_alow: false", "unknown_field"},
		"no such value": {"path_with_escaped_slashes_action: REJECT_REQUEST",
			"path_with_escaped_slashes_action: REJECT", "field_value"},
		"a duration of its own":  {"connect_timeout: 0.25s", "connect_timeout: 250ms", "field_value"},
		"no YAML":                {"admin:", "admin: [", "yaml"},
		"no cluster of its name": {"cluster_name: stepward", "cluster_name: steward", "cluster"},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(shipped, c.old) {
				t.Fatalf("%q is not in the file", c.old)
			}
			text := strings.Replace(shipped, c.old, c.new, 1)
			findings, _ := proxy.Check([]proxy.File{{Name: "f", Text: []byte(text)}}, plain())
			said := slices.ContainsFunc(findings, func(f finding.Finding) bool { return f.Code == c.code })
			if said != (c.code != "") || c.code == "" && len(findings) > 0 {
				t.Fatalf("%v", findings)
			}
			claimed := slices.ContainsFunc(proxy.Rules(), func(r proxy.Rule) bool {
				return r.Code == c.code && (strings.Contains(r.Why, "Envoy refuses the file") || strings.Contains(
					r.Instead, "proxies refuse it"))
			})
			err := envoy.Validate(t.Context(), path, []byte(text))
			if refused := err != nil; refused != claimed {
				t.Errorf("refused by Envoy: %t, and we say %t: %v", refused, claimed, err)
			}
		})
	}
}
