package stepward.lib.grpc_test

import rego.v2

import data.stepward.lib.grpc

table := [
	{"service": "shop.v1.Payments", "methods": ["Pay"], "require": {"level": "mfa"}},
	{"service": "shop.v1.Admin", "require": {"level": "phishing-resistant"}},
]

found(segments) := {entry.require | some entry in table; grpc.matches(entry, {"segments": segments})}

test_call if grpc.call({"segments": ["shop.v1.Payments", "Pay"]}) == {"service": "shop.v1.Payments", "method": "Pay"}

test_no_call if {
	every segments in [[], ["a"], ["a", "b", "c"]] {
		not grpc.call({"segments": segments})
		found(segments) == set()
	}
}

test_a_method if found(["shop.v1.Payments", "Pay"]) == {{"level": "mfa"}}

test_another_method if found(["shop.v1.Payments", "List"]) == set()

test_a_service if found(["shop.v1.Admin", "Anything"]) == {{"level": "phishing-resistant"}}

test_case_counts if found(["shop.v1.payments", "Pay"]) == set()
