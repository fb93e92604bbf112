package stepward.policy_test

import rego.v2

test_reading_orders_meets_no_stop_sign if stepward.answer({"path": "/orders", "token": {}}).result == "allow"

test_paying_does if {
	a := stepward.answer({"method": "POST", "path": "/payments/7", "token": {"level": "password"}})
	a.result == "challenge"
	a.level == "mfa"
	a.max_age == 300
}

test_and_lets_through_who_has_it if stepward.answer({"method": "POST", "path": "/payments/7", "token": {"level": "mfa"}}).result == "allow"

test_reading_payments_meets_none if stepward.answer({"path": "/payments/7", "token": {}}).result == "allow"

test_admin_needs_the_strongest if stepward.answer({"path": "/admin/users", "as": "browser"}).level == "phishing-resistant"
