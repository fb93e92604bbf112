# METADATA
# title: Values of a request's body
# description: |
#   Reads JSON bodies, if Envoy sends them along (with_request_body). A rule that reaches
#   a body that is there and could not be read ends in 400 body_unreadable. These
#   functions ask `body.state` first, so that a policy can treat such a body differently,
#   for example as large. A missing body has no values: if a request needs a body, deny
#   with `body.unreadable`.
package stepward.lib.body

import rego.v2

# METADATA
# title: Whether there is no JSON that can be judged
unreadable(request) if not request.body.state == "json"

# METADATA
# title: The number at a path of the body
# description: Undefined if there is none, or if there is text that looks like a number.
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
# description: Never holds for a body that cannot be judged, so ask for it and not for its opposite.
# custom:
#   arguments:
#     path: "stepward.words#/$defs/path"
#     limit: "stepward.words#/$defs/number"
at_most(request, path, limit) if {
	is_number(limit)
	number(request, path) <= limit
}
