package stepward.policy

import rego.v2

import data.stepward.lib.tenants

# A valid token everywhere; most requests meet no stop sign.
require contains {"level": "authenticated"}

# The tenant of a route comes after /t.
# METADATA
# title: Nobody leaves its tenant
deny contains {"code": "wrong_tenant", "reason": "another tenant", "status": 404} if {
	input.request.segments[0] == "t"
	tenants.crosses(input.token, "tenant", tenants.of_path(input.request, ["t"]))
}

# METADATA
# title: A tenant's settings need a second factor
require contains {"level": "mfa"} if {
	tenants.of_path(input.request, ["t"])
	input.request.segments[2] == "settings"
}

# The application learns the tenant only from us.
headers["x-tenant"] := tenants.of_token(input.token, "tenant")
