package stepward.lib.access_test

import rego.v2

import data.stepward.lib.access

token := {"scopes": ["read", "write"], "claims": {"roles": ["payroll"], "groups": "not-an-array", "realm_access": {"roles": ["admin"]}}}

test_role if access.role(token, "payroll")

test_role_of_keycloak if access.role(token, "admin")

test_no_such_role if not access.role(token, "root")

test_ill_typed_claim if not access.role(token, "not-an-array")

test_no_claims if not access.role({}, "payroll")

test_nobody if not access.role(input.token, "payroll") with input as {}

test_scopes if access.scopes(token, ["read", "write"])

test_scope_missing if not access.scopes(token, ["read", "pay"])

test_program if access.program({"principal": "client", "client_id": "batch"}, ["batch"])

test_no_program if {
	every token in [{}, {"principal": "user", "client_id": "batch"}, {"principal": "client", "client_id": "other"}, {"principal": "client"}] {
		not access.program(token, ["batch"])
	}
}
