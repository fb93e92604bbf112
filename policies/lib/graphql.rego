# METADATA
# title: GraphQL
# description: |
#   Tells requests that may change something from those that only read. A document is
#   not parsed but looked through: without the word `mutation` nothing in it is one,
#   and what merely mentions it is taken for one. What has no document, as a persisted
#   query, may be anything.
package stepward.lib.graphql

import rego.v2

import data.stepward.lib.body

# METADATA
# title: The documents of a request, alone or in a batch
documents(request) := [request.query.query[0]] if {
	request.method == "GET"
	count(request.query.query) == 1
} else := [request.body.json.query] if {
	not body.unreadable(request)
	is_string(request.body.json.query)
} else := [d.query | some d in request.body.json] if {
	not body.unreadable(request)
	is_array(request.body.json)
	every d in request.body.json {
		is_string(d.query)
	}
} else := []

# METADATA
# title: Whether a request only reads
# description: Holds for nothing that cannot be judged, so ask for it and not for its contrary.
reads(request) if {
	count(documents(request)) > 0
	every d in documents(request) {
		not regex.match(`mutation|subscription`, d)
	}
}
