package stepward.policy_test

import rego.v2

test_managed if stepward.answer({"path": "/console", "principal": "spiffe://example.com/device/7", "token": {"level": "mfa"}}).result == "allow"

test_managed_needs_a_second_factor if stepward.answer({"path": "/console", "principal": "spiffe://example.com/device/7", "token": {"level": "password"}}).level == "mfa"

test_unmanaged if stepward.answer({"path": "/console", "token": {"level": "mfa"}}).level == "phishing-resistant"

test_another_certificate if stepward.answer({"path": "/console", "principal": "spiffe://example.com/service/7", "token": {"level": "mfa"}}).level == "phishing-resistant"

test_a_header_is_no_certificate if stepward.answer({"path": "/console", "headers": {"x-device": "compliant"}, "token": {"level": "mfa"}}).level == "phishing-resistant"

test_elsewhere_no_stop_sign if stepward.answer({"path": "/news", "token": {}}).result == "allow"
