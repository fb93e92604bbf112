# METADATA
# title: Values of a request's body
# description: |
#   Reads JSON bodies, where Envoy sends them along (with_request_body). A rule that comes
#   to a body that is there and could not be read ends in 400 body_unreadable; these
#   functions ask `body.state` first, so that a policy can say something else of it, such
#   as that it is large. A body that is not there has no values: deny it with
#   `body.unreadable`, where a request needs one.
package stepward.lib.body

import rego.v2

# METADATA
# title: Whether there is no JSON that can be judged
unreadable(request) if not request.body.state == "json"

# METADATA
# title: The number at a path of the body
# description: Undefined where there is none, also where it is text that looks like one.
# custom:
#   arguments:
#     path: "stepward.words#/$defs/path"
number(request, path) := n if {
	not unreadable(request)
	is_object(request.body.json)
	n := object.get(request.body.json, path, null)
	is_number(n)
}

# METADATA
# title: Whether the number at a path is there and at most so much
# description: Holds for nothing that cannot be judged, so ask for it and not for its contrary.
# custom:
#   arguments:
#     path: "stepward.words#/$defs/path"
#     limit: "stepward.words#/$defs/number"
at_most(request, path, limit) if {
	is_number(limit)
	number(request, path) <= limit
}
