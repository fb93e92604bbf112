package stepward.policy_test

import rego.v2

test_who_has_the_role_reads if stepward.answer({"path": "/payroll", "token": {"roles": ["payroll"]}}).result == "allow"

test_who_has_not_does_not if {
	a := stepward.answer({"path": "/payroll", "token": {"roles": ["sales"]}})
	a.reason == "policy_denied"
	a.status == 403
}

test_a_stronger_level_is_no_role if stepward.answer({"path": "/payroll", "token": {"level": "phishing-resistant"}}).status == 403

test_writing_needs_more if {
	a := stepward.answer({"method": "PUT", "path": "/payroll/7", "token": {"roles": ["payroll"], "level": "password"}})
	a.missing == ["level", "scope"]
}

test_and_lets_through_who_has_all if {
	stepward.answer({"method": "PUT", "path": "/payroll/7", "token": {"roles": ["payroll"], "level": "mfa", "scope": "payroll.write"}}).result == "allow"
}

test_the_role_of_nobody if stepward.answer({"path": "/payroll"}).reason == "no_credentials"
