package stepward.policy_test

import rego.v2

import data.stepward.policy

test_looking if policy.require == {{"level": "anonymous"}} with input.request.method as "GET"

test_changing if {
	some r in policy.require with input.request.method as "POST"
	r.level == "mfa"
}
