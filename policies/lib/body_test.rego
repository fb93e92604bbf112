package stepward.lib.body_test

import rego.v2

import data.stepward.lib.body

request(document) := {"body": {"present": true, "truncated": false, "state": "json", "json": document}}

test_number if body.number(request({"amount": 7}), ["amount"]) == 7

test_deep if body.number(request({"a": {"b": 1.5}}), ["a", "b"]) == 1.5

test_no_number if {
	every document in [{}, {"amount": "7"}, {"amount": null}, {"amount": [7]}, [], "7", 7] {
		not body.number(request(document), ["amount"])
	}
}

test_no_deep_number if {
	every document in [{"a": "x"}, {"a": [1]}, {"a": {"b": "1"}}, {"a": null}] {
		not body.number(request(document), ["a", "b"])
	}
}

test_at_most if body.at_most(request({"amount": 1000}), ["amount"], 1000)

test_more if not body.at_most(request({"amount": 1001}), ["amount"], 1000)

test_hidden if not body.at_most(request({"amount": "1"}), ["amount"], 1000)

test_unreadable if {
	every state in ["none", "form", "content_type", "encoding", "truncated", "malformed", "duplicate_member", "too_large"] {
		r := {"body": {"present": true, "truncated": false, "state": state, "json": {"amount": 1}}}
		body.unreadable(r)
		not body.at_most(r, ["amount"], 1000)
	}
}

test_unreadable_without_a_state if {
	every r in [{}, {"body": {}}, {"body": {"present": true, "json": {"amount": 1}}}] {
		body.unreadable(r)
		not body.at_most(r, ["amount"], 1000)
	}
}

test_readable if {
	every document in [{}, [], false, null, 0, ""] {
		not body.unreadable(request(document))
	}
}
