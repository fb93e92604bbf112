package stepward.policy_test

import rego.v2

job := {"sub": null, "client_id": "nightly", "sender_constrained": true}

test_the_job_passes if stepward.answer({"path": "/reports", "token": job}).result == "allow"

test_not_with_a_token_that_anybody_could_carry if {
	stepward.answer({"path": "/reports", "token": {"sub": null, "client_id": "nightly"}}).reason == "not_sender_constrained"
}

test_another_program_is_told_that_it_cannot if {
	a := stepward.answer({"path": "/reports", "token": {"sub": null, "client_id": "other"}})
	a.reason == "policy_unsatisfiable"
}

test_a_user_of_that_client_steps_up if {
	stepward.answer({"path": "/reports", "token": {"client_id": "nightly", "level": "password"}}).level == "mfa"
}

test_elsewhere_no_stop_sign if stepward.answer({"path": "/news", "token": {}}).result == "allow"
