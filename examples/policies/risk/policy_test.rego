package stepward.policy_test

import rego.v2

test_safe if stepward.answer({"method": "POST", "path": "/orders", "token": {"sub": "bob"}}).result == "allow"

test_risky if stepward.answer({"method": "POST", "path": "/orders", "token": {"sub": "carol", "level": "password"}}).level == "mfa"

test_risky_reads if stepward.answer({"path": "/orders", "token": {"sub": "carol"}}).result == "allow"

test_unknown_is_risky if stepward.answer({"method": "POST", "path": "/orders", "token": {"sub": "dave", "level": "mfa"}}).level == "phishing-resistant"

test_very_risky if stepward.answer({"path": "/orders", "token": {"sub": "mallory", "level": "mfa"}}).level == "phishing-resistant"

test_who_proves_it_passes if stepward.answer({"path": "/orders", "token": {"sub": "mallory", "level": "phishing-resistant"}}).result == "allow"
