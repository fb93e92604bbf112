package stepward.policy_test

import rego.v2

test_at_home if {
	a := stepward.answer({"path": "/t/acme/orders", "token": {"tenant": "acme"}})
	a.result == "allow"
	a.headers["x-tenant"] == "acme"
}

test_elsewhere if stepward.answer({"path": "/t/other/orders", "token": {"tenant": "acme"}}).status == 404

test_without_a_tenant if stepward.answer({"path": "/t/acme/orders", "token": {}}).status == 404

test_a_path_without_its_tenant if stepward.answer({"path": "/t", "token": {"tenant": "acme"}}).status == 404

test_what_is_of_no_tenant if stepward.answer({"path": "/news", "token": {}}).result == "allow"

test_settings if stepward.answer({"path": "/t/acme/settings", "token": {"tenant": "acme", "level": "password"}}).level == "mfa"

test_the_header_is_ours if {
	a := stepward.answer({"path": "/news", "token": {}, "headers": {"x-tenant": "acme"}})
	a.result == "allow"
	not a.headers["x-tenant"]
}
