package stepward.policy_test

import rego.v2

test_two_factors_by_their_methods if stepward.answer({"path": "/records/1", "token": {"amr": ["pwd", "otp"]}}).result == "allow"

test_one_factor_is_asked_for_more if {
	a := stepward.answer({"path": "/records/1", "token": {"amr": ["pwd", "pin"]}})
	a.result == "challenge"
	a.level == "mfa"
}

test_the_level_will_do_as_well if stepward.answer({"path": "/records/1", "token": {"level": "mfa"}}).result == "allow"

test_elsewhere_no_stop_sign if stepward.answer({"path": "/news", "token": {}}).result == "allow"

test_nobody if stepward.answer({"path": "/records/1", "as": "browser"}).level == "mfa"
