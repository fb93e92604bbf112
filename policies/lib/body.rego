# METADATA
# title: Values of a request's body
# description: |
#   Reads JSON bodies, where Envoy sends them along (with_request_body). A body that
#   is not there, was cut off, or is no JSON has no values: deny it with
#   `body.unreadable`, or a sender hides a value by sending too much.
package stepward.lib.body

import rego.v2

# METADATA
# title: Whether the body cannot be judged
unreadable(request) if not request.body.present

unreadable(request) if request.body.truncated

unreadable(request) if {
	not request.body.json
	not request.body.json == false # a JSON document, too
}

# METADATA
# title: The number at a path of the body
# description: Undefined where there is none, also where it is text that looks like one.
number(request, path) := n if {
	not unreadable(request)
	is_object(request.body.json)
	n := object.get(request.body.json, path, null)
	is_number(n)
}

# METADATA
# title: Whether the number at a path is there and at most so much
# description: Holds for nothing that cannot be judged, so ask for it and not for its contrary.
at_most(request, path, limit) if number(request, path) <= limit
