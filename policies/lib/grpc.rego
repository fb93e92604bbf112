# METADATA
# title: gRPC methods
# description: |
#   A gRPC call is a POST of /package.Service/Method. Requirements for methods are read
#   from a table:
#
#       {"service": "shop.v1.Payments", "methods": ["Pay", "Refund"], "require": {"level": "mfa"}}
#
#   Without `methods` an entry is for all of the service.
package stepward.lib.grpc

import rego.v2

# METADATA
# title: The service and method of a call
call(request) := {"service": request.segments[0], "method": request.segments[1]} if {
	count(request.segments) == 2
}

# METADATA
# title: Whether an entry is about a call
# description: |
#   Written as `some entry in data.methods` and `grpc.matches(entry, input.request)` in a
#   rule of require or deny, a table of thousands costs no more than one of ten.
matches(entry, request) if {
	c := call(request)
	entry.service == c.service
	c.method in object.get(entry, "methods", [c.method])
}
