package stepward.policy_test

import rego.v2

test_front_page_is_public if stepward.answer({"path": "/"}).result == "allow"

test_posting_to_it_is_not if stepward.answer({"path": "/", "method": "POST"}).reason == "no_credentials"

test_reading_payments_needs_a_token if {
	stepward.answer({"path": "/payments/7"}).reason == "no_credentials"
	stepward.answer({"path": "/payments/7", "token": {"level": "password"}}).result == "allow"
}

test_paying_needs_a_fresh_second_factor if {
	pay := {"path": "/payments", "method": "POST"}
	stepward.answer(object.union(pay, {"token": {"level": "password"}})).level == "mfa"
	stepward.answer(object.union(pay, {"token": {"level": "mfa", "auth_age": "299s"}})).result == "allow"
	stepward.answer(object.union(pay, {"token": {"level": "mfa", "auth_age": "301s"}})).reason == "stale_authentication"
}

test_payroll_without_any_roles if {
	stepward.answer({"path": "/payroll", "token": {"level": "mfa"}}).reason == "policy_denied"
}

test_payroll_with_the_role if {
	stepward.answer({"path": "/payroll", "token": {"level": "password", "roles": ["payroll"]}}).result == "allow"
}
