# The policy of the conformance cases: the first segment of a path names a row of
# table.json, which says what is required and denied there.
package stepward.policy

import rego.v2

row := input.request.segments[0]

public if row == "public"

uncovered if row in {"uncovered", "shadow-only"}

require contains {"level": "anonymous"} if public

require contains {"level": "authenticated"} if {
	not public
	not uncovered
}

require contains requirement if some requirement in data.require[row]

deny contains denial if some denial in data.deny[row]

# A role that is missing must not silence a denial.
deny contains {"code": "no_role", "detail": "Payroll is for payroll."} if {
	row == "payroll"
	not "payroll" in input.token.claims.roles
}

headers["x-tenant"] := input.token.claims.tenant

response_headers["x-policy"] := "seen" if row == "response"

response_headers["set-cookie"] := ["a=1", "b=2"] if row == "response"
