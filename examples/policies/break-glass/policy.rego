package stepward.policy

import rego.v2

import data.stepward.lib.access
import data.stepward.lib.breakglass

# A valid token everywhere; most requests meet no stop sign.
require contains {"level": "authenticated"}

# An operator on call, in an emergency, with a reason that is logged.
emergency := breakglass.used(input, "oncall", "x-break-glass")

# METADATA
# title: Production is for its role, or for who breaks the glass
deny contains {"code": "production", "reason": "not an operator"} if {
	input.request.segments[0] == "production"
	not access.role(input.token, "operator")
	not emergency
}

# METADATA
# title: Who breaks the glass proves who it is, now
require contains {"level": "phishing-resistant", "max_age": "5m", "reason": "break-glass"} if {
	input.request.segments[0] == "production"
	emergency
}

# The alarm: it appears in Envoy's access log, for a monitor to pick up.
metadata["break_glass"] := emergency if input.request.segments[0] == "production"
