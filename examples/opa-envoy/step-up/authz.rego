# The same policy after the shop has started to issue tokens: cashiers bring one, and paying
# needs a second factor in the last five minutes. Only `require` is new in the decision.
package shop.authz

import input.attributes.request.http

default decision := {"allowed": false, "http_status": 403, "body": "staff only\n"}

decision := {"allowed": true, "headers": {"x-role": role}, "require": require} if permitted[http.method]

permitted["GET"] if role

permitted["POST"] if input.parsed_path[0] == "payments" # the token proves who pays

require contains {"level": "mfa", "max_age": "5m", "scope": ["pay"], "reason": "payments move money"} if {
	not http.method in {"GET", "HEAD", "OPTIONS"}
}

default role := "customer"

role := data.staff[user]

user := name if {
	[_, encoded] := split(http.headers.authorization, " ")
	[name, _] := split(base64.decode(encoded), ":")
}
