# METADATA
# title: gRPC methods
# description: |
#   A gRPC call is a POST of /package.Service/Method. Requirements for methods are read
#   from a table:
#
#       {"service": "shop.v1.Payments", "methods": ["Pay", "Refund"], "require": {"level": "mfa"}}
#
#   Without `methods` an entry applies to the whole service.
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
#   If a rule of require or deny uses `some entry in data.methods` and
#   `grpc.matches(entry, input.request)`, a table of thousands costs no more than one of ten.
# custom:
#   arguments:
#     entry: "stepward.grpc#/items"
matches(entry, request) if {
	c := call(request)
	service_matches(entry, c.service)
	method_matches(entry, c.method)
}

# An unreadable member does not limit an entry: the entry applies to more calls, not fewer.
service_matches(entry, _) if not is_string(entry.service)

service_matches(entry, service) if entry.service == service

method_matches(entry, _) if not is_array(entry.methods)

method_matches(entry, method) if method in entry.methods
