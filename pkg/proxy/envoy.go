package proxy

import "strings"

// What typed configurations are of, by the end of their names.
const (
	typeManager  = "http_connection_manager.v3.HttpConnectionManager"
	typeFilter   = "ext_authz.v3.ExtAuthz"
	typePerRoute = "ext_authz.v3.ExtAuthzPerRoute"
	typeTLS      = "transport_sockets.tls.v3.UpstreamTlsContext"
	typeHTTP     = "upstreams.http.v3.HttpProtocolOptions"
	typeCluster  = "config.cluster.v3.Cluster"
	typeRoutes   = "config.route.v3.RouteConfiguration"
)

// envoy takes a bootstrap, a config dump, or a resource.
func (x *exam) envoy(n node) {
	known := n.get("static_resources").there() || n.get("configs").there() || n.get("resources").there() || strings.Contains(n.get("@type").text(), "envoy.")
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

// settle finds what belongs to each connection manager, when all is read.
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
			x.asks = append(x.asks, ask{product: envoy, node: config})
		}
		m.forwards = map[string]bool{}
		m.routes.walk(func(o node) {
			if name := o.get("cluster").text(); name != "" {
				m.forwards[name] = true
			}
			for c := range o.get("weighted_clusters/clusters").items() {
				m.forwards[c.get("name").text()] = true
			}
		})
	}
}

// cluster is the one of that name.
func (x *exam) cluster(name string) node {
	for _, c := range x.clusters {
		if c.get("name").text() == name {
			return c
		}
	}
	return node{}
}

// hosts are the virtual hosts of the manager's routes.
func (m manager) hosts(visit func(host node)) {
	for h := range m.routes.get("virtual_hosts").items() {
		visit(h)
	}
}

// scopes visits everything that may change a filter for some requests: route
// configurations, virtual hosts, and routes that forward.
func (m manager) scopes(visit func(scope node)) {
	visit(m.routes)
	m.hosts(func(host node) {
		visit(host)
		for r := range host.get("routes").items() {
			if r.get("redirect").there() || r.get("direct_response").there() {
				continue // nothing is forwarded
			}
			visit(r)
			for c := range r.get("route/weighted_clusters/clusters").items() {
				visit(c)
			}
		}
	})
}

// own is what a scope says about the filter that asks, also inside of a wrapper.
func (m manager) own(scope node) []node {
	var all []node
	name := m.filter.get("name").text()
	for key, value := range scope.get("typed_per_filter_config").members() {
		inside := value.get("config")
		if key.y.Value == name || value.typed(typePerRoute) || inside.typed(typePerRoute) {
			all = append(all, value, inside)
		}
	}
	return all
}
