# METADATA
# title: The policy that is shipped
# description: |
#   Requires a valid token everywhere, more where data.routes says so, and nothing
#   on the paths in data.public_paths. Copy this folder and adapt it: most rules
#   need no Rego, only a line of data.
package stepward.policy

import rego.v2

import data.stepward.lib.routes

# A public page can be read without signing in. It needs a rule that says so: a
# request that no rule covers is refused.
public if {
	input.request.method in {"GET", "HEAD"}
	input.request.path in data.public_paths
}

# METADATA
# title: Public pages
require contains {"level": "anonymous"} if public

# METADATA
# title: A valid token everywhere else
require contains {"level": "authenticated"} if not public

# METADATA
# title: Stop signs, from data.routes
require contains entry.require if {
	some entry in data.routes
	routes.matches(entry, input.request)
}

# The upstream learns the tenant only from us: a header of this name from a
# client is removed.
headers["x-tenant"] := input.token.claims.tenant
