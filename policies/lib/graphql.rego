# METADATA
# title: GraphQL
# description: |
#   Tells requests that may change something from requests that only read. If it cannot
#   tell, the request may change something: a persisted query, whose name alone is known;
#   two documents in one request, because servers differ in which one they run; a body
#   that is not JSON; a WebSocket.
#
#   A document is searched, not parsed: without the word `mutation` it holds no mutation,
#   and if it merely mentions the word, it counts as one.
package stepward.lib.graphql

import rego.v2

import data.stepward.lib.body

# The members that a request may have. Any other may be some server's name for a document
# that it keeps: id, documentId, doc_id, queryId, hash. The rule silent checks extensions.
members := {"query", "variables", "operationName", "extensions"}

parameters := {"query", "variables", "operationName"}

# METADATA
# title: The documents of a request, alone or in a batch
# description: Empty if a server might run something that is not in them.
documents(request) := [document] if {
	request.method in {"GET", "HEAD", "POST"}
	request.body.state == "none"
	plain(request)
	document := request.query.query[0]
} else := [operation(request.body.json)] if {
	only_body(request)
} else := [operation(o) | some o in request.body.json] if {
	only_body(request)
	is_array(request.body.json)
	every o in request.body.json {
		operation(o)
	}
} else := []

# METADATA
# title: Whether a request only reads
# description: Never holds for a request that cannot be judged, so ask for it and not for its opposite.
reads(request) if {
	count(documents(request)) > 0
	every d in documents(request) {
		harmless(d)
	}
}

# The server runs the body: the URL holds nothing that it would run instead.
only_body(request) if {
	request.method == "POST"
	plain(request)
	not "query" in object.keys(request.query)
	not body.unreadable(request)
}

# The URL holds GraphQL's parameters, each once, and no others, and the connection stays
# HTTP. Some servers also separate parameters at a semicolon.
plain(request) if {
	not request.kind == "websocket"
	every name, values in request.query {
		name in parameters
		count(values) == 1
		not contains(values[0], ";")
		harmless(values[0])
	}
}

# The document of one operation in a body.
operation(o) := o.query if {
	is_object(o)
	every name in object.keys(o) {
		name in members
	}
	is_string(o.query)
	silent(object.get(o, "extensions", null))
}

# Extensions that do not affect what is run: none, or the client's name.
silent(extensions) if extensions in [null, {}]

silent(extensions) if {
	is_object(extensions)
	object.keys(extensions) == {"clientLibrary"}
}

harmless(document) if not regex.match(`mutation|subscription`, document)
