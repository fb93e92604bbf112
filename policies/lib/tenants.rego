# METADATA
# title: Tenants
# description: |
#   Which tenant a request is about, and whether its caller belongs there. Where
#   either is not known they do not belong together: `tenants.crosses` holds.
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
# description: What stands before the suffix, which begins with a dot, if it is one label.
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
#   Holds as well where the request has no tenant, so a rule says first which requests are
#   about one: `input.request.segments[0] == "t"`.
# custom:
#   arguments:
#     claim: "stepward.words#/$defs/word"
crosses(token, claim, tenant) if not of_token(token, claim) == tenant
