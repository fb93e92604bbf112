package stepward.policy

import rego.v2

# METADATA
# title: A valid token everywhere
require contains {"level": "authenticated"} if not public

# METADATA
# title: The front page is public, and says so
require contains {"level": "anonymous"} if public

public if {
	input.request.path == "/"
	input.request.method in {"GET", "HEAD"}
}

# METADATA
# title: Payments need a second factor in the last five minutes
require contains {"level": "mfa", "max_age": "5m", "reason": "payments move money"} if {
	input.request.segments[0] == "payments"
	not input.request.method in {"GET", "HEAD", "OPTIONS"}
}

# METADATA
# title: Payroll is for payroll, however strongly anyone authenticates
deny contains {"code": "payroll_only", "detail": "Payroll is for the payroll team."} if {
	input.request.segments[0] == "payroll"
	not "payroll" in input.token.claims.roles
}
