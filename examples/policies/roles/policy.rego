package stepward.policy

import rego.v2

import data.stepward.lib.access

# A valid token everywhere; most requests meet no stop sign.
require contains {"level": "authenticated"}

# Roles are claims of the token.
# METADATA
# title: Payroll is for its role
deny contains {"code": "payroll_only", "reason": "not in payroll"} if {
	input.request.segments[0] == "payroll"
	not access.role(input.token, "payroll")
}

# METADATA
# title: Changing it needs a second factor and the scope
require contains {"level": "mfa", "scope": ["payroll.write"]} if {
	input.request.segments[0] == "payroll"
	not input.request.method in {"GET", "HEAD"}
}
