package stepward.policy_test

import rego.v2

test_small if stepward.answer({"method": "POST", "path": "/transfers", "body": {"amount": 1000}, "token": {}}).result == "allow"

test_large if {
	a := stepward.answer({"method": "POST", "path": "/transfers", "body": {"amount": 1000.01}, "token": {"level": "password"}})
	a.level == "mfa"
	a.max_age == 60
}

test_large_and_proven if stepward.answer({"method": "POST", "path": "/transfers", "body": {"amount": 5000}, "token": {"level": "mfa"}}).result == "allow"

test_an_amount_in_words_is_large if {
	every amount in ["5000", "1", null, [1], {"value": 1}] {
		stepward.answer({"method": "POST", "path": "/transfers", "body": {"amount": amount}, "token": {"level": "password"}}).level == "mfa"
	}
}

test_without_a_body if stepward.answer({"method": "POST", "path": "/transfers", "token": {"level": "mfa"}}).reason == "policy_denied"

test_reading_transfers if stepward.answer({"path": "/transfers", "token": {}}).result == "allow"
