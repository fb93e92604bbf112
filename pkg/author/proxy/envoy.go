package proxy

import (
	"maps"
	"slices"
	"strings"
)

// The types of typed configurations, by the end of their names.
const (
	typeManager  = "http_connection_manager.v3.HttpConnectionManager"
	typeFilter   = "ext_authz.v3.ExtAuthz"
	typePerRoute = "ext_authz.v3.ExtAuthzPerRoute"
	typeTLS      = "transport_sockets.tls.v3.UpstreamTlsContext"
	typeHTTP     = "upstreams.http.v3.HttpProtocolOptions"
	typeCluster  = "config.cluster.v3.Cluster"
	typeRoutes   = "config.route.v3.RouteConfiguration"
)

// envoy reads a bootstrap, a config dump, or a resource.
func (x *exam) envoy(n node) {
	known := n.get("static_resources").there() || n.get("configs").there() || n.get("resources").there() ||
		strings.Contains(n.get("@type").text(), "envoy.")
	if !known {
		return
	}
	x.bootstraps = append(x.bootstraps, n)
	x.strict(n)
	if x.routes == nil {
		x.routes = map[string]node{}
	}
	n.walk(func(o node) {
		switch {
		case o.typed(typeCluster):
			x.clusters = append(x.clusters, o)
		case o.typed(typeRoutes):
			x.routes[o.get("name").text()] = o
		case o.typed(typeManager):
			x.managers = append(x.managers, manager{node: o})
		}
		for c := range o.get("static_resources/clusters").items() {
			x.clusters = append(x.clusters, c)
		}
	})
}

// settle finds what belongs to each connection manager once everything has been read.
func (x *exam) settle() {
	for i := range x.managers {
		m := &x.managers[i]
		m.routes = m.node.get("route_config")
		if name := m.node.get("rds/route_config_name").text(); name != "" {
			m.routes = x.routes[name]
		}
		for f := range m.node.get("http_filters").items() {
			config := f.get("typed_config")
			if !config.typed(typeFilter) {
				continue
			}
			if !m.filter.there() {
				m.filter = f
			}
			m.asking = append(m.asking, f)
			x.asks = append(x.asks, ask{product: envoy, node: config})
		}
		if scopes := m.node.get("scoped_routes"); scopes.there() {
			m.scoped = append(m.scoped, scopes)
			for _, name := range slices.Sorted(maps.Keys(x.routes)) {
				m.scoped = append(m.scoped, x.routes[name])
			}
		}
		m.forwards = map[string]bool{}
		m.walk(func(o node) {
			if name := o.get("cluster").text(); name != "" {
				m.forwards[name] = true
			}
			for c := range o.get("weighted_clusters/clusters").items() {
				m.forwards[c.get("name").text()] = true
			}
		})
	}
}

// walk visits every object in the manager's routes.
func (m manager) walk(visit func(node)) {
	for _, n := range append([]node{m.routes}, m.scoped...) {
		n.walk(visit)
	}
}

// cluster returns the cluster of that name.
func (x *exam) cluster(name string) node {
	for _, c := range x.clusters {
		if c.get("name").text() == name {
			return c
		}
	}
	return node{}
}

// hosts visits the virtual hosts of the manager's routes.
func (m manager) hosts(visit func(host node)) {
	for h := range m.routes.get("virtual_hosts").items() {
		visit(h)
	}
}

// scopes visits everything that may change a filter for some requests: route
// configurations, virtual hosts, routes that forward, whether in a list or in a tree of
// matchers, and weighted clusters.
func (m manager) scopes(visit func(scope node)) {
	m.walk(func(o node) {
		if o.get("redirect").there() || o.get("direct_response").there() {
			return // nothing is forwarded
		}
		visit(o)
	})
}

// own returns what a scope says about the filter that asks, even inside a wrapper.
func (m manager) own(scope node) []node {
	var all []node
	names := map[string]bool{}
	for _, f := range m.asking {
		names[f.get("name").text()] = true
	}
	for key, value := range scope.get("typed_per_filter_config").members() {
		inside := value.get("config")
		if names[key.y.Value] || value.typed(typePerRoute) || inside.typed(typePerRoute) {
			all = append(all, value, inside)
		}
	}
	return all
}
