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
# title: The requirements of every entry about a call
requirements(table, request) := {entry.require |
	c := call(request)
	some entry in table
	entry.service == c.service
	c.method in object.get(entry, "methods", [c.method])
}
