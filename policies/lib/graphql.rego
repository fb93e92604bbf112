# METADATA
# title: GraphQL
# description: |
#   Tells requests that may change something from those that only read. What cannot be
#   told may change something: a persisted query, of which only the name is known; a
#   document beside another one, of which each server picks its own; a body that is no
#   JSON; a WebSocket.
#
#   A document is not parsed but looked through: without the word `mutation` nothing in
#   it is one, and what merely mentions it is taken for one.
package stepward.lib.graphql

import rego.v2

import data.stepward.lib.body

# What a request may have beside its document. Everything else is some server's name for
# a document that it keeps: id, documentId, doc_id, queryId, hash, extensions.
members := {"query", "variables", "operationName", "extensions"}

parameters := {"query", "variables", "operationName"}

# METADATA
# title: The documents of a request, alone or in a batch
# description: Empty where not all that a server might run is in them.
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
# description: Holds for nothing that cannot be judged, so ask for it and not for its contrary.
reads(request) if {
	count(documents(request)) > 0
	every d in documents(request) {
		harmless(d)
	}
}

# The body holds what is run, and the URL nothing that a server would run in its place.
only_body(request) if {
	request.method == "POST"
	plain(request)
	not "query" in object.keys(request.query)
	not body.unreadable(request)
}

# The URL holds parameters of GraphQL once each and no others, and no protocol follows
# that is not HTTP. Some servers separate parameters at a semicolon too.
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

# Extensions that say nothing of what is run: none, or which client it is.
silent(extensions) if extensions in [null, {}]

silent(extensions) if {
	is_object(extensions)
	object.keys(extensions) == {"clientLibrary"}
}

harmless(document) if not regex.match(`mutation|subscription`, document)
