# METADATA
# title: Tenants
# description: |
#   Says which tenant a request is about, and whether its caller belongs there. If
#   either is unknown, they do not belong together: `tenants.crosses` holds.
package stepward.lib.tenants

import rego.v2

# METADATA
# title: The tenant in a path such as /t/acme/orders
# description: The segment after the prefix, which is a list of segments.
# custom:
#   arguments:
#     prefix: "stepward.words#/$defs/prefix"
of_path(request, prefix) := request.segments[count(prefix)] if {
	is_array(prefix)
	every i, segment in prefix {
		request.segments[i] == segment
	}
}

# METADATA
# title: The tenant in a host such as acme.app.example.com
# description: The part before the suffix, if it is one label. The suffix begins with a dot.
# custom:
#   arguments:
#     suffix: "stepward.words#/$defs/suffix"
of_host(request, suffix) := tenant if {
	endswith(request.host, suffix)
	tenant := trim_suffix(request.host, suffix)
	tenant != ""
	not contains(tenant, ".")
}

# METADATA
# title: The tenant of a token
# description: A claim that is a string.
# custom:
#   arguments:
#     claim: "stepward.words#/$defs/word"
of_token(token, claim) := tenant if {
	tenant := token.claims[claim]
	is_string(tenant)
	tenant != ""
}

# METADATA
# title: Whether a caller leaves its tenant
# description: |
#   Also holds if the request has no tenant, so a rule must first say which requests have
#   one: `input.request.segments[0] == "t"`.
# custom:
#   arguments:
#     claim: "stepward.words#/$defs/word"
crosses(token, claim, tenant) if not of_token(token, claim) == tenant
