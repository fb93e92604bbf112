package stepward.policy_test

import rego.v2

oncall(level) := {"roles": ["oncall"], "level": level}

glass := {"x-break-glass": "ticket 4711: database down"}

test_an_operator_needs_no_glass if stepward.answer({"path": "/production", "token": {"roles": ["operator"]}}).result == "allow"

test_on_call_alone_is_not_enough if stepward.answer({"path": "/production", "token": oncall("phishing-resistant")}).reason == "policy_denied"

test_breaking_it_raises_the_alarm if {
	a := stepward.answer({"path": "/production", "headers": glass, "token": oncall("phishing-resistant")})
	a.result == "allow"
	a.metadata.break_glass.reason == "ticket 4711: database down"
}

test_and_needs_the_strongest_level if stepward.answer({"path": "/production", "headers": glass, "token": oncall("mfa")}).level == "phishing-resistant"

test_who_is_not_on_call_breaks_nothing if stepward.answer({"path": "/production", "headers": glass, "token": {"level": "phishing-resistant"}}).status == 403

test_no_alarm_elsewhere if {
	a := stepward.answer({"path": "/news", "headers": glass, "token": oncall("mfa")})
	a.result == "allow"
	not a.metadata.break_glass
}
