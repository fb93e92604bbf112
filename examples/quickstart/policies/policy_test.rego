package stepward.policy_test

import rego.v2

import data.stepward.policy

request(method, segments) := {"request": {
	"method": method,
	"path": concat("/", array.concat([""], segments)),
	"segments": segments,
}}

test_front_page_is_public if {
	policy.require == {{"level": "anonymous"}} with input as request("GET", []) with input.request.path as "/"
}

test_posting_to_it_is_not if {
	policy.require == {{"level": "authenticated"}} with input as request("POST", []) with input.request.path as "/"
}

test_reading_payments_needs_a_token if {
	policy.require == {{"level": "authenticated"}} with input as request("GET", ["payments"])
}

test_paying_needs_a_fresh_second_factor if {
	some r in policy.require with input as request("POST", ["payments"])
	r.level == "mfa"
	r.max_age == "5m"
}

test_payroll_without_any_roles if {
	count(policy.deny) == 1 with input as request("GET", ["payroll"])
}

test_payroll_with_the_role if {
	count(policy.deny) == 0 with input as request("GET", ["payroll"])
		with input.token.claims.roles as ["payroll"]
}
