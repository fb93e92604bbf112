package stepward.lib.graphql_test

import rego.v2

import data.stepward.lib.graphql

post(document) := {"method": "POST", "query": {}, "body": {"present": true, "truncated": false, "json": document}}

test_reads if graphql.reads(post({"query": "query Q { me { name } }"}))

test_reads_in_short if graphql.reads(post({"query": "{ me { name } }"}))

test_reads_in_a_batch if graphql.reads(post([{"query": "{ a }"}, {"query": "{ b }"}]))

test_reads_by_get if graphql.reads({"method": "GET", "query": {"query": ["{ me }"]}, "body": {"present": false, "truncated": false}})

test_may_change if {
	every document in [
		{"query": "mutation { pay }"},
		{"query": "query A { a } mutation B { b }"},
		{"query": "#\nmutation{pay}"},
		{"query": "subscription { s }"},
		{"extensions": {"persistedQuery": {"sha256Hash": "x"}}},
		{"query": 7},
		{},
		[],
		[{"query": "{ a }"}, {"query": "mutation { b }"}],
		[{"query": "{ a }"}, {}],
	] {
		not graphql.reads(post(document))
	}
}

test_may_change_unread if not graphql.reads({"method": "POST", "query": {}, "body": {"present": true, "truncated": true, "json": {"query": "{ a }"}}})

test_may_change_by_two_queries if not graphql.reads({"method": "GET", "query": {"query": ["{ a }", "mutation { b }"]}, "body": {"present": false, "truncated": false}})
