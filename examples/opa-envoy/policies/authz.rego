# A policy that was written for opa-envoy-plugin, unchanged.
package shop.authz

import input.attributes.request.http

default decision := {"allowed": false, "http_status": 403, "body": "staff only\n"}

decision := {"allowed": true, "headers": {"x-role": role}} if permitted[http.method]

permitted["GET"] if role

permitted["POST"] if {
	role == "cashier"
	input.parsed_path[0] == "payments"
}

role := data.staff[user]

user := name if {
	[_, encoded] := split(http.headers.authorization, " ")
	[name, _] := split(base64.decode(encoded), ":")
}
