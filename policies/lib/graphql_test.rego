package stepward.lib.graphql_test

import rego.v2

import data.stepward.lib.graphql

none := {"present": false, "truncated": false, "state": "none"}

sent(document) := {"present": true, "truncated": false, "state": "json", "json": document}

post(document) := {"method": "POST", "kind": "fetch", "query": {}, "body": sent(document)}

url(method, query) := {"method": method, "kind": "fetch", "query": query, "body": none}

test_reads if graphql.reads(post({"query": "query Q { me { name } }"}))

test_reads_in_short if graphql.reads(post({"query": "{ me { name } }"}))

test_reads_with_all_members if graphql.reads(post({"query": "query Q { me }", "operationName": "Q", "variables": {"x": 1}, "extensions": {}}))

test_reads_with_a_library if graphql.reads(post({"query": "{ me }", "extensions": {"clientLibrary": {"name": "x"}}}))

test_reads_in_a_batch if graphql.reads(post([{"query": "{ a }"}, {"query": "{ b }"}]))

test_reads_in_the_url if {
	every method in ["GET", "HEAD", "POST"] {
		graphql.reads(url(method, {"query": ["{ me }"], "variables": ["{}"], "operationName": ["Q"]}))
	}
}

test_may_change if {
	every document in [
		{"query": "mutation { pay }"},
		{"query": "query A { a } mutation B { b }", "operationName": "A"},
		{"query": "#\nmutation{pay}"},
		{"query": "subscription { s }"},
		{"query": 7},
		{"query": null},
		{"query": ["{ a }"]},
		{},
		[],
		null,
		"{ a }",
		7,
		[{"query": "{ a }"}, {"query": "mutation { b }"}],
		[{"query": "{ a }"}, {}],
		[{"query": "{ a }"}, {"id": "x"}],
		[[{"query": "{ a }"}]],
	] {
		not graphql.reads(post(document))
	}
}

# A server that keeps documents runs the one that is named, and ignores the rest.
test_may_change_by_name if {
	every name in ["id", "documentId", "document_id", "doc_id", "docId", "queryId", "query_id", "hash", "sha256Hash", "operationId", "persistedQuery", "Query", "QUERY", "operations", "mutation", ""] {
		not graphql.reads(post({name: "x"}))
		not graphql.reads(post({"query": "{ a }", name: "x"}))
		not graphql.reads(post([{"query": "{ a }"}, {"query": "{ a }", name: "x"}]))
		not graphql.reads(url("GET", {name: ["x"]}))
		not graphql.reads(url("GET", {"query": ["{ a }"], name: ["x"]}))
		not graphql.reads(object.union(post({"query": "{ a }"}), {"query": {name: ["x"]}}))
	}
}

test_may_change_by_extensions if {
	every extensions in [{"persistedQuery": {"sha256Hash": "x"}}, {"clientLibrary": {}, "persistedQuery": {}}, {"x": 1}, [], [1], "x", true] {
		not graphql.reads(post({"extensions": extensions}))
		not graphql.reads(post({"query": "{ a }", "extensions": extensions}))
	}
	not graphql.reads(url("GET", {"extensions": ["{}"], "query": ["{ a }"]}))
}

test_may_change_in_the_url if {
	every query in [
		{},
		{"query": []},
		{"query": ["mutation { b }"]},
		{"query": ["{ a }", "mutation { b }"]},
		{"query": ["{ a }", "{ a }"]},
		{"query": ["{ a };query=mutation{b}"]},
		{"query": ["{ a };id=x"]},
		{"query": ["{ a }"], "variables": ["{};id=x"]},
		{"query": ["{ a }"], "operationName": ["mutation"]},
		{"query": ["{ a }"], "query[]": ["mutation { b }"]},
	] {
		every method in ["GET", "HEAD", "POST"] {
			not graphql.reads(url(method, query))
		}
	}
}

# One document in the URL and one in the body: each server picks its own.
test_may_change_twice if {
	every document in [{"query": "{ a }"}, {"query": "mutation { b }"}, {}, [{"query": "{ a }"}]] {
		not graphql.reads(object.union(post(document), {"query": {"query": ["{ a }"]}}))
		not graphql.reads(object.union(post(document), {"method": "GET", "query": {"query": ["{ a }"]}}))
	}
}

test_may_change_unread if {
	every state in ["form", "content_type", "encoding", "truncated", "malformed", "duplicate_member", "too_large"] {
		b := {"present": true, "truncated": false, "state": state, "json": {"query": "{ a }"}, "form": {"query": ["{ a }"]}}
		not graphql.reads(object.union(post({}), {"body": b}))
		not graphql.reads(object.union(url("GET", {"query": ["{ a }"]}), {"body": b}))
	}
	not graphql.reads(object.remove(post({"query": "{ a }"}), ["body"]))
	not graphql.reads({"method": "POST", "query": {}, "body": {"present": true, "json": {"query": "{ a }"}}})
}

test_may_change_by_another_protocol if {
	not graphql.reads(object.union(url("GET", {"query": ["{ a }"]}), {"kind": "websocket"}))
	not graphql.reads(object.union(post({"query": "{ a }"}), {"kind": "websocket"}))
}

test_may_change_by_method if {
	every method in ["PUT", "PATCH", "DELETE", "QUERY", "LINK"] {
		not graphql.reads(object.union(post({"query": "{ a }"}), {"method": method}))
		not graphql.reads(url(method, {"query": ["{ a }"]}))
	}
}
