package stepward.policy_test

import rego.v2

test_listing if stepward.answer({"method": "POST", "path": "/shop.v1.Payments/List", "as": "grpc", "token": {}}).result == "allow"

test_paying if stepward.answer({"method": "POST", "path": "/shop.v1.Payments/Pay", "as": "grpc", "token": {"level": "password"}}).level == "mfa"

test_paying_with_a_second_factor if stepward.answer({"method": "POST", "path": "/shop.v1.Payments/Pay", "as": "grpc", "token": {"level": "mfa"}}).result == "allow"
