package stepward.policy_test

import rego.v2

test_reads if stepward.answer({"method": "POST", "path": "/graphql", "body": {"query": "{ me { name } }"}, "token": {}}).result == "allow"

test_changes if stepward.answer({"method": "POST", "path": "/graphql", "body": {"query": "mutation { pay }"}, "token": {"level": "password"}}).level == "mfa"

test_a_batch_is_as_strong_as_its_strongest if {
	stepward.answer({"method": "POST", "path": "/graphql", "body": [{"query": "{ a }"}, {"query": "mutation { b }"}], "token": {"level": "password"}}).level == "mfa"
}

test_a_persisted_query_may_be_anything if {
	stepward.answer({"method": "POST", "path": "/graphql", "body": {"extensions": {"persistedQuery": {"sha256Hash": "x"}}}, "token": {"level": "password"}}).level == "mfa"
}

test_with_a_second_factor if stepward.answer({"method": "POST", "path": "/graphql", "body": {"query": "mutation { pay }"}, "token": {"level": "mfa"}}).result == "allow"
